"""The book: a page per notebook with its stored outputs, and nothing from the network."""

import io
import os
import shutil
from contextlib import redirect_stderr
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from helpers.series import book, runner
from helpers.series.plan import QUESTIONS
from helpers.settings import ROOT

# The theme and the parser use what a later Sphinx will drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API")

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def notebook(title: str, *cells):
    head = nbformat.v4.new_markdown_cell(f"# {title}\n\n### A level left out")
    return nbformat.v4.new_notebook(cells=[head, *cells])


def code(source: str, **data):
    output = nbformat.v4.new_output("display_data", data)
    return nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])


START = notebook(
    "Start: does it work?",
    nbformat.v4.new_markdown_cell(
        "Maths $x^2$, [the next](03_next.ipynb), [the data](../data/README.md)"
        "\n\n<details><summary>Solution</summary>\n\n```python\n1 + 1\n```\n\n</details>"
    ),
    code("%time 1/0  # would fail if it were run", **{"text/plain": "stored-plain-output"}),
    code("table", **{"text/html": "<table><tr><td>stored-cell</td></tr></table>"}),
    nbformat.v4.new_code_cell("what_held(outcomes, '00')"),
)
NEXT = notebook(
    "Next?",
    code("say", **{"text/markdown": "It was **stored-strong** [here](00_start_here.ipynb)."}),
    code("plot", **{"image/png": PIXEL, "text/plain": "<Figure>"}),
    code("print", **{"text/plain": "between a figure and its caption"}),
    code("say", **{"text/markdown": "*What the\nfigure shows.* What follows from it."}),
    nbformat.v4.new_markdown_cell("The two below have no caption:"),
    code("plot", **{"image/png": PIXEL, "text/plain": "<Figure>"}),
    code("plot", **{"image/png": PIXEL, "text/plain": "<Figure>"}),
    nbformat.v4.new_markdown_cell("## A section\n\n*This is no caption.*"),
)


class Addresses(HTMLParser):
    """Collects what a page loads and where it links."""

    def __init__(self, page: Path):
        super().__init__()
        self.loaded, self.linked, self.told = [], [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "img", "iframe") and "src" in attrs:
            self.loaded.append(attrs["src"])
        if tag == "img":
            self.told.append(attrs.get("alt"))
        if tag == "link" and attrs.get("rel") in ("stylesheet", "preload"):
            self.loaded.append(attrs["href"])
        if tag == "a":
            self.linked.append(attrs.get("href", ""))


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The folder of a book of two notebooks, built where an older book lay, and its warnings."""
    root = tmp_path_factory.mktemp("root")
    pages, out = root / "notebooks", root / "build" / "book"
    pages.mkdir()
    for name in book.PAGES:
        shutil.copy(ROOT / "notebooks" / name, pages)
    runner.save(START, pages / "00_start_here.ipynb")
    runner.save(NEXT, pages / "03_next.ipynb")
    out.mkdir(parents=True)
    (out / "02_gone.html").touch()
    with redirect_stderr(io.StringIO()) as said:
        assert book.build_book(book.series(pages), pages, out) == out / "index.html"
    return out, said.getvalue()


@pytest.fixture
def built(build):
    return build[0]


@pytest.fixture
def warned(build):
    return build[1]


def test_every_notebook_has_a_page_with_its_stored_outputs(built):
    start, after = (built / f"{name}.html" for name in ("00_start_here", "03_next"))
    for stored in ("stored-plain-output", "<td>stored-cell</td>"):
        assert stored in start.read_text(encoding="utf-8")
    assert "<strong>stored-strong</strong>" in after.read_text(encoding="utf-8")
    assert any(address.startswith("_images/") for address in Addresses(after).loaded)


def test_the_index_links_every_page_and_an_older_book_is_gone(built):
    links = Addresses(built / "index.html").linked
    assert {"00_start_here.html", "03_next.html"} <= set(links)
    assert not (built / "02_gone.html").exists()
    assert [path.name for path in built.parent.iterdir()] == ["book"]


def test_nothing_is_loaded_but_files_of_the_book_and_those_are_there(built):
    pages = [built / f"{name}.html" for name in ("index", "00_start_here", "03_next", "search")]
    for page in pages:
        loaded = Addresses(page).loaded
        assert loaded
        for address in loaded:
            parts = urlsplit(address)
            assert not parts.scheme, f"{page.name} loads {address}"
            assert not parts.netloc, f"{page.name} loads {address}"
            assert (built / parts.path).is_file(), f"{page.name} loads {address}"


def test_a_picture_is_told_by_its_caption_or_else_by_what_is_above_it(built):
    assert Addresses(built / "03_next.html").told == [
        "What the figure shows.",
        "1 of 2: The two below have no caption:",
        "2 of 2: The two below have no caption:",
    ]


def test_the_index_lists_the_notebooks_that_the_book_has(built):
    index = (built / "index.html").read_text(encoding="utf-8")
    assert QUESTIONS["01_training"] not in index
    assert QUESTIONS["00_start_here"] in index


def test_the_index_says_what_is_missing_for_its_tables(built):
    index = (built / "index.html").read_text(encoding="utf-8")
    assert "00_start_here.ipynb: no cell with" in index


def test_what_no_page_asks_for_is_left_out(built):
    static = built / "_static"
    assert not any(static.rglob("*.map"))
    assert {path.name for path in (static / "mathjax").iterdir()} == set(book.USED)
    assert (static / book.ICONS).read_text() == ""


def test_maths_is_rendered_by_a_script_that_is_in_the_book(built):
    start = built / "00_start_here.html"
    assert r"\(x^2\)" in start.read_text(encoding="utf-8")
    assert any("mathjax" in address for address in Addresses(start).loaded)


def test_links_between_notebooks_and_out_of_their_folder_lead_somewhere(built):
    links = Addresses(built / "00_start_here.html").linked
    assert "03_next.html" in links
    assert "../../data/README.md" in links
    assert "00_start_here.html" in Addresses(built / "03_next.html").linked


def test_nothing_is_warned_of_for_normal_notebooks(warned):
    assert warned == ""


def test_a_book_of_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="No notebooks"):
        book.build_book([], tmp_path, tmp_path / "book")


def test_sphinx_failing_is_said_and_leaves_the_book_that_was_there(tmp_path):
    (tmp_path / "conf.py").write_text("raise ValueError('broken on purpose')")
    for name in book.PAGES[1:]:
        (tmp_path / name).touch()
    runner.save(notebook("Start?"), tmp_path / "00_start_here.ipynb")
    (tmp_path / "book").mkdir()
    with pytest.raises(RuntimeError, match="broken on purpose"):
        book.build_book(book.series(tmp_path), tmp_path, tmp_path / "book")
    assert (tmp_path / "book").is_dir()


def test_the_series_is_the_numbered_notebooks_in_order(tmp_path):
    for name in ("10_z.ipynb", "01_b.ipynb", "00_c.ipynb", "draft.ipynb", "02_a.md"):
        (tmp_path / name).touch()
    assert [path.stem for path in book.series(tmp_path)] == ["00_c", "01_b", "10_z"]


def test_the_newer_of_a_notebook_and_its_executed_copy_is_taken(tmp_path):
    executed = tmp_path / "executed"
    executed.mkdir()
    paths = [tmp_path / f"0{number}_x.ipynb" for number in range(3)]
    for number, path in enumerate(paths):
        path.touch()
        os.utime(path, (100, 100))
        if number < 2:
            (executed / path.name).touch()
            os.utime(executed / path.name, (50 + 100 * number,) * 2)
    assert book.latest(paths, executed) == [paths[0], executed / paths[1].name, paths[2]]
