"""The explorer in Chromium: it draws what it was given, and works by pointer and by keys."""

import time
from pathlib import Path

import numpy as np
import pytest

from helpers.show.explorer import Explorer, image_map

pytestmark = pytest.mark.browser

NAMES = ["airplane", "cat", "a <b>dog</b>"]
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
DESK, PHONE = {"width": 1100, "height": 760}, {"width": 390, "height": 780}


def gradients(count: int) -> np.ndarray:
    """Images that differ from each other and from their mirror images, and that JPEG keeps well."""
    corners = np.random.default_rng(0).uniform(0, 255, (4, count, 1, 1, 3)).astype(np.float32)
    down, right = np.mgrid[0:1:32j, 0:1:32j].astype(np.float32)[..., None]
    above = corners[0] * (1 - right) + corners[1] * right
    below = corners[2] * (1 - right) + corners[3] * right
    return (above * (1 - down) + below * down).astype(np.uint8)


def given(count: int, stages: int = 1) -> dict:
    rng = np.random.default_rng(1)
    across = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.divmod(np.arange(count), across), axis=-1) + 0.0
    maps = np.stack([rng.permutation(grid) for _ in range(stages)])
    labels = rng.integers(0, 3, count)
    return {
        "images": np.resize(gradients(min(count, 5000)), (count, 32, 32, 3)),
        "maps": maps,
        "labels": labels,
        "predicted": np.where(rng.uniform(size=(stages, count)) < 0.7, labels, 1),
        "confidence": rng.uniform(size=(stages, count)),
        "names": NAMES,
        "neighbours": rng.integers(0, count, (count, 5)),
        "clusters": rng.integers(0, 4, count),
        "epochs": [0, 0.125, 25, 50][:stages],
    }


def until(page, condition: str) -> None:
    """Wait for a condition in a page, whose policy forbids Playwright's own way to do so."""
    end = time.monotonic() + 30
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, f"waited in vain for {condition}"
        time.sleep(0.01)


class Opened:
    """A page of the explorer, and what it asked for and complained of."""

    def __init__(self, browser, path: Path, before: str = "", **options):
        self.context = browser.new_context(**{"viewport": DESK, "offline": True, **options})
        self.context.add_init_script(before)
        self.page = self.context.new_page()
        self.asked, self.faults = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("console", self.hear)
        self.page.goto(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until there is nothing left to draw or to decode."""
        until(self.page, "timing.ready && !asked && loading.every((_, k) => sheets[k])")

    def hear(self, said) -> None:
        if said.type == "error":
            self.faults.append(said.text)

    def __call__(self, script: str):
        return self.page.evaluate(script)

    def slot(self, image: int) -> int:
        """Where the page holds the image that was given at `image`."""
        return self(f"now('number').indexOf({image})")

    def visit(self, image: int) -> int:
        slot = self.slot(image)
        self(f"visit({slot})")
        self.settle()
        return slot

    def pixels(self, box, canvas: str = "map") -> np.ndarray:
        """What a canvas holds at (x, y, width, height), in its own pixels, as (H, W, 3)."""
        x, y, width, height = box
        script = (
            f"[...element('{canvas}').getContext('2d').getImageData({x},{y},{width},{height}).data]"
        )
        return np.array(self(script), np.uint8).reshape(height, width, 4)[..., :3]

    def dot(self, slot: int) -> str:
        """The colour of the map at the middle of an image, as #rrggbb."""
        x, y = np.rint(np.array(self(f"placeOf({slot})")) * self("density")).astype(int)
        return "#" + "".join(f"{value:02x}" for value in self.pixels((x, y, 1, 1))[0, 0])

    def point_at(self, slot: int) -> None:
        x, y = self(f"placeOf({slot})")
        box = self.page.locator("#over").bounding_box()
        self.page.mouse.move(box["x"] + x, box["y"] + y)
        self.settle()

    def card(self) -> list[str]:
        return self.page.locator("#card p").all_inner_texts()

    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()


@pytest.fixture
def show(chromium, tmp_path):
    """Open an explorer, and hold at the end that nothing went wrong and nothing was fetched."""
    opened = []

    def open_page(explorer: Explorer, **options) -> Opened:
        opened.append(Opened(chromium, explorer.html(tmp_path / "map.html"), **options))
        return opened[-1]

    yield open_page
    for view in opened:
        view.context.close()
        assert view.faults == []
        assert [url for url in view.asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def small(show):
    return show(image_map(**given(60, stages=3)))


# ---- What is drawn ----


@pytest.mark.parametrize("density", [1, 2])
def test_the_canvas_shows_the_images_themselves(show, density):
    data = given(1500)
    view = show(image_map(**data), device_scale_factor=density)
    for image in (0, 700, 1499):
        slot = view.visit(image)
        seen = view.pixels(view(f"boxOf({slot}, thumbSide() * density)"))
        factor = len(seen) / 32
        assert factor >= 1
        rows = np.floor((np.arange(len(seen)) + 0.5) / factor).astype(int)
        source = data["images"][image][rows][:, rows].astype(float)
        assert np.abs(seen - source).mean() < 8
        assert np.abs(seen - source[:, ::-1]).mean() > 20
        assert np.abs(seen - source[::-1]).mean() > 20


def test_the_chosen_image_is_drawn_large_and_on_its_card(show):
    data = given(4000)
    view = show(image_map(**data))
    view(f"select({view.slot(9)})")
    view.settle()
    assert view("thumbSide()") == 0
    seen = view.pixels(view("boxOf(selected, 34)"), "over").astype(float)
    assert np.abs(seen[1:33, 1:33] - data["images"][9]).mean() < 12
    script = "[...card.querySelector('canvas').getContext('2d').getImageData(0, 0, 96, 96).data]"
    seen = np.array(view(script.replace("card", "element('card')", 1))).reshape(96, 96, 4)[..., :3]
    assert np.abs(seen[1::3, 1::3] - data["images"][9].astype(float)).mean() < 8


def test_dots_from_afar_and_pictures_from_near(show):
    view = show(image_map(**given(4000)))
    assert view("thumbSide()") == 0
    view.page.focus("#over")
    view.press("+", "+", "+")
    assert view("thumbSide()") >= 12
    view.press("0")
    assert view("thumbSide()") == 0


@pytest.mark.parametrize("mode", ["class", "correctness", "confidence", "cluster"])
def test_dots_have_the_colour_of_what_is_asked_for(show, mode):
    data = given(4000)
    view = show(image_map(**data))
    view.page.select_option("#colour", mode)
    view.settle()
    colours = view(f"modes()['{mode}']")
    value = {
        "class": data["labels"],
        "correctness": (data["predicted"][0] == data["labels"]).astype(int),
        "confidence": (data["confidence"][0] * 16).astype(int),
        "cluster": data["clusters"],
    }[mode]
    for image in range(0, 4000, 400):
        assert view.dot(view.slot(image)) == colours[value[image]]
    words = view.page.locator("#legend li").all_inner_texts()
    assert (
        words[:2]
        == {
            "class": NAMES[:2],
            "correctness": ["wrong", "right"],
            "confidence": ["0\N{NO-BREAK SPACE}%", "20\N{NO-BREAK SPACE}%"],
            "cluster": ["cluster 0", "cluster 1"],
        }[mode]
    )


def test_an_older_browser_shows_the_same(show):
    data = given(60)
    view = show(image_map(**data), before="delete Uint8Array.fromBase64")
    assert view("Uint8Array.fromBase64") is None
    view.point_at(view.slot(17))
    assert view.card()[1] == f"class {NAMES[data['labels'][17]]}"
    seen = view.pixels(view("boxOf(hovered, 34)"), "over").astype(float)
    assert seen.std() > 5


def test_dark_and_light(show):
    explorer = image_map(**given(60))
    for scheme, back in (("light", 255), ("dark", 22)):
        view = show(explorer, color_scheme=scheme)
        assert view.pixels((0, 0, 1, 1))[0, 0, 0] == back
        view.page.click("#theme")
        view.settle()
        assert view.pixels((0, 0, 1, 1))[0, 0, 0] == 277 - back
        assert view("getComputedStyle(document.body).backgroundColor").startswith(
            f"rgb({277 - back}"
        )


def test_nothing_is_drawn_while_nothing_changes(small):
    counting = (
        "window.frames_ = 0; const real = paint; paint = (time) => { frames_++; real(time); }"
    )
    small(f"(() => {{ {counting} }})()")
    small.page.wait_for_timeout(300)
    assert small("frames_") == 0
    small.point_at(5)
    assert small("frames_") > 0


# ---- By pointer ----


def test_pointing_shows_an_image_with_what_is_known_of_it(small):
    data = given(60, stages=3)
    small.point_at(small.slot(17))
    guess, sure = data["predicted"][-1][17], data["confidence"][-1][17]
    outcome = "right" if guess == data["labels"][17] else "wrong"
    assert small.card() == [
        "Image 17",
        f"class {NAMES[data['labels'][17]]}",
        f"predicted {NAMES[guess]}",
        f"{100 * sure:.1f}\N{NO-BREAK SPACE}%, {outcome}",
        f"cluster {data['clusters'][17]}",
        "Nearest images",
    ]
    near = small("[...element('near').children].map((button) => button.title)")
    assert [title.split(",")[0] for title in near] == [f"Image {j}" for j in data["neighbours"][17]]


def test_a_click_keeps_an_image_and_a_neighbour_can_be_gone_to(small):
    data = given(60, stages=3)
    small.point_at(small.slot(17))
    small.page.mouse.down()
    small.page.mouse.up()
    small.page.mouse.move(5, 5)
    assert small.card()[0] == "Image 17"
    small.page.locator("#near button").nth(2).click()
    assert small.card()[0] == f"Image {data['neighbours'][17][2]}"


def test_a_tap_shows_an_image_on_a_phone(show):
    view = show(image_map(**given(60)), viewport=PHONE, has_touch=True, is_mobile=True)
    assert view("document.documentElement.scrollWidth") == 390
    x, y = view(f"placeOf({view.slot(17)})")
    box = view.page.locator("#over").bounding_box()
    assert box["height"] > 250
    view.page.touchscreen.tap(box["x"] + x, box["y"] + y)
    assert view.card()[0] == "Image 17"


def test_dragging_moves_and_the_wheel_zooms_about_the_pointer(small):
    before = np.array(small("placeOf(0)"))
    small.page.mouse.move(400, 400)
    small.page.mouse.down()
    small.page.mouse.move(430, 380, steps=5)
    small.page.mouse.up()
    small.settle()
    assert np.array(small("placeOf(0)")) - before == pytest.approx([30, -20], abs=0.5)
    assert small("selected") == -1
    slot = small.slot(3)
    small.point_at(slot)
    place, scale = small(f"placeOf({slot})"), small("view.scale")
    small.page.mouse.wheel(0, -400)
    until(small.page, f"view.scale > 1.5 * {scale}")
    assert small(f"placeOf({slot})") == pytest.approx(place, abs=1)


# ---- By keys ----


def test_the_map_can_be_walked_with_keys_and_focus_is_seen(small):
    for _ in range(20):
        small.press("Tab")
        if small("document.activeElement === over"):
            break
    assert small("over.matches(':focus-visible') && getComputedStyle(over).outlineStyle") == "solid"
    small.press("ArrowRight")
    first = small("selected")
    x, y = small(f"placeOf({first})")
    small.press("ArrowRight")
    second = small("selected")
    assert second != first
    across, down = np.array(small(f"placeOf({second})")) - (x, y)
    assert across > abs(down)
    small.press("ArrowLeft")
    assert small("selected") == first
    small.press("ArrowDown")
    assert small(f"placeOf({small('selected')})")[1] > y
    small.press("Enter")
    assert small("document.activeElement === element('near').firstChild")
    neighbour = small("neighboursOf(selected)[0]")
    small.press("Enter")
    assert small("selected") == neighbour
    assert small("document.activeElement.parentNode.id") == "near"
    small.press("Escape")
    assert small("document.activeElement === over")
    small.press("Escape")
    assert small("selected") == -1


def test_every_control_can_be_reached_by_key_and_has_a_name(small):
    reached = set()
    small.page.focus("#colour")
    for _ in range(30):
        reached.add(small("document.activeElement.id"))
        small.press("Tab")
    wanted = {"colour", "search", "fit", "theme", "label", "predicted", "outcome", "low", "high"}
    assert wanted | {"confusion", "clear", "over", "epoch"} <= reached
    small.page.click("#confusion")
    small.page.locator("td button").first.click()
    unnamed = """[...document.querySelectorAll('select, input, button, [tabindex]')].filter((one) =>
        !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label')))"""
    assert small(f"{unnamed}.map((one) => one.id)") == []


def test_what_is_chosen_by_key_is_read_out(small):
    small(f"select({small.slot(17)})")
    assert small.page.locator("#said").inner_text().startswith("Image 17, class")


# ---- Filters and epochs ----


def shown(view: Opened) -> set[int]:
    return set(view("[...now('number')].filter((_, i) => kept[i])"))


def test_filters_keep_exactly_what_they_say(small):
    data = given(60, stages=3)
    labels, guesses, sure = data["labels"], data["predicted"][-1], data["confidence"][-1]
    small.page.select_option("#label", "2")
    assert shown(small) == set(np.flatnonzero(labels == 2))
    small.page.select_option("#outcome", "0")
    assert shown(small) == set(np.flatnonzero((labels == 2) & (guesses != 2)))
    small.page.select_option("#predicted", "0")
    assert shown(small) == set()
    assert small.status() == "0 of 60 images"
    small.page.click("#clear")
    assert shown(small) == set(range(60))
    small.page.focus("#low")
    small.press(*["ArrowRight"] * 40)
    small.page.focus("#high")
    small.press(*["ArrowLeft"] * 30)
    assert shown(small) == set(np.flatnonzero((sure >= 0.4) & (sure <= 0.7)))
    assert small.status() == f"{len(shown(small))} of 60 images"


def test_what_is_filtered_out_is_dim_and_cannot_be_pointed_at(show):
    data = given(1500)
    view = show(image_map(**data))
    out, kept = (view.slot(int(np.flatnonzero(data["labels"] == label)[0])) for label in (0, 1))
    view.page.select_option("#label", "1")
    view.settle()
    assert view(f"pick(...placeOf({out}))") != out
    assert view(f"pick(...placeOf({kept}))") == kept
    view(f"zoom(4, ...placeOf({out}))")
    view.settle()
    assert view.dot(out) == view("themed('--dim')")


def test_search_finds_classes_and_numbers_and_goes_there(small):
    data = given(60, stages=3)
    labels, guesses = data["labels"], data["predicted"][-1]
    small.page.fill("#search", "AIR")
    assert shown(small) == set(np.flatnonzero((labels == 0) | (guesses == 0)))
    small.page.fill("#search", "air cat")
    assert shown(small) == set(np.flatnonzero((labels == 0) & (guesses == 1)))
    small.page.fill("#search", "17")
    assert shown(small) == {17}
    small.press("Enter")
    assert small.card()[0] == "Image 17"
    middle = small(f"placeOf({small.slot(17)})")
    assert middle == pytest.approx(small("[wide / 2, tall / 2]"), abs=1)
    small.page.fill("#search", "no such thing")
    small.press("Enter")
    assert shown(small) == set()


def test_the_slider_moves_images_to_where_they_were(small):
    data = given(60, stages=3)
    assert small.page.locator("#time output").inner_text() == "25"
    small.page.focus("#epoch")
    small.press("Home")
    until(small.page, "!moving")
    assert small.page.locator("#time output").inner_text() == "0"
    order = [small.slot(image) for image in range(60)]
    places = np.array([small(f"placeOf({slot})") for slot in order])
    source = data["maps"][0] * (1, -1)
    scale = np.ptp(places[:, 0]) / np.ptp(source[:, 0])
    moved = places - source * scale
    assert np.ptp(moved, axis=0).max() < 0.5
    small(f"select({order[17]})")
    assert small.card()[2] == f"predicted {NAMES[data['predicted'][0][17]]}"
    small.page.select_option("#outcome", "1")
    assert shown(small) == set(np.flatnonzero(data["predicted"][0] == data["labels"]))


def test_one_map_has_no_slider(show):
    view = show(image_map(**given(60)))
    assert not view.page.locator("#epoch").is_visible()


# ---- The confusion matrix ----


def confusion(labels, guesses, classes: int = 3) -> np.ndarray:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def counted(view: Opened) -> np.ndarray:
    return np.array(view("cells.map((cell) => Number(cell.textContent.replace(',', '')))")).reshape(
        3, 3
    )


def gallery(view: Opened) -> list[int]:
    """Numbers of the images in the gallery, in its order."""
    titles = view("[...element('shots').children].map((button) => button.title)")
    return [int(title.split(",")[0].removeprefix("Image ")) for title in titles]


@pytest.fixture
def matrix(small):
    small.page.click("#confusion")
    return small


def test_the_matrix_counts_what_is_shown_at_each_epoch(matrix):
    data = given(60, stages=3)
    labels = data["labels"]
    assert (counted(matrix) == confusion(labels, data["predicted"][-1])).all()
    matrix.page.focus("#epoch")
    matrix.press("Home")
    guesses, sure = data["predicted"][0], data["confidence"][0]
    assert (counted(matrix) == confusion(labels, guesses)).all()
    matrix.page.focus("#low")
    matrix.press(*["ArrowRight"] * 40)
    kept = sure >= 0.4
    assert (counted(matrix) == confusion(labels[kept], guesses[kept])).all()
    matrix.page.select_option("#label", "2")
    assert (counted(matrix) == confusion(labels[kept], guesses[kept])).all()


def test_large_counts_are_whole(show):
    data = given(4000)
    view = show(image_map(**data))
    view.page.click("#confusion")
    assert (counted(view) == confusion(data["labels"], data["predicted"][0])).all()


def test_a_cell_opens_exactly_its_images_and_all_come_back(matrix):
    data = given(60, stages=3)
    labels, guesses = data["labels"], data["predicted"][-1]
    before = counted(matrix)
    for row in range(3):
        for column in range(3):
            matrix.page.locator("td button").nth(3 * row + column).click()
            wanted = set(np.flatnonzero((labels == row) & (guesses == column)))
            assert shown(matrix) == set(gallery(matrix)) == wanted
            assert matrix("[element('label').value, element('predicted').value]") == [
                str(row),
                str(column),
            ]
            assert (counted(matrix) == before).all()
    matrix.page.click("#all")
    assert shown(matrix) == set(range(60))
    assert not matrix.page.locator("#gallery").is_visible()


def test_the_gallery_follows_the_slider(matrix):
    data = given(60, stages=3)
    matrix.page.locator("td button").nth(1).click()
    matrix.page.focus("#epoch")
    matrix.press("Home")
    wanted = np.flatnonzero((data["labels"] == 0) & (data["predicted"][0] == 1))
    assert sorted(gallery(matrix)) == wanted.tolist()
    words = matrix.page.locator("#cell").inner_text()
    assert words == f"{len(wanted)} images of airplane predicted as cat"


def test_the_gallery_shows_the_images_themselves_and_their_cards(matrix):
    data = given(60, stages=3)
    matrix.page.locator("td button").nth(1).click()
    matrix.settle()
    numbers = gallery(matrix)
    script = "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 40, 40).data]"
    for place in (0, len(numbers) - 1):
        button = matrix.page.locator("#shots button").nth(place)
        seen = np.array(button.locator("canvas").evaluate(script)).reshape(40, 40, 4)[..., :3]
        rows = np.floor((np.arange(40) + 0.5) * 0.8).astype(int)
        source = data["images"][numbers[place]][rows][:, rows].astype(float)
        assert np.abs(seen - source).mean() < 8
        button.hover()
        assert matrix.card()[0] == f"Image {numbers[place]}"
    matrix.page.mouse.move(5, 5)
    assert matrix("hovered") == -1
    matrix.page.locator("#shots button").first.click()
    matrix.page.mouse.move(5, 5)
    assert matrix.card()[0] == f"Image {numbers[0]}"


def test_a_large_cell_shows_its_first_images_and_says_so(show):
    view = show(image_map(**given(1500)))
    view.page.click("#confusion")
    view.page.locator("td button").first.click()
    view.settle()
    assert gallery(view) == view("[...now('number')].filter((_, i) => kept[i]).slice(0, 60)")
    count = counted(view)[0, 0]
    words = f"{count} images of airplane predicted as airplane, the first 60"
    assert view.page.locator("#cell").inner_text() == words


def test_the_matrix_is_one_stop_for_keys_and_arrows_move_within(matrix):
    place = "cells.indexOf(document.activeElement)"
    matrix.page.focus("#clear")
    matrix.press("Tab")
    assert matrix(place) == 0
    assert matrix("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for key, wanted in [
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowRight", 2),
        ("ArrowDown", 5),
        ("ArrowLeft", 4),
        ("ArrowUp", 1),
        ("ArrowUp", 1),
    ]:
        matrix.press(key)
        assert matrix(place) == wanted
    matrix.press("Enter")
    assert len(gallery(matrix)) == counted(matrix)[0, 1]
    assert matrix(place) == 1
    matrix.press("Tab", "Tab")
    assert matrix("document.activeElement === element('shots').firstChild")
    matrix.press("ArrowRight")
    assert matrix("document.activeElement === element('shots').children[1]")
    assert matrix.card()[0] == f"Image {gallery(matrix)[1]}"
    matrix.press("Tab")
    assert matrix("document.activeElement.parentNode.id") == "near"
    matrix.press("Escape")
    assert matrix("document.activeElement === element('shots').children[1]")
    matrix.press("Escape")
    assert matrix(place) == 1
    assert shown(matrix) == set(range(60))
    matrix.press("Shift+Tab")
    assert matrix("document.activeElement.id") == "clear"


def test_cells_say_what_they_hold(matrix):
    first, one = counted(matrix)[0, 0], matrix.page.locator("td button").first
    assert one.get_attribute("aria-label") == f"{first} images of airplane predicted as airplane"
    assert one.get_attribute("aria-pressed") == "false"
    one.click()
    assert one.get_attribute("aria-pressed") == "true"
    alone = matrix("now('number')[0]")
    matrix.page.fill("#search", str(alone))
    data = given(60, stages=3)
    cell = 3 * data["labels"][alone] + data["predicted"][-1][alone]
    label = matrix.page.locator("td button").nth(int(cell)).get_attribute("aria-label")
    assert label.startswith("1 image of ")


def test_the_map_comes_back_with_what_was_chosen(matrix):
    assert not matrix.page.locator("#over").is_visible()
    matrix.page.locator("td button").nth(1).click()
    chosen = shown(matrix)
    matrix.page.click("#confusion")
    assert matrix.page.locator("#over").is_visible()
    assert not matrix.page.locator("#matrix").is_visible()
    assert matrix.page.locator("#confusion").get_attribute("aria-expanded") == "false"
    assert shown(matrix) == chosen


def test_names_in_the_matrix_show_as_text(show):
    view = show(image_map(**given(60) | {"names": ["a", EVIL, "c"]}))
    view.page.click("#confusion")
    view.page.locator("td button").nth(4).click()
    view.settle()
    assert view("window.hacked") is None
    assert view.page.locator("th[scope=row]").nth(1).inner_text() == EVIL
    assert view.page.locator("#cell").inner_text().endswith(f"of {EVIL} predicted as {EVIL}")


@pytest.mark.parametrize(("classes", "offered"), [(1, True), (30, True), (31, False)])
def test_a_matrix_is_offered_for_up_to_thirty_classes(show, classes, offered):
    names = [f"a rather long name of a whale {k}" for k in range(classes)]
    data = given(60) | {"labels": np.arange(60) % classes, "names": names}
    view = show(image_map(**data | {"predicted": data["labels"]}))
    assert view.page.locator("#confusion").is_visible() == offered
    assert view("cells.length") == (classes**2 if offered else 0)


def test_on_a_phone_a_large_matrix_scrolls_in_its_own_box(show):
    names = [f"a rather long name of a whale {k}" for k in range(30)]
    labels = np.arange(300) % 30
    data = given(300) | {"names": names, "labels": labels, "predicted": labels}
    view = show(image_map(**data), viewport=PHONE, has_touch=True, is_mobile=True)
    view.page.tap("#confusion")
    view.page.tap("td button >> nth=0")
    view.settle()
    assert view("[document.documentElement.scrollWidth, panel.scrollWidth]") == [390, 390]
    assert view("document.documentElement.scrollHeight") == 780
    rows, cell = view.page.locator("#rows"), view.page.locator("td button").last
    cell.focus()
    box, inner = rows.bounding_box(), cell.bounding_box()
    assert inner["x"] + inner["width"] <= box["x"] + box["width"] <= 390
    assert inner["y"] + inner["height"] <= box["y"] + box["height"]
    # Names stay beside the cells, and the gallery beneath.
    head = view.page.locator("th[scope=row]").last.bounding_box()
    assert head["x"] >= 0
    assert head["x"] + head["width"] <= inner["x"]
    shots = view.page.locator("#shots button")
    assert shots.count() == 10
    assert shots.first.bounding_box()["y"] >= box["y"] + box["height"]
    shots.nth(2).tap()
    assert view.card()[0] == f"Image {gallery(view)[2]}"


# ---- Safe, and within other pages ----


def test_names_show_as_text(show):
    data = given(60) | {"names": ["a", EVIL, "c"], "title": EVIL}
    view = show(image_map(**data))
    view(f"select({view.slot(int(np.flatnonzero(data['labels'] == 1)[0]))})")
    view.settle()
    assert view("window.hacked") is None
    assert view.card()[1] == f"class {EVIL}"
    assert view.page.locator("#legend li").nth(1).inner_text() == EVIL
    assert view.page.locator("#title").inner_text() == EVIL
    assert view.page.title() == EVIL


@pytest.mark.parametrize("width", [390, 950])
def test_a_frame_works_within_a_page_of_any_width(chromium, tmp_path, width):
    explorer = image_map(**given(900)).thin(200)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><p>before</p>{explorer.frame()}<p style='height: 2000px'>")
    context = chromium.new_context(viewport={"width": width, "height": 700}, offline=True)
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(path.as_uri())
    frame = page.frames[1]
    until(frame, "timing.ready")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert frame.evaluate("document.documentElement.scrollWidth") == width - 18
    assert frame.locator("#status").inner_text() == "200 of 200 images in this sample of 900"
    scale = frame.evaluate("view.scale")
    page.mouse.move(width / 3, 350)
    page.mouse.wheel(0, 60)
    until(page, "scrollY > 0")
    assert frame.evaluate("view.scale") == scale
    page.mouse.click(width / 3, 300)
    page.mouse.wheel(0, -60)
    until(frame, f"view.scale > {scale}")
    assert faults == []
    context.close()


# ---- Large maps ----


@pytest.mark.parametrize(("count", "limit"), [(10_000, 5_000_000), (60_000, 30_000_000)])
def test_a_large_map_is_small_enough_and_its_times(
    show, tmp_path, capsys, record_property, count, limit
):
    grain = np.random.default_rng(2).integers(-25, 26, (2000, 32, 32, 1), np.int16)
    images = np.clip(gradients(2000) + grain, 0, 255).astype(np.uint8)
    data = given(count, stages=4) | {"images": np.resize(images, (count, 32, 32, 3))}
    view = show(image_map(**data))
    size = (tmp_path / "map.html").stat().st_size
    assert size <= limit
    assert view("count") == count
    times = {"loaded": view("timing.ready"), "dots": view("timing.map")}
    hovers = []
    for step in range(30):
        view.page.mouse.move(200 + 15 * step, 250 + 9 * step)
        view.settle()
        hovers.append(view("timing.hover"))
    view.visit(17)
    view("drawMap()")
    times |= {"hover": float(np.median(hovers)), "longest hover": max(hovers)}
    times["thumbnails"] = view(
        "(() => { const t = performance.now(); drawMap(); return performance.now() - t; })()"
    )
    record_property("milliseconds", times)
    report = ", ".join(f"{name} {value:.0f} ms" for name, value in times.items())
    with capsys.disabled():
        print(f"\n{count:,} images, {size / 1e6:.1f} MB: {report}")
