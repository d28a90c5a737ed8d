"""Figures of how well descriptions of classes agree, and of how many clusters there are."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from .images import number
from .maps import axes_at, blank
from .style import (
    BLUE,
    DPI,
    GREY,
    ORANGE,
    PALE,
    ROOM,
    NotebookFigure,
    class_colour,
    mix,
    panels,
    percent_axis,
    percent_range,
    shorten,
    spread,
    text_width,
)

SIZE = 9.5
ROW, FLAG, FLAG_SIZE = 25, 18, 9
NAME_PIXELS, END_PIXELS, PAIR_PIXELS = 260, 190, 230
TALL = 300
LEADER, LABEL = 20, 17
MARKERS = "osD^vPX"
DASHES = (0, (4, 3))
MARK = mix(ORANGE, 0.45, "black")
TICKS = (0, 0.125, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300)
NAMED, PAIR_SIZE = 4, 8.5
PLOT = (70, 40, 600, 420)
DOT, PAIR_TALL = 5, 14
# Where a name may stand, in halves of its box from the dot: first at the right.
BESIDE = np.array([(1, 0), (-1, 0), (1, -0.7), (-1, 0.7), (1, 0.7), (-1, -0.7), (0, -1), (0, 1)])


def dots(
    groups: Mapping[str, object],
    xlabel: str,
    marks: Mapping[str, float] | None = None,
    shares: bool = False,
) -> NotebookFigure:
    """A row for each entry: its value as a dot, its interval as a bar, both as numbers.

    groups: name to interval (`value`, `low`, `high`), or title to such a mapping, whose rows then
    stand below the title. NaN bounds: the dot alone; NaN value: "n/a". marks: what to compare
    with (ceiling, floor, chance), an upright line each; shares: written in percent.
    """
    rows = list(_rows(groups))
    intervals = [interval for _, interval in rows if interval is not None]
    if not intervals:
        raise ValueError("there is no entry to draw")
    marks = {name: at for name, at in (marks or {}).items() if np.isfinite(at)}
    limits = _limits(intervals, marks.values())
    # Bold titles are about a tenth wider.
    left = 24 + int(1.1 * min(NAME_PIXELS, max(text_width(name, SIZE) for name, _ in rows)))
    longest = max(text_width(_in_words(interval, shares), SIZE) for interval in intervals)
    width = ROOM - left - max(150, int(longest) + 24)
    flags = _flags(marks, limits, width)
    top = 14 + FLAG * (1 + max((level for *_, level in flags), default=-1))
    figure = blank(ROOM, top + ROW * len(rows) + 50)
    ax = axes_at(figure, left, top, width, ROW * len(rows))
    ax.set(xlim=limits, ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel, yticks=[])
    for row, (name, interval) in enumerate(rows):
        _row(ax, row, name, interval, shares)
    if shares:
        percent_axis(ax.xaxis)
    for name, at, level in flags:
        _flag(ax, name, at, level)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return figure


def _rows(groups) -> Iterator[tuple[str, object]]:
    """Names with their intervals; titles with None."""
    for name, entry in groups.items():
        if isinstance(entry, Mapping):
            yield name, None
            yield from entry.items()
        else:
            yield name, entry


def _limits(intervals, marks) -> tuple[float, float]:
    values = [bound for i in intervals for bound in (i.value, i.low, i.high)] + list(marks)
    values = np.array(values)[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0, 1)
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def _row(ax: Axes, row: int, name: str, interval, shares: bool) -> None:
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "size": SIZE}
    weight = "bold" if interval is None else "normal"
    text = shorten(name, SIZE, NAME_PIXELS)
    ax.annotate(text, (0, row), (-8, 0), ha="right", va="center_baseline", weight=weight, **place)
    if interval is not None:
        ax.plot((interval.low, interval.high), (row, row), color=BLUE, linewidth=3, alpha=0.5)
        ax.plot(interval.value, row, "o", color=BLUE, markersize=7)
        words = _in_words(interval, shares)
        ax.annotate(words, (1, row), (12, 0), va="center_baseline", **place)


def _in_words(interval, shares: bool) -> str:
    return percent_range(interval) if shares else _number(interval)


def _number(interval) -> str:
    if not np.isfinite(interval.value):
        return "n/a"
    numbers = (interval.value, interval.low, interval.high)
    if not np.isfinite(numbers).all():
        return number(interval.value, 2)
    value, low, high = (number(each, 2) for each in numbers)
    return f"{value} [{low}, {high}]"


def _flags(marks: Mapping[str, float], limits, width: float) -> list[tuple[str, float, int]]:
    """Marks with the level of their names, from the right: a name stands above those it reaches."""
    flags: list[tuple[str, float, int, float]] = []
    for name, at in sorted(marks.items(), key=lambda mark: -mark[1]):
        x = (at - limits[0]) / (limits[1] - limits[0]) * width
        end = x + text_width(name, FLAG_SIZE) + 10
        level = max((other[2] + 1 for other in flags if other[3] < end), default=0)
        flags.append((name, at, level, x))
    return [flag[:3] for flag in flags]


def _flag(ax: Axes, name: str, at: float, level: int) -> None:
    tall = ax.get_position().height * ax.get_figure().get_figheight() * DPI
    top, place = 1 + (FLAG * (level + 1) - 4) / tall, ax.get_xaxis_transform()
    line = {"color": MARK, "linewidth": 1.2, "linestyle": DASHES, "zorder": 1}
    ax.plot((at, at), (0, top), transform=place, clip_on=False, **line)
    text = {"xycoords": place, "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(name, (at, top), (3, 0), va="top", size=FLAG_SIZE, color=MARK, **text)


def choice_of_k(
    ks,
    silhouettes: Mapping[str, object],
    stabilities: Mapping[str, object],
    chosen: Mapping[str, int],
    threshold: float | None = None,
    stable: float | None = None,
) -> NotebookFigure:
    """Silhouette and stability by the number of clusters, a line for each method.

    ks: (K,); silhouettes, stabilities: method to (K,); chosen: method to the k that was chosen
    (ringed; 1 is no clusters). threshold: the silhouette that matrices without clusters reach;
    stable: the stability that was asked for.
    """
    ks = np.asarray(ks)
    figure, axes = panels(2, height=3.4)
    parts = ((silhouettes, threshold), (stabilities, stable))
    for ax, (lines, mark), title in zip(axes, parts, TITLES, strict=True):
        for index, (method, k) in enumerate(chosen.items()):
            _method(ax, ks, np.asarray(lines[method], dtype=float), index, k)
        if mark is not None:
            ax.axhline(mark, color=MARK, linewidth=1.2, linestyle=DASHES, zorder=1)
        ax.set(title=title.partition(" (")[0] if mark is None else title)
        ax.set(xlabel="number of clusters k", xlim=(ks.min() - 0.4, ks.max() + 0.4))
        ax.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
        ax.grid(axis="y")
    figure.legend(
        axes[0].lines[: len(chosen)],
        list(map(_choice, chosen, chosen.values())),
        loc="outside upper left",
        ncols=4,
        fontsize=SIZE,
    )
    return figure


TITLES = (
    "Silhouette (dashed: 95 % point without clusters)",
    "Stability, adjusted Rand index (dashed: asked for)",
)


def _choice(method: str, k: int) -> str:
    return f"{shorten(method, SIZE, 130)}: {f'k = {k}' if k > 1 else 'no clusters'}"


def _method(ax: Axes, ks: np.ndarray, values: np.ndarray, index: int, chosen: int) -> None:
    look = {"color": class_colour(index), "marker": MARKERS[index % len(MARKERS)]}
    ax.plot(ks, values, markersize=5, **look)
    # Each method has a larger ring, so that rings around one point are all seen.
    ring = {"s": 90 + 80 * index, "facecolors": "none", "linewidths": 1.8, "clip_on": False}
    ax.scatter(ks[ks == chosen], values[ks == chosen], edgecolors=look["color"], **ring)


def lines_by_epoch(
    epochs,
    runs: Mapping[str, object],
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    xlabel: str = "epoch",
) -> NotebookFigure:
    """A number by epoch: a thin line for each seed, a thick one for their mean, named at its end.

    epochs: (E,), or what else `xlabel` says; runs: name to (S, E) or (E,); marks: name to a level
    to compare with. Where epochs lie within the first one, the axis is stretched there (square
    root).
    """
    epochs = np.asarray(epochs, dtype=float)
    if not runs:
        raise ValueError("there is no run to draw")
    marks = {name: level for name, level in (marks or {}).items() if np.isfinite(level)}
    longest = max(text_width(name, SIZE) for name in (*runs, *marks))
    figure = blank(ROOM, TALL + 76)
    ax = axes_at(figure, 72, 20, ROOM - 72 - LEADER - 20 - min(longest, END_PIXELS), TALL)
    ends = [_run(ax, epochs, *run, class_colour(index)) for index, run in enumerate(runs.items())]
    for name, level in marks.items():
        ax.axhline(level, color=MARK, linewidth=1.2, linestyle=DASHES, zorder=1)
        ends.append((level, name, MARK))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    epoch_axis(ax, epochs)
    ax.grid(axis="y")
    name_ends(ax, ends, TALL)
    return figure


def _run(ax: Axes, epochs: np.ndarray, name: str, values, colour: str) -> tuple[float, str, str]:
    """Draw the lines of one run; give (last mean, name, colour) for the label at their end."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    if values.shape[-1] != len(epochs):
        raise ValueError(f"{name!r} needs a number for each of the {len(epochs)} epochs")
    mean = values.mean(axis=0)
    ax.plot(epochs, values.T, color=mix(colour, 0.35, "white"), linewidth=0.8)
    ax.plot(epochs, mean, color=colour, linewidth=2.4)
    return last_finite(mean), name, mix(colour, 0.3, "black")


def last_finite(values: np.ndarray) -> float:
    """The last of the values (N,) that is a number; NaN where none is."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


def epoch_axis(ax: Axes, epochs: np.ndarray) -> None:
    """An x axis of epochs (E,), stretched (square root) where some lie within the first one."""
    ax.set_xlim(epochs.min(), epochs.max() if len(epochs) > 1 else epochs.min() + 1)
    if not ((epochs > 0) & (epochs < 1)).any():
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=(1, 2, 5, 10)))
        return
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    kept: list[float] = []
    for tick in TICKS:
        free = not kept or np.sqrt(tick) - np.sqrt(kept[-1]) > 0.06 * np.sqrt(epochs.max())
        if epochs.min() <= tick <= epochs.max() and free:
            kept.append(tick)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def name_ends(ax: Axes, ends, tall: float) -> None:
    """Names right of axes `tall` pixels high, each led to by a thin line from where it belongs.

    ends: (value, name, colour) of each; one whose value is NaN is left out. Fixes the y limits.
    """
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    ends = [end for end in ends if np.isfinite(end[0])]
    levels = np.array([(end[0] - low) / (high - low) for end in ends])
    places = within(levels * tall, 0, tall) / tall
    wide = ax.get_position().width * ax.get_figure().get_figwidth() * DPI
    for level, place, (_, name, colour) in zip(levels, places, ends, strict=True):
        ends_at = (1, 1 + LEADER / wide)
        look = {"color": colour, "linewidth": 0.8, "transform": ax.transAxes}
        ax.get_figure().add_artist(Line2D(ends_at, (level, place), **look))
        how = {"transform": ax.transAxes, "va": "center", "size": SIZE, "color": colour}
        ax.text(1 + (LEADER + 4) / wide, place, shorten(name, SIZE, END_PIXELS), **how)


def name_samples(
    ax: Axes, lines: Sequence[tuple[str, dict]], places, sample: tuple[float, float], room: float
) -> None:
    """Names right of axes, each beside a sample of its line, for lines that all end at one point.

    lines: the name of each and how it is drawn; places: heights of the names, 0..1; sample: where
    it begins and ends, and room: how long a name may be, in pixels.
    """
    wide = ax.get_position().width * ax.get_figure().get_figwidth() * DPI
    for place, (name, look) in zip(places, lines, strict=True):
        ends = 1 + np.array(sample) / wide
        ax.plot(ends, (place, place), transform=ax.transAxes, clip_on=False, **look)
        text, colour = shorten(name, SIZE, room), mix(look["color"], 0.3, "black")
        how = {"transform": ax.transAxes, "va": "center", "size": SIZE, "color": colour}
        ax.text(1 + (sample[1] + 6) / wide, place, text, **how)


def value_of(interval) -> float:
    """The value of an interval; NaN where there is none."""
    return float("nan") if interval is None else float(interval.value)


def within(places: np.ndarray, low: float, high: float) -> np.ndarray:
    """Places of lines of text, in pixels, moved apart and, where all fit, kept from low to high."""
    order = np.argsort(places, kind="stable")
    steps = LABEL * np.arange(len(places))
    moved = np.empty(len(places))
    last = max(high - steps[-1], low) if len(places) else low
    moved[order] = spread(np.clip(places[order] - steps, low, last) + steps, LABEL)
    return moved


def pairs_scatter(
    x,
    y,
    names: Sequence[str],
    groups=None,
    xlabel: str = "",
    ylabel: str = "",
    kinds: Mapping[int, str] | None = None,
) -> NotebookFigure:
    """Two measures of the same pairs of classes against each other, a dot for each pair.

    x, y: (C, C), read above the diagonal; groups: (C,) int labels, which tell pairs within a
    group from pairs across; kinds: group to its name, to tell the groups apart too. The pairs
    closest in `x` and those closest in `y` are named, where there is room beside the dot. A pair
    with NaN is left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != (len(names),) * 2 or y.shape != x.shape:
        raise ValueError(f"{len(names)} classes need two square matrices, not {x.shape}, {y.shape}")
    first, second = np.triu_indices(len(names), 1)
    kept = np.isfinite(x[first, second]) & np.isfinite(y[first, second])
    first, second = first[kept], second[kept]
    points = np.stack([x[first, second], y[first, second]], axis=1)
    figure = blank(sum(PLOT[::2]) + 30, sum(PLOT[1::2]) + 60)
    ax = axes_at(figure, *PLOT)
    for colour, marker, label, members in _kinds(first, second, groups, kinds):
        ax.scatter(*points[members].T, s=32, color=colour, label=label, marker=marker)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.margins(0.08)
    ax.grid(color=PALE)
    if groups is not None:
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1), "ncols": 4}
        ax.legend(**place, handletextpad=0.1, columnspacing=1.2, fontsize=SIZE)
    _name_pairs(ax, points, [f"{names[i]}–{names[j]}" for i, j in zip(first, second, strict=True)])
    return figure


def _kinds(first, second, groups, kinds) -> list[tuple[str, str, str, np.ndarray]]:
    """Colour, marker, label and members of each kind of pair."""
    if groups is None:
        return [(BLUE, "o", "", np.ones(len(first), dtype=bool))]
    one, other = np.asarray(groups)[first], np.asarray(groups)[second]
    within = (
        [(f"within {name}", (one == other) & (one == group)) for group, name in kinds.items()]
        if kinds
        else [("within a group", one == other)]
    )
    looks = [(class_colour(k), MARKERS[k % len(MARKERS)], *kind) for k, kind in enumerate(within)]
    return [(GREY, "x", "across groups", one != other), *looks]


def _name_pairs(ax: Axes, points: np.ndarray, texts: list[str]) -> None:
    """Name the closest pairs by either measure, each beside its dot where it hides nothing."""
    near = np.unique(np.argsort(points, axis=0, kind="stable")[:NAMED])
    limits, room = np.array([ax.get_xlim(), ax.get_ylim()]), np.array(PLOT[2:])
    ax.set(xlim=limits[0], ylim=limits[1])
    dots = (points - limits[:, 0]) / np.ptp(limits, axis=1) * room
    taken = [(*(dot - DOT), *(dot + DOT)) for dot in dots]
    for dot, text in zip(dots[near], (texts[k] for k in near), strict=True):
        text = shorten(text, PAIR_SIZE, PAIR_PIXELS)
        half = np.array([text_width(text, PAIR_SIZE), PAIR_TALL]) / 2
        for side in BESIDE:
            centre = dot + side * (half + DOT + 2)
            box = (*(centre - half), *(centre + half))
            if min(box) >= 0 and (box[2:] <= room).all() and not any(_cross(box, t) for t in taken):
                how = {"size": PAIR_SIZE, "ha": "center", "va": "center"}
                ax.text(*centre / room, text, transform=ax.transAxes, **how)
                taken.append(box)
                break


def _cross(one, other) -> bool:
    """Whether two boxes (left, low, right, high) have a place in common."""
    first, second = np.reshape(one, (2, 2)), np.reshape(other, (2, 2))
    return bool((np.maximum(first[0], second[0]) < np.minimum(first[1], second[1])).all())
