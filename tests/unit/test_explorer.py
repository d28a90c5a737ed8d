"""The explorer's page: it holds what was given, fits, fetches nothing, and is escaped."""

import json
import re
from base64 import b64decode, b64encode
from html import unescape
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from helpers.settings import ROOT
from helpers.show.explorer import Explorer, image_map, static_map
from helpers.show.style import NotebookFigure, apply_style, class_colour, encode

NAMES = ["airplane", "cat", "dog"]
EVIL = "</script><script>alert(1)</script><b>&amp;"
CODE = ROOT / "helpers" / "show" / "explorer.js"


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def gradients(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Images that differ from each other and from their mirror images, and that JPEG keeps well."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 256, (4, count, 1, 1, 3))
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., None]
    top = corners[0] * (1 - right) + corners[1] * right
    return np.rint(
        top * (1 - down) + (corners[2] * (1 - right) + corners[3] * right) * down
    ).astype(np.uint8)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


def given_for(count: int, stages: int = 1, k: int = 4) -> dict:
    rng = np.random.default_rng(1)
    return {
        "images": gradients(count),
        "maps": rng.normal(size=(stages, count, 2)) * (30, 20),
        "labels": rng.integers(0, 3, count),
        "predicted": rng.integers(0, 3, (stages, count)),
        "confidence": rng.uniform(size=(stages, count)),
        "names": NAMES,
        "neighbours": rng.integers(0, count, (count, k)),
    }


def explorer(count: int = 40, stages: int = 1, **changes) -> Explorer:
    return image_map(**{**given_for(count, stages), **changes})


def payload(page: str) -> dict:
    return json.loads(re.search(r'id="payload">(.*?)</script>', page, re.S)[1])


def unpack(packed: dict) -> np.ndarray:
    data = np.frombuffer(b64decode(packed["data"]), np.dtype(packed["type"]).newbyteorder("<"))
    return data.reshape(packed["rows"], -1).astype(int)


def arrays(page: str) -> dict[str, np.ndarray]:
    """What the page holds about each image, in the order in which the images were given."""
    held = {name: unpack(packed) for name, packed in payload(page)["arrays"].items()}
    order = np.argsort(held["number"][0])
    near = held.pop("neighbours").reshape(len(order), -1)
    numbers = np.append(held["number"][0], -1)
    return {name: rows[:, order] for name, rows in held.items()} | {"near": numbers[near][order]}


def thumbnails(page: str) -> np.ndarray:
    """The images in the page's sprite sheets, in the order in which they were given."""
    tile, number = payload(page)["tile"], unpack(payload(page)["arrays"]["number"])[0]
    side, columns, each = tile["side"], tile["columns"], tile["each"]
    found = re.findall(r'class="sheet">(.*?)</script>', page)
    sheets = [np.asarray(Image.open(BytesIO(b64decode(text)))) for text in found]
    images = np.empty((len(number), tile["height"], tile["width"], 3), np.uint8)
    for slot, original in enumerate(number):
        row, column = divmod(slot % each, columns)
        cell = sheets[slot // each][row * side :, column * side :]
        images[original] = cell[: tile["height"], : tile["width"]]
    return images


def off_by(one, other) -> np.ndarray:
    """The mean difference of each image of one from that of the other, in grey levels."""
    return np.abs(one.astype(float) - other).mean((1, 2, 3))


# ---- What the page holds ----


def test_every_image_is_at_its_own_place_in_the_sprite_sheets():
    images = gradients(1100)
    shown = thumbnails(explorer(1100, images=images).page)
    assert off_by(shown, images).max() < 5
    assert off_by(shown, images[:, :, ::-1]).mean() > 20


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (20, 50), (33, 100), (50, 20), (1, 90)])
def test_images_of_any_shape_keep_it_and_do_not_run_into_each_other(shape):
    images = gradients(30, *shape)
    shown = thumbnails(explorer(30, images=images).page)
    height, width = shown.shape[1:3]
    assert max(height, width) <= 112
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)
    if (height, width) == shape and min(shape) > 1:
        assert off_by(shown, images).max() < 8


def test_large_images_become_smaller_thumbnails_and_small_ones_stay():
    assert thumbnails(explorer(12, images=gradients(12, 200, 200)).page).shape[1:3] == (96, 96)
    assert thumbnails(explorer(12).page).shape[1:3] == (32, 32)


def test_places_are_kept_to_a_thousandth_and_both_axes_have_one_scale():
    data = given_for(50, stages=3)
    held = arrays(image_map(**data).page)
    places = np.stack([held["x"], held["y"]], axis=-1) / 65_535
    span = np.ptp(data["maps"].reshape(-1, 2), axis=0).max()
    moved = places * span - data["maps"]
    assert np.ptp(moved.reshape(-1, 2), axis=0).max() < 1e-4 * span
    assert places.min() == 0
    assert places.max() == 1


def test_labels_predictions_confidence_and_clusters_are_those_given():
    data = given_for(50, stages=3)
    clusters = np.arange(50) % 7
    held = arrays(image_map(**data, clusters=clusters).page)
    assert (held["label"] == data["labels"]).all()
    assert (held["predicted"] == data["predicted"]).all()
    assert np.abs(held["confidence"] / 65_535 - data["confidence"]).max() < 1e-4
    assert (held["right"] == (data["predicted"] == data["labels"])).all()
    assert (held["cluster"] == clusters).all()
    assert (held["near"] == data["neighbours"]).all()


def test_what_holds_at_all_epochs_is_held_once():
    held = arrays(explorer(20, stages=3, predicted=np.zeros(20, int), confidence=np.ones(20)).page)
    shapes = {name: len(held[name]) for name in ("x", "label", "predicted", "confidence", "right")}
    assert shapes == {"x": 3, "label": 1, "predicted": 1, "confidence": 1, "right": 1}


def test_epochs_are_named():
    data = given_for(5, stages=3)
    page = image_map(**data, epochs=[0, 0.125, 25]).page
    assert payload(page)["epochs"] == ["0", "0.125", "25"]
    assert payload(image_map(**data).page)["epochs"] == ["1 of 3", "2 of 3", "3 of 3"]


def test_colours_are_those_of_every_other_figure():
    held = payload(explorer().page)
    assert held["colours"] == [class_colour(k) for k in range(3)]


# ---- Sizes ----


@pytest.mark.parametrize("limit", [2_000_000, 700_000, 400_000])
def test_a_page_keeps_its_limit_even_for_noise(limit):
    page = explorer(800, images=noise(800), limit_bytes=limit).page
    assert len(page.encode()) <= limit


def test_more_room_makes_better_thumbnails():
    images = noise(400)
    loose, tight = (
        off_by(thumbnails(explorer(400, images=images, limit_bytes=limit).page), images).mean()
        for limit in (2_000_000, 300_000)
    )
    assert loose < tight


def test_too_small_a_limit_says_what_to_do():
    with pytest.raises(ValueError, match=r"do not fit into 20,000 bytes.*thin"):
        explorer(limit_bytes=20_000).page  # noqa: B018


@pytest.mark.parametrize(("count", "limit"), [(10, 5_000_000), (20_000, 10_000_000)])
def test_the_limit_grows_with_the_images(count, limit):
    nothing = np.zeros(count, int)
    images, maps = np.zeros((count, 1, 1, 3), np.uint8), np.zeros((count, 2))
    assert image_map(images, maps, nothing, nothing, nothing, NAMES).limit_bytes == limit


# ---- Thinned ----


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5))
def test_a_thinned_map_keeps_images_and_their_nearest_as_they_were(count, most, k):
    data = given_for(count, stages=2, k=k)
    small = image_map(**data).thin(most)
    assert 1 <= len(small) <= min(count, most)
    if k == 0:
        assert len(small) == min(count, most)
    kept = set(small.number.tolist())
    assert len(kept) == len(small)
    for row, number in enumerate(small.number):
        near = [small.number[j] for j in small.neighbours[row] if j < len(small)]
        assert near == [j for j in data["neighbours"][number] if j in kept]
    assert (small.images == data["images"][small.number]).all()
    assert (small.maps == data["maps"][:, small.number]).all()
    assert (small.predicted == data["predicted"][:, small.number]).all()


def test_a_thinned_map_fits_into_a_notebook_and_says_that_it_is_a_sample():
    small = explorer(3000, images=noise(3000)).thin()
    assert len(small.frame().encode()) <= 350_000
    assert payload(small.page)["total"] == 3000
    assert repr(small) == "<Explorer of 600 images, of 3,000>"


def test_a_thinned_map_still_covers_the_whole():
    count = 2000
    maps = np.random.default_rng(0).uniform(size=(count, 2))
    small = explorer(count, maps=maps, neighbours=None).thin(200)
    cells = np.unique(np.floor(small.maps[0] * 5).astype(int), axis=0)
    assert len(cells) == 25


def test_thinning_to_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        explorer().thin(0)


# ---- Safe and whole ----


def test_names_and_titles_cannot_break_out_of_the_page():
    held = explorer(names=["a", EVIL, "c"], title=EVIL)
    page = held.page
    assert EVIL not in page
    assert page.count("<script") == 3  # the payload, one sheet, the code
    assert payload(page)["names"][1] == payload(page)["title"] == EVIL
    assert EVIL not in held.frame()


def test_the_page_has_nothing_to_fetch_and_may_not():
    page = explorer().page
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z]+\.|\bfetch\(|XMLHttpRequest|import\(", page)
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_the_code_can_stand_in_a_page():
    assert "</script" not in CODE.read_text()
    assert CODE.read_text() in explorer().page


def test_a_page_is_ascii_so_that_no_encoding_can_spoil_it():
    held = explorer(names=["a", "Zürich", "鯨"], title="Karte – für alle")
    assert held.frame().isascii()
    assert payload(held.page)["names"] == ["a", "Zürich", "鯨"]


def test_a_frame_holds_the_page():
    held = explorer()
    frame = held.frame()
    assert unescape(re.search(r'srcdoc="(.*?)"', frame, re.S)[1]) == held.page
    assert 'sandbox="allow-scripts"' in frame


def test_a_page_is_the_same_every_time():
    assert explorer().page == explorer().page


def test_html_writes_the_page(tmp_path):
    held = explorer()
    path = held.html(tmp_path / "new" / "map.html")
    assert path.read_text(encoding="utf-8") == held.page


def test_a_notebook_shows_a_picture_and_then_the_frame(monkeypatch):
    shown = []

    def display(*things, **_):
        for thing in things:
            thing._ipython_display_() if hasattr(thing, "_ipython_display_") else shown.append(
                thing
            )

    monkeypatch.setattr("IPython.display.display", display)
    held = explorer()
    held._ipython_display_()
    picture, frame = shown
    assert set(picture) == {"image/jpeg", "text/plain"}
    assert frame == {"text/html": held.frame(), "text/plain": "<Explorer of 40 images>"}


BAD = {
    "maps": [np.zeros((39, 2)), np.zeros((40, 3)), np.full((40, 2), np.nan), np.zeros((0, 40, 2))],
    "labels": [np.zeros(39, int), np.full(40, 3), np.full(40, -1), np.zeros(40)],
    "predicted": [np.full(40, 3), np.zeros((2, 40), int)],
    "confidence": [np.full(40, 1.1), np.full(40, -0.1), np.full(40, np.nan), np.zeros(39)],
    "clusters": [np.full(40, -1), np.zeros(39, int)],
    "neighbours": [np.full((40, 2), 40), np.full((40, 2), -2), np.zeros((39, 2), int)],
    "epochs": [[1, 2]],
    "images": [np.zeros((40, 32, 32)) - 1, np.zeros((40, 32))],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_what_does_not_fit_is_refused(name, value):
    with pytest.raises(ValueError, match=r"\w+ "):
        explorer(**{name: value})


# ---- The picture ----


def drawn(figure) -> np.ndarray:
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def test_the_static_map_shows_images_where_they_are():
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
    images = np.broadcast_to(colours[:, None, None], (3, 32, 32, 3))
    points = np.array([(-1, -1), (1, -1), (1, 1)])  # bottom left, bottom right, top right
    picture = drawn(static_map(images, points, [0, 1, 2], NAMES))
    rows, columns = zip(
        *(np.argwhere((picture == c).all(-1)).mean(0) for c in colours), strict=True
    )
    assert rows[0] == pytest.approx(rows[1])
    assert rows[2] < rows[1] - 500
    assert columns[1] == pytest.approx(columns[2])
    assert columns[0] < columns[1] - 500


def test_the_static_map_shows_the_image_nearest_to_the_middle_of_a_cell():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[2] = 250, 1, 2
    points = np.array([(0, 0), (240, 240), (105.1, 105.2), (101, 101)])  # cells of 10
    picture = drawn(static_map(images, points, [0, 1, 2, 2], NAMES))
    assert (picture == (250, 1, 2)).all(-1).sum() == 24 * 24


def test_the_static_map_frames_in_class_colours_and_names_them():
    figure = static_map(gradients(300), given_for(300)["maps"][0], np.arange(300) % 3, NAMES, "t")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == NAMES
    picture = drawn(figure)
    for index in range(3):
        frame = np.rint(255 * np.array(matplotlib.colors.to_rgb(class_colour(index))))
        assert (picture == frame).all(-1).sum() > 1000


@pytest.mark.parametrize("count", [1, 2, 23, 120])
@pytest.mark.parametrize("title", ["", "a rather long title " * 12])
def test_the_static_map_is_readable_for_any_number_of_classes(count, title):
    names = [f"a_rather_long_name_of_a_whale_in_the_ocean_{k}" for k in range(count)]
    labels = np.arange(130) % count
    figure = static_map(gradients(130), given_for(130)["maps"][0], labels, names, title)
    assert isinstance(figure, NotebookFigure)
    drawn(figure)
    texts = [*figure.legends[0].get_texts(), figure.axes[0]._left_title]
    for text in filter(lambda text: text.get_text(), texts):
        box = text.get_window_extent().extents
        assert (box[:2] >= 0).all()
        assert (box[2:] <= figure.bbox.max).all()


def test_the_static_map_is_small():
    kind, data = encode(explorer(2000).static())
    assert kind == "image/jpeg"
    assert len(b64encode(data)) < 250_000


def test_a_static_map_needs_a_point_for_each_image():
    with pytest.raises(ValueError, match="as many points"):
        static_map(gradients(3), np.zeros((2, 2)), [0, 1], NAMES)
