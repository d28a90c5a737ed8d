"""What a figure says, and whether it can be read: for the tests of all figures."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def shown_texts(figure) -> list[Text]:
    """Every text that is drawn, in the axes that are."""
    ticks = {id(t) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for t in beyond(axis)}
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    return [t for t in texts if id(t) not in ticks and (t.axes is None or t.axes.get_visible())]


def beyond(axis) -> list[Text]:
    """Labels of ticks outside of the limits, which are not drawn."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    slack = 1e-9 * (high - low)
    outside = [t for t in ticks if not low - slack <= t.get_loc() <= high + slack]
    return [label for tick in outside for label in (tick.label1, tick.label2)]


def assert_readable(figure) -> None:
    """Every text lies inside the figure, and no two upright ones overlap."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    texts = shown_texts(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])
    outside = (boxes[:, :2] < -1).any(1) | (boxes[:, 2:] > np.add(figure.bbox.max, 1)).any(1)
    # With their messages: pytest explains the asserts of test files alone.
    assert not outside.any(), [texts[k].get_text() for k in np.flatnonzero(outside)]
    upright = [k for k, text in enumerate(texts) if text.get_rotation() == 0]
    # Two pixels of slack: boxes hold the font's full height, whatever the letters.
    clear = boxes[upright][:, None, 2:] - 2 <= boxes[upright][None, :, :2] + 2
    clear = clear.any(-1) | clear.any(-1).T
    np.fill_diagonal(clear, True)
    touching = [[texts[upright[k]].get_text() for k in pair] for pair in np.argwhere(~clear)]
    assert not touching, touching
