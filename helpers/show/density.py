"""Figures of logits and their density, and of the images that are judged by them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .maps import axes_at, blank
from .signatures import EDGE, NAME_SIZE, class_key, key_height
from .style import (
    INK,
    PALE,
    ROOM,
    NotebookFigure,
    bare,
    class_colour,
    mix,
    panels,
    percent,
    percent_axis,
    shorten,
    text_width,
)

MOST_PANELS = 10
LOGIT_BINS, SCORE_BINS = 50, 20
TITLE_SIZE, MARK_PIXELS = 10.5, 170
LEFT, TALL, ROW = 72, 280, 22
FEW = 3
QUANTILES = np.linspace(0, 1, 1001)


def logit_histograms(logits, labels, names: Sequence[str]) -> NotebookFigure:
    """How each class's logit is spread: over its own images, filled, and over all others, a line.

    logits: (N, C); labels: (N,) indices into `names`. Heights are shares of the images of that
    kind. Of two classes the other one is filled too; of more than ten the first ten are drawn.
    """
    logits, labels = _checked(logits, labels, names)
    edges = np.histogram_bin_edges(logits, LOGIT_BINS)
    return _histograms(logits, labels, names, edges, "logit")


def score_histograms(scores, labels, names: Sequence[str]) -> NotebookFigure:
    """The same of scores (N, C) in 0..1, with heights on a logarithmic scale.

    Most scores are next to 0 or to 1; what lies between would not be seen on an even scale.
    """
    scores, labels = _checked(scores, labels, names)
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    figure = _histograms(np.clip(scores, 0, 1), labels, names, edges, "score")
    for ax in figure.axes:
        ax.set(yscale="log", ylim=(0.5 / len(scores), 1.5), xlim=(0, 1))
        ax.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        ax.minorticks_off()
        percent_axis(ax.yaxis)
    return figure


def _checked(logits, labels, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, dtype=float), np.asarray(labels)
    if logits.ndim != 2 or logits.shape[1] != len(names) or not logits.size:
        raise ValueError(f"{len(names)} classes need (N, {len(names)}), not {logits.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("logits and scores must be finite: leave out the images that have none")
    if labels.shape != (len(logits),):
        raise ValueError(f"{len(logits)} images need as many labels, not shape {labels.shape}")
    if not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"labels must be indices of the {len(names)} classes")
    return logits, labels


def _histograms(values, labels, names, edges: np.ndarray, what: str) -> NotebookFigure:
    shown = min(len(names), MOST_PANELS)
    rows = 1 if shown <= MOST_PANELS // 2 else 2
    across = -(-shown // rows)
    options = {"sharex": True, "sharey": True, "squeeze": False}
    figure, axes = panels(across, rows, height=3.1 if rows == 1 else 2.3, **options)
    for index, ax in enumerate(axes.flat[:shown]):
        own = labels == index
        _histogram(ax, values[own, index], edges, class_colour(index))
        other = class_colour(1 - index) if len(names) == 2 else None
        _histogram(ax, values[~own, index], edges, other)
        ax.set_title(shorten(f"{what} of {names[index]}", TITLE_SIZE, 0.8 * ROOM / across))
        percent_axis(ax.yaxis)
    for ax in axes.flat[shown:]:
        ax.set_visible(False)
    figure.supxlabel(what, size=10)
    figure.supylabel("share of the images of a kind", size=10)
    handles, texts = _kinds(names)
    figure.legend(handles, texts, loc="outside upper left", ncols=3)
    return figure


def _histogram(ax: Axes, values: np.ndarray, edges: np.ndarray, colour: str | None) -> None:
    """In a colour, or as a dark line alone: some classes are grey, so that grey is no neutral."""
    shares = np.histogram(values, edges)[0] / max(len(values), 1)
    if colour:
        ax.stairs(shares, edges, fill=True, color=colour, alpha=0.45)
    ax.stairs(shares, edges, color=mix(colour, 0.25, "black") if colour else INK, linewidth=1.1)


def _kinds(names: Sequence[str]) -> tuple[list[Artist], list[str]]:
    """What the legend of histograms says."""
    if len(names) == 2:
        texts = [f"images of {shorten(name, 10, 200)}" for name in names]
        return [Patch(color=class_colour(k), alpha=0.6) for k in range(2)], texts
    texts = ["images of the class (in its colour)", "images of all others"]
    if len(names) > MOST_PANELS:
        texts[1] += f"; the first {MOST_PANELS} of {len(names)} classes"
    line = Line2D([], [], color=INK, linewidth=1.1)
    return [Patch(color=class_colour(0), alpha=0.6), line], texts


def density_curves(
    grid, densities, names: Sequence[str], marks: Mapping[str, object] | None = None
) -> NotebookFigure:
    """The density of each class's logit, and below it where the logits of single images lie.

    grid: (G,) logits, rising; densities: (G, C), of each class's logit there; marks: image to its
    logits (C,), dots in the colours of their classes, or to one number, a dark dot.
    """
    grid, densities = np.asarray(grid, dtype=float), np.asarray(densities, dtype=float)
    if grid.ndim != 1 or densities.shape != (len(grid), len(names)):
        raise ValueError(f"densities must be (G, {len(names)}), not {densities.shape}")
    marks = {name: np.atleast_1d(np.asarray(at, dtype=float)) for name, at in (marks or {}).items()}
    left = max(LEFT, int(min(_widest(marks, NAME_SIZE), MARK_PIXELS)) + 2 * EDGE)
    width, shown = ROOM - left - 2 * EDGE, range(len(names))
    top = key_height(names, shown, width) + 10
    rug = ROW * len(marks) + 12 if marks else 0
    figure = blank(ROOM, top + TALL + rug + 52)
    class_key(paper(figure), names, shown, left, 4, width)
    ax = lowest = axes_at(figure, left, top, width, TALL)
    _curves(ax, grid, densities)
    reach = np.concatenate([grid[[0, -1]], *marks.values()])
    ax.set(xlim=(np.nanmin(reach), np.nanmax(reach)), ylim=(0, None))
    ax.set_ylabel("density per unit of logit")
    if marks:
        lowest = axes_at(figure, left, top + TALL + 12, width, rug - 12)
        _rug(lowest, marks, len(names))
        lowest.sharex(ax)
        ax.tick_params(axis="x", labelbottom=False)
    lowest.set_xlabel("logit")
    return figure


def paper(figure: NotebookFigure) -> Axes:
    """Axes over the whole figure in its pixels, y downwards, for texts and keys."""
    wide, tall = figure.bbox.size
    ax = bare(axes_at(figure, 0, 0, wide, tall))
    ax.set(xlim=(0, wide), ylim=(tall, 0), facecolor="none")
    return ax


def _curves(ax: Axes, grid: np.ndarray, densities: np.ndarray) -> None:
    for index, curve in enumerate(densities.T):
        ax.plot(grid, curve, color=class_colour(index), linewidth=2)
        if densities.shape[1] <= FEW:
            ax.fill_between(grid, curve, color=class_colour(index), alpha=0.15, linewidth=0)
    ax.grid(axis="x")


def _rug(ax: Axes, marks: Mapping[str, np.ndarray], classes: int) -> None:
    """A row for each image, its logits as dots."""
    for row, (name, logits) in enumerate(marks.items()):
        if logits.shape not in ((1,), (classes,)):
            raise ValueError(f"{name!r} needs one logit or {classes}, not shape {logits.shape}")
        colours = [class_colour(k) for k in range(classes)] if len(logits) > 1 else [INK]
        ax.axhline(row, color=PALE, linewidth=1, zorder=0)
        look = {"s": 52, "edgecolors": "white", "linewidths": 0.8, "clip_on": False}
        ax.scatter(logits, np.full(len(logits), row), c=colours, **look)
    texts = [shorten(name, NAME_SIZE, MARK_PIXELS) for name in marks]
    ax.set_yticks(range(len(texts)), texts, size=NAME_SIZE)
    ax.set_ylim(len(texts) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")


def magnitude(
    logits: Mapping[str, object], interval: tuple[float, float] = (2.0, 7.0)
) -> NotebookFigure:
    """The share of logits whose size |logit| is at most so much, and how many are within bounds.

    logits: kind of image to (N, C); interval: bounds of |logit| that are shaded, those of the
    post unless given. The axis ends where a thousandth of the logits lies beyond.
    """
    sizes = {name: np.abs(np.asarray(part, dtype=float)).ravel() for name, part in logits.items()}
    if not sizes or not all(size.size and np.isfinite(size).all() for size in sizes.values()):
        raise ValueError("magnitude needs at least one kind of image, each with finite logits")
    low, high = interval
    most = 1.03 * max(high, *(np.quantile(size, 0.999) for size in sizes.values()))
    figure, ax = panels(1, height=3.3)
    ax.axvspan(low, high, color=PALE)
    for index, (name, size) in enumerate(sizes.items()):
        within = percent(((size >= low) & (size <= high)).mean(), 0)
        text = f"{shorten(name, NAME_SIZE, 170)}: {within} from {low:g} to {high:g}"
        line = [*np.quantile(size, QUANTILES), most], [*QUANTILES, 1]
        ax.plot(*line, color=class_colour(index), label=text)
        ax.set(xlim=(0, most), ylim=(0, 1.02), xlabel="|logit|, at most")
    ax.set_ylabel("share of the logits")
    percent_axis(ax.yaxis)
    ax.grid(axis="y")
    longest = max(text_width(line.get_label(), NAME_SIZE) for line in ax.lines)
    across = max(1, int(ROOM / (longest + 60)))
    figure.legend(loc="outside upper left", ncols=across, fontsize=NAME_SIZE)
    return figure


def _widest(texts, size: float) -> float:
    return max((text_width(text, size) for text in texts), default=0)
