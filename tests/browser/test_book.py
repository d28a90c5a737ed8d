"""The book in Chromium: every page, wide and narrow, light and dark, by pointer and by keys."""

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest

from helpers.series import book, runner
from helpers.settings import ROOT

pytestmark = [
    pytest.mark.browser,
    # The theme and the parser use what a later Sphinx will drop.
    pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API"),
]

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
SIZES = {"desk": DESK, "phone": PHONE}
THEMES = ("light", "dark")
SECONDS = 120  # for what takes a moment where the machine is not busy
EXPLORER = "03_image_signatures.html"

# Text whose contrast with what is behind it is below what WCAG 2 asks for (AA).
FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = (top, below) => below.map((x, k) => top[3] * top[k] + (1 - top[3]) * x);
  const grounds = new Map([[null, [255, 255, 255]]]);
  const behind = (element) => {
    if (!grounds.has(element)) {
      const own = rgba(getComputedStyle(element).backgroundColor);
      grounds.set(element, over(own, behind(element.parentElement)));
    }
    return grounds.get(element);
  };
  const light = (colour) => colour
    .map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, k) => sum + [0.2126, 0.7152, 0.0722][k] * x, 0);
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let read = 0;
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element), back = behind(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const [low, high] = [light(back), light(over(rgba(style.color), back))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    read += 1;
    if (ratio < (large ? 3 : 4.5)) {
      faint.add(`${node.data.trim().slice(0, 30)}: ${style.color} on ${back.map(Math.round)}`);
    }
  }
  return [read, [...faint]];
}"""

# What sticks out of the page, or would if the page did not cut it off.
WIDE = """() => [
  ...document.documentElement.scrollWidth > innerWidth ? ["the page"] : [],
  ...[...document.querySelectorAll("article :is(img, iframe, p, h1, h2, h3)")]
    .filter((x) => x.checkVisibility() && !x.closest("td, th, pre"))
    .filter((x) => x.getBoundingClientRect().right > innerWidth + 1)
    .map((x) => x.outerHTML.slice(0, 80)),
]"""

PICTURES = """() => Promise.all([...document.images].map(async (image) => {
  await image.decode().catch(() => 0);
  return [image.getAttribute("src"), image.getAttribute("alt"), image.naturalWidth];
}))"""

NAMELESS = """() => [...document.querySelectorAll("a, button, input, summary, iframe")]
  .filter((x) => x.checkVisibility({ visibilityProperty: true }))
  .filter((x) => ![x.innerText, x.ariaLabel, x.title, x.placeholder, x.querySelector("img")?.alt]
    .some((name) => name?.trim()))
  .map((x) => x.outerHTML.slice(0, 120))"""


class Page(NamedTuple):
    """What a page holds, what sticks out of it by width, and what is faint in it by theme."""

    links: list
    anchors: list
    pictures: list
    nameless: list
    megabytes: float
    wide: dict
    read: int
    faint: dict


class Seen(NamedTuple):
    """All of the book, as a reader came by it from one page to the next."""

    pages: dict
    asked: list
    failed: list
    said: list


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The book of the notebooks as they are committed."""
    pages, out = ROOT / "notebooks", tmp_path_factory.mktemp("build") / "book"
    book.build_book(book.series(pages), pages, out)
    return out


class Reader:
    """A page of the book, and what it asked for and complained of."""

    def __init__(self, browser, path: Path, **options):
        self.context = browser.new_context(**{"viewport": DESK, "offline": True, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * SECONDS)
        self.asked, self.failed, self.said = [], [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on("pageerror", lambda fault: self.said.append(str(fault)))
        self.page.on("console", self.hear)
        self.page.goto(f"file://{path}")

    def follow(self, link) -> None:
        with self.page.expect_navigation():
            link.click()

    def hear(self, said) -> None:
        if said.type in ("error", "warning"):
            self.said.append(f"{Path(self.page.url).name}: {said.text}")

    @property
    def name(self) -> str:
        return Path(urlsplit(self.page.url).path).name


@pytest.fixture
def read(chromium, built):
    """Open a page of the book, and hold at the end that nothing went wrong."""
    readers = []

    def open_page(name: str, **options) -> Reader:
        readers.append(Reader(chromium, built / name, **options))
        return readers[-1]

    yield open_page
    for reader in readers:
        reader.context.close()
        assert reader.said == []
        assert reader.failed == []
        assert outside(reader.asked) == []


def outside(urls) -> list:
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:"))]


def until(page, condition: str) -> None:
    """Wait for a condition in a page, whose policy may forbid Playwright's own way to do so."""
    end = time.monotonic() + SECONDS
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, f"waited in vain for {condition}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def seen(chromium, built):
    """Go from the front page to the last by "Next", and look at each in all widths and themes."""
    reader, pages, before = Reader(chromium, built / "index.html"), {}, 0
    while reader.name not in pages:
        pages[reader.name] = look(reader.page, reader.asked[before:])
        following, before = reader.page.locator("a.right-next"), len(reader.asked)
        if following.count():
            reader.follow(following)
    reader.context.close()
    return Seen(pages, reader.asked, reader.failed, reader.said)


def look(page, asked: list[str]) -> Page:
    wide = {}
    for size, viewport in reversed(SIZES.items()):
        page.set_viewport_size(viewport)
        wide[size] = page.evaluate(WIDE)
    # Colours that are on their way from one theme to the other are of neither.
    page.add_style_tag(content="* { transition: none !important; }")
    faint = {}
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        until(page, f"document.documentElement.dataset.theme === '{theme}'")
        read, faint[theme] = page.evaluate(FAINT)
    links = page.evaluate("[...document.links].map((x) => x.href)")
    anchors = page.evaluate("[...document.querySelectorAll('[id]')].map((x) => x.id)")
    pictures, nameless = page.evaluate(PICTURES), page.evaluate(NAMELESS)
    return Page(links, anchors, pictures, nameless, weight(asked), wide, read, faint)


def weight(asked: list[str]) -> float:
    """Megabytes of the files among what a page asked for."""
    files = {unquote(urlsplit(url).path) for url in asked if url.startswith("file:")}
    return sum(Path(path).stat().st_size for path in files) / 1e6


# ---- Every page ----


def test_next_leads_through_all_of_the_book(seen, built):
    pages = {path.name for path in built.glob("*.html")}
    assert set(seen.pages) == pages - {"search.html"}
    assert {f"{path.stem}.html" for path in book.series(ROOT / "notebooks")} <= pages


def test_nothing_is_asked_of_the_network_and_nothing_is_missing(seen):
    assert outside(seen.asked) == []
    assert seen.failed == []


def test_the_console_stays_silent(seen):
    assert seen.said == []


def test_every_link_leads_somewhere(seen, built):
    place = ROOT / "build" / "book"
    for name, page in seen.pages.items():
        for link in map(unquote, filter(lambda link: link.startswith("file:"), page.links)):
            path, anchor = urldefrag(link)
            target = Path(urlsplit(path).path)
            if target.suffix == ".html" and anchor and target.name in seen.pages:
                assert anchor in seen.pages[target.name].anchors, f"{name}: {link}"
            if not target.is_relative_to(built):
                # Without `..`, since the book need not be where it would lie.
                target = Path(os.path.normpath(place / os.path.relpath(target, built)))
            assert target.exists(), f"{name}: {link}"


def test_every_picture_is_there_and_is_told_in_words(seen):
    shown = [(name, *picture) for name, page in seen.pages.items() for picture in page.pictures]
    assert len(shown) > 8
    for name, source, alt, width in shown:
        assert width > 0, f"{name}: {source}"
        assert alt, f"{name}: {source}"
        assert len(alt) >= 20, f"{name}: {alt}"
        assert Path(source).stem not in alt, f"{name}: {alt}"
        assert "<" not in alt, f"{name}: {alt}"


def test_whatever_can_be_used_has_a_name(seen):
    assert [x for page in seen.pages.values() for x in page.nameless] == []


@pytest.mark.parametrize("size", SIZES)
def test_no_page_has_to_be_scrolled_sideways(seen, size):
    assert {name: page.wide[size] for name, page in seen.pages.items() if page.wide[size]} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_from_what_is_behind_it(seen, theme):
    assert min(page.read for page in seen.pages.values()) > 30
    assert {text for page in seen.pages.values() for text in page.faint[theme]} == set()


def test_every_page_is_light(seen):
    for name, page in seen.pages.items():
        assert 0.3 < page.megabytes < 2.5, f"{name} loads {page.megabytes:.1f} MB"


def test_maths_are_drawn_without_the_network(chromium, tmp_path):
    pages, out = tmp_path / "notebooks", tmp_path / "book"
    pages.mkdir()
    for name in book.PAGES:
        shutil.copy(ROOT / "notebooks" / name, pages)
    said = r"$\sqrt{x^2 + y^2}$ and $$\begin{pmatrix} \boldsymbol{a} \\ b \end{pmatrix}$$"
    head = nbformat.v4.new_markdown_cell(f"# Maths\n\n{said}")
    runner.save(nbformat.v4.new_notebook(cells=[head]), pages / "00_maths.ipynb")
    book.build_book(book.series(pages), pages, out)
    reader = Reader(chromium, out / "00_maths.html")
    until(reader.page, "document.querySelectorAll('mjx-container').length === 2")
    until(reader.page, "document.fonts.status === 'loaded'")
    boxes = [x.bounding_box() for x in reader.page.locator("mjx-container mjx-mi").all()]
    reader.context.close()
    assert len(boxes) == 4
    assert min(box["width"] for box in boxes) > 3
    assert [reader.said, reader.failed, outside(reader.asked)] == [[], [], []]


# ---- The explorer, within its page ----


def explorer(reader):
    """The explorer's own page, once it is drawn."""
    frame = reader.page.locator("iframe").element_handle().content_frame()
    reader.page.locator("iframe").scroll_into_view_if_needed()
    until(frame, "timing.ready && !asked")
    return frame


def middle_of(frame, slot: int) -> tuple[float, float]:
    """Where in the window an image of the map is."""
    (x, y), box = frame.evaluate(f"placeOf({slot})"), frame.locator("#over").bounding_box()
    return box["x"] + x, box["y"] + y


@pytest.mark.parametrize("size", SIZES)
def test_the_explorer_answers_the_mouse(read, size):
    reader = read(EXPLORER, viewport=SIZES[size])
    frame = explorer(reader)
    assert frame.evaluate("count") > 100
    frame.locator("#over").scroll_into_view_if_needed()
    reader.page.mouse.click(*middle_of(frame, 7))
    chosen = frame.evaluate("selected")
    assert chosen >= 0
    number = frame.evaluate(f"now('number')[{chosen}]")
    assert frame.locator("#card p").first.inner_text() == f"Image {number}"
    scale, top = frame.evaluate("view.scale"), reader.page.evaluate("scrollY")
    reader.page.mouse.wheel(0, -200)
    until(frame, f"view.scale > {scale}")
    assert reader.page.evaluate("scrollY") == top


def test_the_explorer_answers_the_keys(read):
    reader = read(EXPLORER)
    frame = explorer(reader)
    reader.page.locator("article a:has(img)").last.focus()
    for _ in range(30):
        reader.page.keyboard.press("Tab")
        if frame.evaluate("document.activeElement === over"):
            break
    assert reader.page.evaluate("document.activeElement.tagName") == "IFRAME"
    reader.page.keyboard.press("ArrowRight")
    first, scale = frame.evaluate("[selected, view.scale]")
    assert first >= 0
    assert frame.locator("#card p").first.inner_text().startswith("Image ")
    reader.page.keyboard.press("+")
    until(frame, f"view.scale > {scale}")
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Enter")
    assert frame.evaluate(f"neighboursOf({first})[0] === selected")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("Escape")
    assert frame.evaluate("selected") == -1


@pytest.mark.parametrize("theme", THEMES)
def test_text_in_the_explorer_stands_out(read, theme):
    frame = explorer(read(EXPLORER, color_scheme=theme))
    texts, faint = frame.evaluate(FAINT)
    assert texts > 10
    assert faint == []


# ---- Search, and the theme ----


def test_search_by_keys_finds_a_word_and_leads_to_it(read):
    reader = read("index.html")
    reader.page.keyboard.press("Control+k")
    reader.page.keyboard.type("silhouette")
    reader.page.keyboard.press("Enter")
    reader.page.wait_for_url("**/search.html?q=silhouette")
    found = reader.page.locator("#search-results li a")
    found.first.wait_for()
    assert "02_class_divergence.html" in {
        Path(urlsplit(x.evaluate("x => x.href")).path).name for x in found.all()
    }
    reader.follow(found.first)
    assert reader.name == "02_class_divergence.html"
    assert "silhouette" in reader.page.locator("article").inner_text().lower()


def test_search_says_where_it_finds_nothing(read):
    reader = read("search.html?q=xylophone")
    until(reader.page, "document.querySelector('#search-results')?.innerText.includes('not match')")


def test_the_theme_that_is_chosen_is_kept_on_the_next_page(read):
    reader = read("index.html", color_scheme="light")
    reader.page.locator(".theme-switch-button:visible").click()
    reader.page.locator(".theme-change-button[data-mode=dark]").click()
    reader.follow(reader.page.locator("a.right-next"))
    assert reader.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_on_a_phone_the_list_of_pages_opens_and_leads_on(read):
    reader = read("index.html", viewport=PHONE, has_touch=True, is_mobile=True)
    entry = reader.page.locator("nav.bd-links a:visible", has_text="Training")
    reader.page.locator(".primary-toggle:visible").tap()
    reader.follow(entry)
    assert reader.name == "01_training.html"
