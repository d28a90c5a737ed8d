"""The rows as a table on the screen and in the README, and how they grow as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from helpers.show.style import BLUE, GREY, apply_style, encode, panels
from tests.benchmarks.harness import failed, missed

HEADS = ("ours", "theirs", "times faster", "aim", "difference", "× limit", "growth", "MiB")
COLUMNS = 5


def screen_table(rows: Sequence[dict]) -> str:
    """A line for each row, in columns."""
    lines = [("row", *HEADS, ""), *((row["name"], *cells(row), _remark(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(rows: Sequence[dict]) -> str:
    """The README's table, with the machine it was measured on above it."""
    heads = ("what", "against", *HEADS)
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        against = f"{row['peer']}<br>{_remark(row)}" if _remark(row) else row["peer"]
        lines.append((row["what"], against, *cells(row)))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"Measured on: {rows[0]['machine']}.\n\n{table}"


def cells(row: dict) -> tuple[str, ...]:
    """What stands under `HEADS`."""
    ours = _seconds(row["ours_s"], row.get("ours_quartiles"))
    theirs = _seconds(row["peer_s"], row.get("peer_quartiles"))
    ratio = "" if row["ratio"] is None else _short(row["ratio"])
    limit = "" if row["limit_ratio"] is None else _short(row["limit_ratio"])
    grows = "" if row["slope"] is None else f"{row['slope']:.2f}"
    peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
    return ours, theirs, ratio, _aim(row), _error(row), limit, grows, peak


def draw_growth(rows: Sequence[dict], path: Path) -> None:
    """Time over size of each row that was measured at several, on logarithmic scales."""
    rows = [row for row in rows if row["slope"] is not None]
    if not rows:
        return
    apply_style()
    columns = min(COLUMNS, len(rows))
    count = math.ceil(len(rows) / columns)
    figure, axes = panels(columns, count, height=2.1, width=2.1 * columns, squeeze=False)
    for ax, row in zip(axes.flat, rows, strict=False):
        _grown(ax, row)
    for ax in axes.flat[len(rows) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("seconds", size=9)
    path.write_bytes(encode(figure)[1])


def _grown(ax, row: dict) -> None:
    sizes, seconds = row["sizes"], row["seconds"]
    in_proportion = [seconds[-1] * n / sizes[-1] for n in sizes]
    ax.plot(sizes, in_proportion, "--", color=GREY, linewidth=1)
    ax.plot(sizes, seconds, "o-", color=BLUE)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(row["unit"], size=9)
    ax.set_title(f"{row['name']}\nslope {row['slope']:.2f}", size=9)
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes], size=8)
    ax.minorticks_off()
    ax.margins(0.15)
    # Labels of a nearly flat line would touch.
    ends = [n for n in (in_proportion[0], seconds[0], seconds[-1]) if n <= seconds[-1] / 2]
    ax.set_yticks([*ends[-1:], seconds[-1]])
    ax.set_yticklabels([f"{n:.2g}" for n in [*ends[-1:], seconds[-1]]], size=8)


def _short(number: float) -> str:
    """Three digits that count: 1,294.4 as "1,290"."""
    return f"{float(f'{number:.3g}'):,g}"


def _seconds(median: float | None, middle: Sequence[float] | None) -> str:
    if median is None:
        return ""
    spread = f" ({middle[0]:.3g}–{middle[1]:.3g})" if middle else ""
    return f"{median:.3g} s{spread}"


def _aim(row: dict) -> str:
    ratio, seconds = row["ratio_aim"], row["seconds_aim"]
    if ratio is None and seconds is None:
        return ""
    aim = f"{seconds:.3g} s" if ratio is None else f"{ratio:.3g}"
    return aim + (", missed" if missed(row) else "")


def _error(row: dict) -> str:
    if row["error"] is None:
        return ""
    return f"{row['error']:.1g}" + (f", more than {row['tolerance']:g}" if failed(row) else "")


def _remark(row: dict) -> str:
    """The peer's best setting, how much of the work it was given, and what the row has to say."""
    share = row.get("peer_share", 1)
    part = f"timed on {100 * share:.3g} % of it, scaled" if share < 1 else ""
    return "; ".join(filter(None, (row.get("setting"), part, row.get("note"))))
