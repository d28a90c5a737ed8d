"""Figures by class and of training: the right thing at the right place, and readable."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from helpers.datasets.scenes import scenes
from helpers.show import classes as by_class
from helpers.show import curves
from helpers.show.style import NO_BREAK, ORANGE, apply_style, class_colour, encode
from tests.unit.reading import assert_readable

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TWO = ["cats", "dogs"]
TWELVE = [f"a_rather_long_name_of_a_dolphin_{index}" for index in range(12)]
MANY = [f"whale_{index}" for index in range(26)]


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def interval(value, low=None, high=None):
    nan = float("nan")
    return SimpleNamespace(value=value, low=nan if low is None else low, high=high or nan)


def solid(colours, side=32):
    colours = np.asarray(colours, np.uint8)
    return np.broadcast_to(colours[:, None, None], (len(colours), side, side, 3)).copy()


def history(epochs=10, best=6):
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "validation_loss": 1 + (epoch - best) ** 2 / 50,
            "train_accuracy": 1 - 0.6 / epoch,
            "validation_accuracy": 0.7 - (epoch - best) ** 2 / 500,
        }
    )


def histories(*labels):
    return {label: history() for label in labels}


def confusion(count, n=1000):
    matrix = np.random.default_rng(0).integers(1, 200, (count, count))
    np.fill_diagonal(matrix, n)
    return matrix


def reliability(confidence=(0.1, 0.5, 0.9), accuracy=(np.nan, 0.6, 0.8), count=(0, 10, 30)):
    return SimpleNamespace(confidence=confidence, accuracy=accuracy, count=count)


def accuracies(names):
    values = np.linspace(0.3, 0.9, len(names))
    return [interval(value, value - 0.05, value + 0.04) for value in values]


def counts(names, n=4000):
    whole = pd.Series([n] * len(names), index=names)
    return {"train": whole, "validation": whole // 8, "calibration": whole // 8, "test": whole // 4}


def seeds(*labels):
    values = {label: [0.60, 0.61, 0.63] for label in labels}
    return values, {label: interval(0.6133, 0.58, 0.65) for label in labels}


FIGURES = {
    "accuracy": lambda names: by_class.class_accuracy(names, accuracies(names), overall=0.62),
    "counts": lambda names: by_class.class_counts(counts(names)),
    "confusion": lambda names: by_class.confusion_with_images(confusion(len(names)), names),
    "gallery": lambda names: by_class.class_gallery(
        solid([[9, 9, 9]] * len(names)), range(len(names)), names
    ),
    "curves": lambda names: curves.training_curves(histories(*names)),
    "seeds": lambda names: curves.seed_spread(*seeds(*names)),
    "reliability": lambda names: curves.reliability_diagram(
        {name: reliability() for name in names[:2]}, {names[0]: interval(0.12, 0.11, 0.13)}
    ),
    "attributes": lambda names: by_class.attributes(
        pd.DataFrame({"shape": names * 50, "size": np.linspace(0, 1, 50 * len(names))})
    ),
}


@pytest.mark.parametrize("names", [["one"], TWO, TWELVE], ids=["1", "2", "12 long"])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_readable(kind, names):
    assert_readable(FIGURES[kind](names))


@pytest.mark.parametrize("kind", ["accuracy", "confusion", "curves"])
def test_figures_stay_small(kind):
    assert len(encode(FIGURES[kind](TEN))[1]) < 60_000


@pytest.mark.parametrize("names", [TWO, TEN, TWELVE], ids=len)
def test_a_confusion_cell_holds_the_image_of_its_row_and_column(names):
    count = len(names)
    cells = [(i, j) for i in range(count) for j in range(count) if i != j]
    examples = {(i, j): solid([[7, 100 + 10 * i, 100 + 10 * j]])[0] for i, j in cells}
    (ax,) = by_class.confusion_with_images(confusion(count), names, examples).axes
    rows = [int(text.get_position()[1]) for text in ax.texts if text.get_ha() == "right"]
    names_above = [text for text in ax.texts if text.get_va() == "baseline"]
    columns = [int(text.get_position()[0]) - 8 for text in names_above]
    found = np.asarray(ax.images[0].get_array())[np.ix_(rows, columns)]
    assert found.shape == (count, count, 3)
    for i, j in cells:
        assert found[i, j].tolist() == [7, 100 + 10 * i, 100 + 10 * j]


def test_confusion_numbers_are_counts_at_their_row_and_column():
    matrix = np.array([[50, 3], [0, 47]])
    (ax,) = by_class.confusion_with_images(matrix, TWO).axes
    numbers = {t.get_text(): t.get_position() for t in ax.texts if t.get_text().isdigit()}
    assert set(numbers) == {"50", "3", "47"}
    assert numbers["3"][0] > numbers["50"][0]
    assert numbers["3"][1] == numbers["50"][1] < numbers["47"][1]


def test_no_image_is_shown_where_there_is_no_error():
    matrix = np.array([[50, 0], [3, 47]])
    red = solid([[255, 0, 0]])[0]
    examples = {(0, 1): red, (0, 0): red}
    (ax,) = by_class.confusion_with_images(matrix, TWO, examples).axes
    assert not (np.asarray(ax.images[0].get_array()) == [255, 0, 0]).all(-1).any()


def test_many_classes_are_counts_and_a_note():
    examples = {(0, 1): solid([[1, 2, 3]])[0]}
    figure = by_class.confusion_with_images(np.eye(26, k=1, dtype=int), MANY, examples)
    (ax,) = figure.axes
    assert not (np.asarray(ax.images[0].get_array()) == [1, 2, 3]).all(-1).any()
    assert not figure.photographs
    assert any("26 classes" in text.get_text() for text in ax.texts)


def test_a_confusion_row_without_images_is_blank_and_a_wrong_shape_an_error():
    by_class.confusion_with_images(np.array([[0, 0], [2, 5]]), TWO)
    by_class.confusion_with_images(np.array([[5]]), ["one"])
    with pytest.raises(ValueError, match="3 classes need a square matrix"):
        by_class.confusion_with_images(np.eye(2), ["a", "b", "c"])


def test_error_examples_are_misread_and_the_most_confident():
    images = solid([[k, k, k] for k in range(5)])
    labels, predicted = [0, 0, 1, 0, 1], [0, 1, 0, 1, 1]
    first = by_class.error_examples(images, labels, predicted)
    assert {cell: image[0, 0, 0] for cell, image in first.items()} == {(0, 1): 1, (1, 0): 2}
    surest = by_class.error_examples(images, labels, predicted, [0.9, 0.5, 0.6, 0.8, 1])
    assert {cell: image[0, 0, 0] for cell, image in surest.items()} == {(0, 1): 3, (1, 0): 2}


def test_a_gallery_row_holds_only_its_class_in_order():
    labels = np.array([1, 0, 1, 0, 0, 1])
    images = solid([[10 + 20 * k, 5, 5] for k in range(6)])
    (ax,) = by_class.class_gallery(images, labels, ["a", "b", "none"], per_class=2).axes
    picture = np.asarray(ax.images[0].get_array())
    third = picture.shape[0] // 3
    row = [
        {int(v) for v in np.unique(picture[top : top + third][..., 0]) if (v - 10) % 20 == 0}
        for top in (0, third, 2 * third)
    ]
    shown = [{10 + 20 * k for k in range(6)} & levels for levels in row]
    assert shown == [{30, 70}, {10, 50}, set()]


def test_a_gallery_refuses_labels_of_other_classes():
    with pytest.raises(ValueError, match="indices of the 2 classes"):
        by_class.class_gallery(solid([[1, 1, 1]]), [5], TWO)


def test_class_accuracy_draws_each_interval_on_its_row_in_its_colour():
    figure = by_class.class_accuracy(
        ["low", "empty", "high"],
        [interval(0.2, 0.1, 0.35), interval(float("nan")), interval(0.9, 0.8, 0.95)],
    )
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["high", "low", "empty"]
    bar, dot = ax.lines[2:4]
    np.testing.assert_allclose(bar.get_xydata(), [[0.1, 1], [0.35, 1]])
    assert (*dot.get_xdata(), *dot.get_ydata()) == (0.2, 1)
    assert [to_hex(line.get_color()) for line in ax.lines[0:4:2]] == [
        class_colour(2),
        class_colour(0),
    ]
    assert [text.get_text() for text in ax.texts][-1] == "n/a"
    low, high = ax.get_xlim()
    assert low < 0.1
    assert high > 0.95


def test_class_accuracy_refuses_a_wrong_number_of_intervals():
    with pytest.raises(ValueError, match="1 intervals for 2 classes"):
        by_class.class_accuracy(TWO, [interval(0.5)])


def test_class_counts_stack_to_the_total_and_sort():
    train, test = pd.Series({"cat": 3, "dog": 10}), pd.Series({"dog": 2, "cow": 1})
    (ax,) = by_class.class_counts({"train": train, "test": test}).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dog", "cat", "cow"]
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[1]]
    assert ends == [12, 3, 1]
    with pytest.raises(ValueError, match="no class"):
        by_class.class_counts({})


def test_attributes_leave_paths_out_and_count_what_is_unknown():
    n = 200
    table = pd.DataFrame(
        {
            "path": [f"{k}.png" for k in range(n)],
            "shape": ["disc", "disc", "disc", "ring"] * (n // 4),
            "size": [np.nan, *np.linspace(0, 1, n - 1)],
            "same": 1,
        }
    )
    figure = by_class.attributes(table)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["shape", "size (1 unknown)"]
    wide = by_class.attributes(table.assign(width=np.arange(n) % 50)).axes[2]
    assert wide.get_xlabel() == "pixels"
    assert [bar.get_width() for bar in figure.axes[0].patches] == [150, 50]
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == n - 1
    with pytest.raises(ValueError, match="no column"):
        by_class.attributes(table[["path", "same"]])


def test_attributes_leave_paths_of_few_images_out_too():
    table = pd.DataFrame(
        {"path": list("abc"), "index": [4, 5, 6], "shape": ["disc", "disc", "ring"]}
    )
    assert [ax.get_title("left") for ax in by_class.attributes(table).axes] == ["shape"]


def test_attributes_name_the_units_of_scenes():
    angles, columns = scenes(200).table["rotation"], ["rotation", "size", "x", "y"]
    assert angles.abs().max() > 15  # degrees, not radians
    labels = [ax.get_xlabel() for ax in by_class.attributes(scenes(200).table, columns).axes]
    assert labels[:2] == ["degrees, clockwise", "radius, in image widths"]
    assert labels[2:4] == ["image widths from the left", "image widths from the top"]


def test_training_curves_mark_the_best_epoch_of_validation():
    loss, accuracy = curves.training_curves({"net": history(best=6)}).axes
    for ax, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        train, validation, dot = ax.lines
        np.testing.assert_allclose(train.get_ydata(), history()[f"train_{quantity}"])
        np.testing.assert_allclose(validation.get_ydata(), history()[f"validation_{quantity}"])
        assert dot.get_xdata() == [6]
    assert {text.get_text() for text in loss.texts} == {"validation", "training"}
    (said,) = [text for text in accuracy.texts if "best" in text.get_text()]
    assert said.get_text() == f"best 70.0{NO_BREAK}% at epoch 6"
    assert said.xy[0] == 6
    assert {"validation", "training"} < {text.get_text() for text in accuracy.texts}


def test_of_several_runs_the_best_is_called_so_beside_the_name():
    _, accuracy = curves.training_curves({"one": history(best=6), "two": history(best=3)}).axes
    texts = [text.get_text() for text in accuracy.texts]
    assert texts == [f"{name}, best 70.0{NO_BREAK}%" for name in ("one", "two")]


def test_training_curves_survive_a_run_that_diverged():
    lost = history()
    lost.loc[3:, ["train_loss", "validation_loss"]] = np.nan
    never = history().assign(validation_loss=np.nan, validation_accuracy=np.nan)
    assert_readable(curves.training_curves({"lost": lost, "never": never}))
    with pytest.raises(ValueError, match="at least one run"):
        curves.training_curves({"empty": history().iloc[:0]})


def test_iteration_curves_draw_raw_under_mean():
    n = 120
    table = pd.DataFrame(
        {"iteration": range(n), "epoch": np.arange(n) // 40, "loss": [0.0, 2] * 60}
    )
    table["accuracy"] = 0.5
    figure = curves.iteration_curves(table, window=10)
    raw, smooth, *epochs = figure.axes[0].lines
    np.testing.assert_allclose(raw.get_ydata(), table["loss"])
    np.testing.assert_allclose(smooth.get_ydata()[10:-10], 1)
    assert [line.get_xdata()[0] for line in epochs] == [40, 80]
    assert_readable(figure)
    with pytest.raises(ValueError, match="no iteration"):
        curves.iteration_curves(table.iloc[:0])


def test_a_reliability_diagram_leaves_empty_bins_out_and_colours_what_is_too_sure():
    upper, lower = curves.reliability_diagram({"as trained": reliability()}).axes
    np.testing.assert_allclose(upper.lines[-1].get_xydata(), [[0.5, 0.6], [0.9, 0.8]])
    assert [bar.get_height() for bar in lower.patches] == [10, 30]
    under, over = upper.collections[0].get_colors()[:, :3]
    assert to_hex(over) == ORANGE
    assert to_hex(under) != ORANGE
    with pytest.raises(ValueError, match="'empty' holds an image"):
        curves.reliability_diagram({"empty": reliability(count=(0, 0, 0))})


def test_seed_spread_draws_seeds_mean_and_interval():
    values, intervals = {"a": [0.6, 0.7], "b": [0.5]}, {"a": interval(0.65, 0.6, 0.7)}
    (ax,) = curves.seed_spread(values, intervals | {"b": interval(0.5)}).axes
    bar, mean, dots = ax.lines[:3]
    np.testing.assert_allclose(bar.get_xdata(), [0.6, 0.7])
    assert (*mean.get_xdata(), *mean.get_ydata()) == (0.65, 0)
    np.testing.assert_allclose(dots.get_xdata(), [0.6, 0.7])
    assert ax.texts[1].get_text().endswith("n = 1")
    with pytest.raises(ValueError, match="at least one recipe"):
        curves.seed_spread({"a": []}, {})
