"""Intervals, tests and effect sizes: every number in the series comes with one of these.

Within one net the rows that are resampled are images; across nets, a t interval on seed means.
Random numbers are drawn on the CPU and moved, so that a seed means the same on every device.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from scipy import special
from torch import Tensor

# Random numbers held at a time (8 bytes each): what bounds the memory of resampling.
CELLS = 1 << 22


class Interval(NamedTuple):
    """A value, the bounds of its interval, and the number of observations behind it.

    `f"{interval:.1%}"` formats all three numbers alike; without a format, to three decimals.
    Without the bracket where there are no bounds, and "n/a" where there is no value.
    """

    value: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        value, low, high = (format(number, spec or ".3f") for number in self[:3])
        if math.isnan(self.value):
            return "n/a"
        return value if math.isnan(self.low) else f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def t_interval(values: Tensor | Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of independent `values` (K,), e.g. one per training seed.

    One value has no spread: its bounds are NaN. Equal values give an interval of no width.
    Raises ValueError where there is no value, or one that is not finite.
    """
    values = _finite(torch.as_tensor(values, dtype=torch.float64), "values")
    _check_level(level)
    n, mean = len(values), values.mean().item()
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    margin = special.stdtrit(n - 1, 0.5 + level / 2) * values.std().item() / math.sqrt(n)
    return Interval(mean, float(mean - margin), float(mean + margin), n)


def over_seeds(values: Tensor) -> Interval:
    """`t_interval` of one value per training seed; NaN throughout where one of them is not finite.

    For what may not exist, such as a correlation with what nobody knows.
    """
    if not values.isfinite().all():
        return Interval(math.nan, math.nan, math.nan, len(values))
    return t_interval(values)


def ended(interval: Interval) -> Interval:
    """An interval of a share, ended at 0 and 1, beyond which none can lie."""
    # Comparisons with NaN are false: bounds that are not there stay so.
    low = 0.0 if interval.low < 0 else interval.low
    high = 1.0 if interval.high > 1 else interval.high
    return interval._replace(low=low, high=high)


def share_over_seeds(values: Tensor) -> Interval:
    """`over_seeds` of shares, ended at 0 and 1."""
    return ended(over_seeds(values))


def deviation_interval(values: Tensor | Sequence[Sequence[float]], level: float = 0.95) -> Interval:
    """Interval of the standard deviation within the rows of `values` (G, K), by chi-squared.

    The groups, say recipes with K training seeds each, may differ in their means, but are taken
    to be normal with the same deviation: one group of three reaches from half to six times its
    deviation, five of them from 0.7 to 1.8. NaN for K = 1. Raises ValueError where a value is not
    finite.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    _finite(values.flatten(), "values")
    _check_level(level)
    groups, each = values.shape
    freedom = groups * (each - 1)
    if not freedom:
        return Interval(math.nan, math.nan, math.nan, groups)
    variance = values.var(1).mean().item()
    tails = (special.chdtri(freedom, 0.5 - level / 2), special.chdtri(freedom, 0.5 + level / 2))
    bounds = (math.sqrt(freedom * variance / tail) for tail in tails)
    return Interval(math.sqrt(variance), *bounds, groups * each)


def crossed(seeds: Interval, images: Interval) -> Interval:
    """An interval over training seeds, widened by one over images: half-widths add as squares.

    For nets that were asked about the same images, whose choice they share. Without bounds where
    either has none.
    """
    below = math.hypot(seeds.value - seeds.low, images.value - images.low)
    above = math.hypot(seeds.high - seeds.value, images.high - images.value)
    return seeds._replace(low=seeds.value - below, high=seeds.value + above)


def pairwise_interval(matrix: Tensor, level: float = 0.95) -> Interval:
    """Interval of the mean over all pairs of K units, such as how well training seeds agree.

    `matrix` (K, K) is symmetric; its diagonal is not used. Pairs share units and so are not
    independent: the error comes from leaving out one unit at a time. NaN bounds for fewer than
    three units. Raises ValueError for a matrix that is not square, of one unit, or not finite.
    Arvesen (1969), Jackknifing U-statistics.
    """
    k = len(matrix)
    if matrix.ndim != 2 or k != matrix.shape[1] or k < 2:
        raise ValueError(f"matrix has shape {tuple(matrix.shape)}: give (K, K), K at least 2")
    itself = torch.eye(k, dtype=torch.bool, device=matrix.device)
    by_unit = _finite(matrix.double().masked_fill(itself, 0).sum(1), "sums of rows")
    mean = by_unit.sum() / (k * (k - 1))
    if k < 3:
        return Interval(mean.item(), math.nan, math.nan, k)
    without = (by_unit.sum() - 2 * by_unit) / ((k - 1) * (k - 2))
    return t_interval(k * mean - (k - 1) * without, level)


def least_interval(rows: Tensor, level: float = 0.95) -> Interval:
    """Interval of the smallest of the means of `rows` (R, K), K paired values for each of R rivals.

    Each mean has Student's interval at a level (Bonferroni) at which all R hold together; so the
    smallest mean lies between the smallest bounds, whichever rival it belongs to. NaN bounds for
    K = 1. Raises ValueError as `t_interval` does.
    """
    _check_level(level)
    each = [t_interval(row, 1 - (1 - level) / len(rows)) for row in rows]
    value, low, high = (min(bounds) for bounds in list(zip(*each, strict=True))[:3])
    return Interval(value, low, high, each[0].n)


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share: `successes` of `n` trials.

    Always within 0..1 and around the share, at 0 and n successes too. Raises ValueError unless
    0 <= successes <= n and n >= 1.
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    successes, n = int(successes), int(n)
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n} trials: give 0 <= successes <= n, n >= 1")
    _check_level(level)
    share, z = successes / n, float(special.ndtri(0.5 + level / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Rounding may leave 0 and 1 outside by 1e-17.
    low, high = min(share, max(0.0, centre - margin)), max(share, min(1.0, centre + margin))
    return Interval(share, low, high, n)


def bootstrap_interval(
    statistic: Callable[..., Tensor | float],
    *tensors: Tensor,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "basic"] = "percentile",
) -> Interval:
    """Bootstrap interval of `statistic(*tensors)`, a scalar; their rows are drawn together.

    A statistic made of means is quicker through `resampled_means`. Bounds are NaN for a single
    row, and where the statistic of any resample is NaN; where all rows are equal the interval has
    no width. Raises ValueError for tensors that are empty or not equally long, and no resamples.
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    n = _common_length(tensors)
    device = tensors[0].device
    draws = [
        torch.as_tensor(statistic(*(tensor.index_select(0, rows) for tensor in tensors)))
        for batch in _drawn_rows(n, resamples, seed)
        for rows in batch.to(device)
    ]
    return interval_from_draws(float(statistic(*tensors)), torch.stack(draws), n, level, method)


def resampled_means(values: Tensor, resamples: int = 1000, seed: int = 0) -> Tensor:
    """Means over the rows of `values` (N, ...) in bootstrap resamples: (resamples, ...).

    One matrix product per batch of resamples: how often each row was drawn, times the rows. The
    resamples are those of `bootstrap_interval` with the same seed.
    """
    n = _common_length((values,))
    flat = _floating(values).reshape(n, -1)
    sums = [counts @ flat for counts in drawn_counts(n, resamples, seed, flat)]
    return (torch.cat(sums) / n).reshape(resamples, *values.shape[1:])


def interval_from_draws(
    value: float,
    draws: Tensor,
    n: int,
    level: float = 0.95,
    method: Literal["percentile", "basic"] = "percentile",
) -> Interval:
    """Interval around `value` from bootstrap `draws` (R,) of it that came of `n` observations.

    "percentile" takes the quantiles of the draws. "basic" reflects them at the value, which turns
    an upward bias of the statistic into a correction downward. NaN bounds where n is 1 or a draw
    is NaN. Raises ValueError for no draws, another method, or a level outside 0..1.
    """
    if method not in ("percentile", "basic"):
        raise ValueError(f"method is {method!r}: give 'percentile' or 'basic'")
    if draws.numel() == 0:
        raise ValueError("no draws: give at least one resample")
    _check_level(level)
    if n == 1:
        return Interval(value, math.nan, math.nan, n)
    tails = torch.tensor([0.5 - level / 2, 0.5 + level / 2], dtype=torch.float64)
    low, high = draws.cpu().double().quantile(tails).tolist()
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(value, low, high, n)


def paired_difference_interval(
    a: Tensor, b: Tensor, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of mean(a - b) for two methods on the same N images.

    `a` and `b` (N,) hold one number per image, e.g. right or wrong. Raises ValueError where they
    are empty, differ in shape, or hold a NaN.
    """
    if a.shape != b.shape:
        raise ValueError(f"a has shape {tuple(a.shape)}, b {tuple(b.shape)}: pairs need the same")
    differences = _finite(_floating(a) - _floating(b), "differences")
    draws = resampled_means(differences, resamples, seed)
    return interval_from_draws(differences.mean().item(), draws, len(a), level)


def permutation_p(observed: float, draws: Tensor) -> float:
    """One-sided permutation p value: how often chance (`draws`, (R,)) is at least as large.

    (1 + count) / (1 + R), never 0, as the observed order is one of the permutations; draws that
    equal `observed` but for rounding count. Raises ValueError for no draws or one not finite.
    Phipson and Smyth (2010), Permutation p-values should never be zero.
    """
    draws, observed = _finite(_floating(draws), "draws"), float(observed)
    if not math.isfinite(observed):
        raise ValueError(f"observed is {observed}: give a finite number")
    rounding = 100 * torch.finfo(draws.dtype).eps * abs(observed)
    return (1 + int((draws >= observed - rounding).sum())) / (1 + len(draws))


def holm(p_values: Tensor | Sequence[float]) -> Tensor:
    """Holm's adjusted p values (K,), float64, in the order given.

    Those below alpha may be rejected together with a chance of any false rejection below alpha.
    Raises ValueError where there is none, or one outside 0..1.
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = _finite(torch.as_tensor(p_values, dtype=torch.float64), "p values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p values from {p.min():g} to {p.max():g}: they must lie in 0..1")
    ascending, order = p.sort()
    at_most = torch.arange(len(p), 0, -1, device=p.device)
    adjusted = (ascending * at_most).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def cliffs_delta(a: Tensor, b: Tensor) -> float:
    """Cliff's delta: share of pairs with a above b less those with a below; -1..1, 0 alike.

    Of ranks alone, so fit for skewed numbers too. Raises ValueError where either is empty or not
    finite.
    Cliff (1993), Dominance statistics: ordinal analyses to answer ordinal questions.
    """
    a, b = _finite(_floating(a), "a"), _finite(_floating(b), "b")
    below, not_above = ranks_among(b, a)
    return (below + not_above - len(b)).sum().item() / (len(a) * len(b))


def ranks_among(values: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """How many of `values` (..., N) are below each of `asked` (..., M), and how many not above."""
    ascending, asked = values.contiguous().sort(-1).values, asked.contiguous()
    below = torch.searchsorted(ascending, asked)
    return below, torch.searchsorted(ascending, asked, right=True)


def drawn_counts(n: int, resamples: int, seed: int, like: Tensor) -> Iterator[Tensor]:
    """How often each of n rows is drawn in bootstrap resamples: (at most CELLS // n, n) at a time.

    In the type of `like` and on its device. The draws are those of `bootstrap_interval` with the
    same seed. Raises ValueError for no resamples.
    """
    one = like.new_ones(1, 1)
    for rows in _drawn_rows(n, resamples, seed):
        rows = rows.to(like.device)
        yield like.new_zeros(rows.shape).scatter_add_(1, rows, one.expand(rows.shape))


def _drawn_rows(n: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """Rows drawn with replacement, (at most CELLS // n, n) at a time; the seed fixes them all."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: give at least 1")
    generator = torch.Generator().manual_seed(seed)
    for start, stop in batches(resamples, n):
        yield torch.randint(n, (stop - start, n), generator=generator)


def check_classes(labels: Tensor, classes: int, what: str = "labels") -> None:
    """Raises ValueError unless `labels` are whole numbers from 0 to classes - 1."""
    if labels.is_floating_point():
        raise ValueError(f"{what} are {labels.dtype}: give each image's class, as argmax does")
    if labels.numel() and (labels.min() < 0 or labels.max() >= classes):
        found = f"from {labels.min()} to {labels.max()}"
        raise ValueError(f"{what} {found}: {classes} classes run from 0 to {classes - 1}")


def batches(count: int, n: int) -> Iterator[tuple[int, int]]:
    """(start, stop) pairs that cover `count` draws of `n` numbers, CELLS numbers at a time."""
    step = max(1, CELLS // n)
    return ((start, min(start + step, count)) for start in range(0, count, step))


def _floating(values: Tensor) -> Tensor:
    """Booleans, integers and half floats as float32; wider floats as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _finite(values: Tensor, name: str) -> Tensor:
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} have shape {tuple(values.shape)}: give one row of at least one")
    if not values.isfinite().all():
        raise ValueError(f"{name} hold NaN or infinity: leave those out, and say how many")
    return values


def _common_length(tensors: Sequence[Tensor]) -> int:
    lengths = {len(tensor) for tensor in tensors}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"tensors of {sorted(lengths)} rows: all need the same number, at least 1")
    return lengths.pop()


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: give a share between 0 and 1, such as 0.95")
