"""Figures about training and about the numbers that come out of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .agreement import last_finite
from .style import (
    BLUE,
    DPI,
    GREY,
    INK,
    ORANGE,
    PALE,
    WIDTH,
    NotebookFigure,
    class_colour,
    count_axis,
    mix,
    panels,
    percent,
    percent_axis,
    percent_range,
    shorten,
    spread,
)

LABEL_SIZE = 9.5
LABEL_PIXELS = 130
HEIGHT = 3.4


def training_curves(histories: Mapping[str, pd.DataFrame]) -> NotebookFigure:
    """Loss and accuracy by epoch of one or several runs, each named at the end of its line.

    histories: run to a table with epoch, train_loss, validation_loss, train_accuracy and
    validation_accuracy. Validation is solid, training dashed; a dot marks each run's best epoch
    on validation. The best accuracy is written below its dot, of several runs beside their names.
    """
    if not histories or not all(len(history) for history in histories.values()):
        raise ValueError("training curves need at least one run, each with at least one epoch")
    figure, axes = panels(2, height=HEIGHT)
    for ax, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        ends = []
        for index, (label, history) in enumerate(histories.items()):
            ends += _run(ax, label, history, quantity, class_colour(index), len(histories) == 1)
        unit = " in nats" if quantity == "loss" else ""
        ax.set(xlabel="epoch", title=f"{quantity.capitalize()}{unit} (dashed: training; dot: best)")
        count_axis(ax.xaxis)
        ax.grid(axis="y")
        _end_labels(ax, ends)
    percent_axis(axes[1].yaxis)
    if len(histories) == 1:
        _say_best(axes[1], *histories.values())
    return figure


def _say_best(ax: Axes, history: pd.DataFrame) -> None:
    """Write the best accuracy at the foot of a line down from its dot: the room there is free."""
    accuracy, epochs = history["validation_accuracy"].to_numpy(), history["epoch"].to_numpy()
    if not np.isfinite(accuracy).any():
        return
    best = np.nanargmax(accuracy)
    colour = mix(class_colour(0), 0.3, "black")
    ax.vlines(epochs[best], ax.get_ylim()[0], accuracy[best], colors=colour, linewidth=0.8)
    left = epochs[best] < np.mean(ax.get_xlim())
    place = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
    place |= {"xytext": (5 if left else -5, 6), "ha": "left" if left else "right"}
    text = f"best {percent(accuracy[best])} at epoch {epochs[best]}"
    ax.annotate(text, (epochs[best], 0), size=LABEL_SIZE, color=colour, **place)


def _run(ax: Axes, label, history, quantity, colour, alone) -> list[tuple[float, str, str]]:
    """Draw a run's two lines; give (last value, text, colour) for the labels at their ends."""
    epochs = history["epoch"].to_numpy()
    train, validation = (history[f"{part}_{quantity}"].to_numpy() for part in _PARTS)
    dashes = {"linestyle": (0, (4, 2)), "marker": "_" if len(epochs) == 1 else None}
    ax.plot(epochs, train, color=colour, linewidth=1.2, alpha=0.8, **dashes)
    ax.plot(epochs, validation, color=colour)
    name = "validation" if alone else shorten(label, LABEL_SIZE, LABEL_PIXELS)
    if np.isfinite(validation).any():
        best = (np.nanargmin if quantity == "loss" else np.nanargmax)(validation)
        ax.plot(epochs[best], validation[best], "o", color=colour, markersize=6)
        if quantity == "accuracy" and not alone:
            name += f", best {percent(validation[best])}"
    ends = [(last_finite(validation), name, colour)]
    return [*ends, (last_finite(train), "training", colour)] if alone else ends


_PARTS = ("train", "validation")


def _end_labels(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names to the right of the axes, level with where their lines end, moved apart if they touch.

    Fixes the y limits, which the places are relative to.
    """
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    ends = [end for end in ends if np.isfinite(end[0])]
    height = ax.get_figure().get_figheight() * DPI * 0.75
    places = spread([(end[0] - low) / (high - low) for end in ends], 15 / height)
    for place, (_, text, colour) in zip(places, ends, strict=True):
        label = ax.text(1.02, place, text, transform=ax.transAxes, va="center", size=LABEL_SIZE)
        label.set_color(mix(colour, 0.3, "black"))


def iteration_curves(iterations: pd.DataFrame, window: int | None = None) -> NotebookFigure:
    """Loss and accuracy of each training batch (pale) and their running mean (dark).

    iterations: a table with iteration, loss and accuracy; `epoch`, where it is there, is ruled at
    its beginnings. `window`: iterations averaged, centred (a fortieth of them, at least 5).
    """
    if not len(iterations):
        raise ValueError("there is no iteration to draw")
    window = window or max(5, len(iterations) // 40)
    figure, axes = panels(2, height=HEIGHT)
    for ax, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        values = iterations[quantity]
        smooth = values.rolling(window, center=True, min_periods=1).mean()
        ax.plot(iterations["iteration"], values, color=mix(BLUE, 0.6, "white"), linewidth=0.6)
        ax.plot(iterations["iteration"], smooth, color=mix(BLUE, 0.35, "black"))
        unit = ", nats," if quantity == "loss" else ","
        title = f"{quantity.capitalize()} of a batch{unit} and its mean over {window} iterations"
        ax.set(xlabel="iteration", title=title)
        count_axis(ax.xaxis, 6)
        _rule_epochs(ax, iterations)
    percent_axis(axes[1].yaxis)
    return figure


def _rule_epochs(ax: Axes, iterations: pd.DataFrame) -> None:
    if "epoch" not in iterations or iterations["epoch"].nunique() > 20:
        return
    for start in iterations.groupby("epoch")["iteration"].min().iloc[1:]:
        ax.axvline(start, color=PALE, linewidth=1, zorder=0)


def reliability_diagram(
    bins: Mapping[str, object], errors: Mapping[str, object] | None = None
) -> NotebookFigure:
    """How often the net is right, against how sure it is: a column for each state of the net.

    bins: state (such as "as trained" and "after temperature scaling") to what
    `calibration.reliability` returns: confidence, accuracy and count of each bin, (B,), empty bins
    with count 0. Orange gaps: surer than right; blue: less sure than right. errors: state to its
    calibration error with interval, written above. Below: how many images each bin holds.
    """
    if not bins:
        raise ValueError("there is no state to draw a reliability diagram of")
    width = min(WIDTH, 1 + 4.2 * len(bins))
    options = {"squeeze": False, "sharex": True, "sharey": "row"}
    options["height_ratios"] = (3.2, 1)
    figure, axes = panels(len(bins), 2, height=2.5, width=width, **options)
    figure.get_layout_engine().set(wspace=0.06)
    for (upper, lower), (label, state) in zip(axes.T, bins.items(), strict=True):
        confidence, accuracy, count = (np.asarray(part, dtype=float) for part in _columns(state))
        if not count.sum():
            raise ValueError(f"no bin of {label!r} holds an image")
        _gaps(upper, confidence[count > 0], accuracy[count > 0])
        share = 1 / len(count)
        lower.bar(confidence[count > 0], count[count > 0], width=0.8 * share, color=GREY)
        lower.set_xlabel("confidence")
        error = (errors or {}).get(label)
        note = "" if error is None else f"\ncalibration error {percent_range(error)}"
        upper.set_title(f"{label}{note}")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("images")
    count_axis(axes[1, 0].yaxis, 4)
    return figure


def _columns(state) -> tuple:
    return state.confidence, state.accuracy, state.count


def _gaps(ax: Axes, confidence: np.ndarray, accuracy: np.ndarray) -> None:
    ax.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    colours = [ORANGE if gap > 0 else BLUE for gap in confidence - accuracy]
    ax.vlines(confidence, accuracy, confidence, colors=colours, linewidth=6, alpha=0.55)
    ax.plot(confidence, accuracy, "o-", color=INK, markersize=4, linewidth=1.2)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)


def seed_spread(
    values: Mapping[str, Sequence[float]], intervals: Mapping[str, object]
) -> NotebookFigure:
    """The test accuracy of each training seed as a dot, and their mean with its interval.

    values: recipe to one number in 0..1 for each seed; intervals: recipe to an interval of the
    mean (`value`, `low`, `high`; NaN bounds are not drawn).
    """
    if not values or not all(len(numbers) for numbers in values.values()):
        raise ValueError("a spread over seeds needs at least one recipe, each with a value")
    figure, ax = panels(1, height=0.9 + 0.62 * len(values))
    for row, (label, numbers) in enumerate(values.items()):
        _recipe(ax, row, numbers, intervals[label], class_colour(0))
    names = [shorten(label, 10, 220) for label in values]
    ax.set_yticks(range(len(names)), names)
    ax.set(ylim=(len(names) - 0.45, -0.6), xlabel="test accuracy")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.06)
    ax.grid(axis="x")
    percent_axis(ax.xaxis)
    return figure


def _recipe(ax: Axes, row: int, numbers, interval, colour: str) -> None:
    dark = mix(colour, 0.35, "black")
    ax.plot((interval.low, interval.high), (row, row), color=dark, linewidth=2.5)
    ax.plot(interval.value, row, "D", color=dark, markersize=7)
    seeds = np.full(len(numbers), row + 0.24)
    ax.plot(numbers, seeds, "o", color=colour, markersize=5, alpha=0.6, markeredgewidth=0)
    text = f"{percent_range(interval)}, n = {len(numbers)}"
    place = ax.get_yaxis_transform()
    ax.text(1.015, row, text, transform=place, va="center", size=LABEL_SIZE)
