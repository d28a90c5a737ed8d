"""Progress as plain lines."""

from helpers.datasets.progress import progress


def lines(steps, seconds):
    """What is said about so many steps of one each, so many seconds apart."""
    said, now = [], [0.0]
    advance = progress("reading", steps, say=said.append, clock=lambda: now[0])
    for _ in range(steps):
        now[0] += seconds
        advance(1)
    return said


def test_short_work_is_not_mentioned():
    assert lines(100, 0.019) == []


def test_long_work_has_a_line_whenever_its_time_has_doubled_and_one_at_the_end():
    said = lines(9, 1.0)
    assert said == [
        "reading: 2 of 9 images in 2 s, 7 s left",
        "reading: 4 of 9 images in 4 s, 5 s left",
        "reading: 8 of 9 images in 8 s, 1 s left",
        "reading: 9 of 9 images in 9 s",
    ]


def test_an_end_that_falls_on_a_line_is_said_once():
    assert lines(4, 1.0)[-1] == "reading: 4 of 4 images in 4 s"
    assert len(lines(4, 1.0)) == 2
