import time

from helpers.series.timing import timed


def test_what_is_timed_is_returned_with_its_seconds():
    made, seconds = timed(lambda wait, twice: time.sleep(wait) or twice * 2, 0.05, twice=4)
    assert made == 8
    assert 0.04 < seconds < 5
