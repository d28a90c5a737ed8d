"""All rows of the benchmark, in the order in which they are measured."""

from tests.benchmarks import attention, maps, scores, training

ROWS = (*training.ROWS, *scores.ROWS, *maps.ROWS, *attention.ROWS)
