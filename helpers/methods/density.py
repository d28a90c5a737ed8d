"""Kernel density of logits: how usual is it for a class to get this logit, or these together.

Logits are (N, C), images by classes; kernels are Gaussian. All is computed in float64, on the
logits' own device (on the CPU where that has no float64, as MPS). Logits that are not (N, C), or
that hold NaN or infinity, raise ValueError everywhere.

The post's score of an image is the mean of its densities over the classes, `density.mean(1)`. Fit
on held-out images in eval mode: a net is over-confident on the images it learnt.
Silverman (1986), Density estimation for statistics and data analysis.
"""

import math
from typing import Literal, NamedTuple, Self

import torch
from scipy.fft import dct
from scipy.optimize import brentq
from torch import Tensor

# Grid points per bandwidth. Binning and interpolating change a density by at most
# 3.1 / 8 / STEPS^2 of the peak, in the worst case of all that may be fitted.
STEPS = 64
# Bandwidths that the grid goes on for beyond the fitted logits: kernels do not reach further.
REACH = 8
# Grid points of a class at most; with more it is summed by windows.
LONGEST = 1 << 18
# Below this share of the peak, densities on the grid are rounding of the Fourier transform.
TRUSTED = 1e-10
# Kernels smaller than exp(-DROPPED) of a density are left out of it, all of them together.
DROPPED = 40
# Kernels computed at a time: few enough that they stay in cache.
CELLS = 1 << 18
# Grid points of the improved Sheather-Jones rule, as its authors have it.
ISJ_POINTS = 1 << 14

Rule = Literal["scott", "silverman", "isj"]


class LogitDensity:
    """Density of each class's logit among fitted images, as a Gaussian kernel estimate.

    `bandwidth` is a rule ("scott" or "silverman", with scipy's factors, or "isj", the improved
    Sheather-Jones), or the bandwidth itself in units of logits: one number, or (C,). After `fit`,
    `bandwidths` (C,) holds those used.

    method="fft" bins the fitted logits on a grid and interpolates there: densities are right to
    1e-4 of the class's peak, their logarithms to 1e-2. method="exact" sums all kernels, some
    images at a time.
    """

    bandwidths: Tensor

    def __init__(
        self,
        bandwidth: Rule | float | Tensor = "scott",
        method: Literal["fft", "exact"] = "fft",
    ) -> None:
        if method not in ("fft", "exact"):
            raise ValueError(f"method is {method!r}: give 'fft' or 'exact'")
        self.bandwidth, self.method = bandwidth, method

    def fit(self, logits: Tensor) -> Self:
        """Fit to `logits` (N, C).

        Raises ValueError where a rule finds no bandwidth: for a single image, a class whose logits
        are all equal, or "isj" that does not converge; and as the module says.
        """
        self._fitted = _checked(logits)
        self.bandwidths = choose_bandwidths(self._fitted, self.bandwidth)
        self._grid = _grid(self._fitted, self.bandwidths) if self.method == "fft" else None
        return self

    def density(self, logits: Tensor) -> Tensor:
        """Density per unit of logit of each class's logit, at `logits` (M, C): (M, C).

        From 8 bandwidths beyond all that was fitted "fft" gives 0: what lies that far out is told
        apart by `log_density`. Raises ValueError before `fit`, for another C, and as the module
        says.
        """
        logits = self._asked(logits)
        if self._grid is None:
            return _summed(self._fitted, self.bandwidths, logits).exp_()
        values = _interpolated(self._grid, logits)
        for column in self._grid.trusted.isinf().nonzero()[:, 0].tolist():
            values[:, column] = self._by_windows(column, logits[:, column]).exp_()
        return values

    def log_density(self, logits: Tensor) -> Tensor:
        """Natural logarithm of `density`, true into the tails: (M, C), finite.

        Where the grid ends in rounding, kernels are summed exactly, so that images far out are
        ranked as the kernels rank them. Raises ValueError as `density` does.
        """
        logits = self._asked(logits)
        if self._grid is None:
            return _finite(_summed(self._fitted, self.bandwidths, logits))
        values = _interpolated(self._grid, logits)
        far = ~(values > self._grid.trusted)
        values.log_()
        for column in far.any(0).nonzero()[:, 0].tolist():
            rows = far[:, column]
            values[rows, column] = self._by_windows(column, logits[rows, column])
        return _finite(values)

    def _asked(self, logits: Tensor) -> Tensor:
        if not hasattr(self, "_fitted"):
            raise ValueError("no density yet: call fit(logits) first")
        return _checked(logits, like=self._fitted)

    def _by_windows(self, column: int, values: Tensor) -> Tensor:
        return _log_by_windows(self._fitted[:, column], self.bandwidths[column].item(), values)


class _Grid(NamedTuple):
    """Densities at points a `step` apart, and from which density on they are to be trusted."""

    start: Tensor  # (C,)
    step: Tensor  # (C,)
    values: Tensor  # (C, G)
    trusted: Tensor  # (C,), infinite where the grid is too coarse


def choose_bandwidths(logits: Tensor, bandwidth: Rule | float | Tensor = "scott") -> Tensor:
    """Bandwidth of each class's logit, in units of logits, from `logits` (N, C): (C,).

    `bandwidth` as in `LogitDensity`; a number is returned for every class. Raises ValueError for
    a bandwidth that is not positive, where a rule finds none, and as the module says.
    Scott (1992), Multivariate density estimation; Botev, Grotowski and Kroese (2010), Kernel
    density estimation via diffusion.
    """
    logits = _checked(logits)
    if not isinstance(bandwidth, str):
        return _given_bandwidths(bandwidth, logits)
    _check_spread(logits)
    if bandwidth == "isj":
        return torch.stack([_improved_sheather_jones(column) for column in logits.T])
    return logits.std(0) * _factor(bandwidth, len(logits), dimensions=1)


def class_log_density(
    fitted: Tensor,
    labels: Tensor,
    logits: Tensor,
    bandwidth: Rule | float | Tensor = "scott",
) -> Tensor:
    """Log density of all C logits of an image among the images of each true class: (M, K).

    Logits are taken to be independent given the class, as in naive Bayes: the sum over logits of
    `LogitDensity(bandwidth).log_density`, fitted to those of `fitted` (N, C) whose label is k,
    k from 0 to the largest of `labels` (N,). Raises ValueError for a class with fewer than two
    images, for labels that do not fit, and as `LogitDensity` does.
    """
    fitted = _checked(fitted)
    if labels.shape != fitted.shape[:1] or labels.is_floating_point() or labels.min() < 0:
        found = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"labels are {found}: give a class from 0 on for each of {len(fitted)}")
    labels = labels.to(fitted.device).long()
    few = (labels.bincount() < 2).nonzero()[:, 0].tolist()
    if few:
        raise ValueError(f"classes {few} have fewer than 2 images: leave them out, or fit to more")
    by_class = [fitted[labels == label] for label in range(int(labels.max()) + 1)]
    return torch.stack(
        [_log_density_of_class(k, each, logits, bandwidth) for k, each in enumerate(by_class)], 1
    )


def joint_log_density(
    fitted: Tensor, logits: Tensor, bandwidth: Literal["scott", "silverman"] | float = "scott"
) -> Tensor:
    """Log density of all C logits of an image together, by one C-dimensional kernel: (M,).

    The kernel has the covariance of `fitted` (N, C) times the square of a factor, as scipy's
    `gaussian_kde`: by a rule, or given as a number (a share of the spread, not in units of
    logits). Exact; memory does not grow. Raises ValueError where logits are linearly dependent,
    and as the module says.
    """
    fitted = _checked(fitted)
    logits = _checked(logits, like=fitted)
    n, dimensions = fitted.shape
    if isinstance(bandwidth, str):
        bandwidth = _factor(bandwidth, n, dimensions)
    factor = _given_bandwidths(bandwidth, fitted[:, :1])
    _check_independent(fitted)
    root = torch.linalg.cholesky(fitted.T.cov().reshape(dimensions, dimensions)) * factor
    centre = fitted.mean(0)
    white, asked = (
        torch.linalg.solve_triangular(root, (each - centre).T, upper=False).T
        for each in (fitted, logits)
    )
    scale = math.log(n) + dimensions / 2 * math.log(math.tau) + root.diagonal().log().sum()
    return _finite(_log_kernel_sums(white, asked) - scale)


def _checked(logits: Tensor, like: Tensor | None = None) -> Tensor:
    """`logits` in float64, with as many columns as `like` and on its device."""
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(f"logits have shape {tuple(logits.shape)}: give (N, C), N at least 1")
    if like is not None and logits.shape[1] != like.shape[1]:
        raise ValueError(f"{logits.shape[1]} classes asked for, but {like.shape[1]} fitted")
    if not logits.isfinite().all():
        raise ValueError("logits hold NaN or infinity: leave those images out, and say how many")
    device = logits.device if like is None else like.device
    return logits.detach().to("cpu" if device.type == "mps" else device).double()


def _given_bandwidths(bandwidth: float | Tensor, logits: Tensor) -> Tensor:
    given = torch.as_tensor(bandwidth, dtype=logits.dtype, device=logits.device)
    if given.shape not in ((), logits.shape[1:]):
        raise ValueError(f"{tuple(given.shape)} bandwidths: give one, or ({logits.shape[1]},)")
    if not ((given > 0) & given.isfinite()).all():
        raise ValueError(f"bandwidth is {bandwidth}: give positive numbers")
    return given.expand(logits.shape[1]).clone()


def _check_spread(logits: Tensor, instead: str = ", or give a bandwidth as a number") -> None:
    if len(logits) == 1:
        raise ValueError(f"one image has no spread: fit to more{instead}")
    equal = (logits == logits[0]).all(0).nonzero()[:, 0].tolist()
    if equal:
        raise ValueError(
            f"all logits of class columns {equal} are equal: leave those classes out, or fit to "
            f"more images{instead}"
        )


def _check_independent(logits: Tensor) -> None:
    # No bandwidth helps here, as it is a share of the spread.
    _check_spread(logits, instead="")
    classes = logits.shape[1]
    # By correlations, where it does not matter that one logit varies more than another.
    spread = torch.linalg.eigvalsh(logits.T.corrcoef().reshape(classes, classes))
    rank = int((spread > 1e-12 * spread[-1]).sum())
    if rank < classes:
        raise ValueError(
            f"the logits of {classes} classes vary in {rank} directions only, as where two "
            "classes' logits are opposite or images are few: leave a class's logit out, fit to "
            "more images, or take each logit by itself (LogitDensity)"
        )


def _factor(rule: str, n: int, dimensions: int) -> float:
    """Bandwidth in units of the standard deviation, as scipy's `gaussian_kde` has it."""
    if rule == "scott":
        return n ** (-1 / (dimensions + 4))
    if rule == "silverman":
        return (n * (dimensions + 2) / 4) ** (-1 / (dimensions + 4))
    known = "'scott', 'silverman'" + ", 'isj'" * (dimensions == 1)
    raise ValueError(f"bandwidth is {rule!r}: give {known} or a positive number")


def _improved_sheather_jones(values: Tensor) -> Tensor:
    """Bandwidth of `values` (N,) by Botev et al., on a grid of twice their range."""
    width = values.max() - values.min()
    step = 2 * width / (ISJ_POINTS - 1)
    counts = _binned((values - values.min() + width / 2)[:, None] / step, ISJ_POINTS)[0]
    waves = dct(counts.cpu().numpy() / len(values))[1:]
    squares, power = torch.arange(1, ISJ_POINTS).double() ** 2, torch.from_numpy(waves) ** 2
    variance = _fixed_point(squares, power, len(values.unique()))
    # Waves live on the whole grid, and so is their variance measured; KDEpy 1.1 takes it for that
    # of the range, and finds half the bandwidth or less (its issues 199 and 201).
    return math.sqrt(variance) * 2 * width


def _fixed_point(squares: Tensor, power: Tensor, n: int) -> float:
    """The variance that equals what is optimal given it, searched from nothing upwards."""
    most = 1e-11 + 1e-5 * (min(max(n, 50), 1050) - 50)
    while most < 1:
        if _beyond_optimal(most, squares, power, n) > 0:
            found = brentq(_beyond_optimal, 0, most, args=(squares, power, n))
            if found > 0:
                return found
        most *= 2
    raise ValueError(f"'isj' does not converge on {n} different logits: give bandwidth='scott'")


def _beyond_optimal(variance: float, squares: Tensor, power: Tensor, n: int) -> float:
    """`variance` less the one that is optimal given it, in seven stages; -1 where there is none."""

    def roughness(order: int, variance: float) -> float:
        """Squared norm of a derivative of the density, smoothed by this variance."""
        damped = power * squares**order * (-squares * math.pi**2 * variance).exp()
        return 0.5 * math.pi ** (2 * order) * damped.sum().item()

    norm = roughness(7, variance)
    for order in range(6, 1, -1):
        if norm <= 0:
            return -1.0
        odd = math.prod(range(1, 2 * order, 2)) / math.sqrt(math.tau)
        weight = (1 + 0.5 ** (order + 0.5)) / 3
        norm = roughness(order, (2 * weight * odd / (n * norm)) ** (2 / (3 + 2 * order)))
    return variance - (2 * n * math.sqrt(math.pi) * norm) ** (-2 / 5) if norm > 0 else -1.0


def _grid(fitted: Tensor, bandwidths: Tensor) -> _Grid:
    """Densities on a grid over all fitted logits and what their kernels reach."""
    start = fitted.amin(0) - REACH * bandwidths
    width = fitted.amax(0) - fitted.amin(0) + 2 * REACH * bandwidths
    needed = STEPS * width / bandwidths
    count = 1 << int(needed.clamp(max=LONGEST - 1).max()).bit_length()
    step = width / (count - 1)
    values = _smoothed(_binned((fitted - start) / step, count), bandwidths / step)
    values /= len(fitted) * step[:, None]
    trusted = values.amax(1) * TRUSTED
    return _Grid(start, step, values, trusted.where(needed < LONGEST, torch.inf))


def _binned(places: Tensor, count: int) -> Tensor:
    """Each of `places` (N, C), in steps of the grid, shared by its two grid points: (C, count)."""
    columns = places.shape[1]
    left = places.long().clamp_(max=count - 2)
    right_share = (places - left).flatten()
    index = _flat_index(left, count).flatten()
    counts = places.new_zeros(columns * count)
    counts.index_add_(0, index, 1 - right_share).index_add_(0, index + 1, right_share)
    return counts.view(columns, count)


def _smoothed(counts: Tensor, widths: Tensor) -> Tensor:
    """Rows of `counts` (C, G) under a Gaussian of `widths` (C,) steps: (C, G), at least 0."""
    count = counts.shape[1]
    angles = torch.arange(count // 2 + 1).to(counts) * (math.tau / count)
    kernel = (-0.5 * (widths[:, None] * angles) ** 2).exp()
    return torch.fft.irfft(torch.fft.rfft(counts) * kernel, count).clamp_(min=0)


def _interpolated(grid: _Grid, logits: Tensor) -> Tensor:
    """Densities on the grid at `logits` (M, C): (M, C), 0 where it has ended."""
    count = grid.values.shape[1]
    places = (logits - grid.start) / grid.step
    outside = (places < 0) | (places > count - 1)
    places.clamp_(0, count - 1)
    left = places.long().clamp_(max=count - 2)
    values, index = grid.values.view(-1), _flat_index(left, count)
    between = values[index].lerp_(values[index + 1], places - left)
    return between.masked_fill_(outside, 0)


def _flat_index(index: Tensor, count: int) -> Tensor:
    return index + count * torch.arange(index.shape[1], device=index.device)


def _log_by_windows(fitted: Tensor, bandwidth: float, values: Tensor) -> Tensor:
    """Log density of `fitted` (N,) at `values` (M,), of the kernels that matter there: (M,)."""
    fitted, values = fitted.sort().values / bandwidth, values / bandwidth
    least, first, counts = _windows(fitted, values)
    sums = torch.cat(
        [
            _window_sums(fitted, *window)
            for window in zip(*_chunks(counts, values, least, first, counts), strict=True)
        ]
    )
    scale = math.log(len(fitted) * bandwidth) + math.log(math.tau) / 2
    return sums.log_() - least**2 / 2 - scale


def _windows(fitted: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each value, the distance to the nearest fitted, the first one that matters, how many."""
    right = torch.searchsorted(fitted, values).clamp_(max=len(fitted) - 1)
    left = (right - 1).clamp_(min=0)
    nearest = right.where((fitted[right] - values).abs() < (fitted[left] - values).abs(), left)
    least = (fitted[nearest] - values).abs()
    reach = (least**2 + 2 * (math.log(len(fitted)) + DROPPED)).sqrt_()
    # Far out the reach may round to the nearest's own distance: that one is always among them.
    first = torch.minimum(torch.searchsorted(fitted, values - reach), nearest)
    end = torch.maximum(torch.searchsorted(fitted, values + reach, right=True), nearest + 1)
    return least, first, end - first


def _chunks(counts: Tensor, *each: Tensor) -> list[tuple[Tensor, ...]]:
    """`each` in pieces whose `counts` add up to about CELLS, or to one window that is longer."""
    piece = counts.cumsum(0) // CELLS
    sizes = piece.unique_consecutive(return_counts=True)[1].tolist()
    return [tensor.split(sizes) for tensor in each]


def _window_sums(
    fitted: Tensor, values: Tensor, least: Tensor, first: Tensor, counts: Tensor
) -> Tensor:
    """Sum of kernels in each value's window, over the kernel of the nearest: (M,)."""
    rows = torch.arange(len(values), device=values.device).repeat_interleave(counts)
    begins = counts.cumsum(0) - counts
    index = torch.arange(len(rows), device=values.device) + (first - begins)[rows]
    far, near = (fitted[index] - values[rows]).abs_(), least[rows]
    # Not the difference of squares, which loses digits far out.
    kernels = ((near - far) * (near + far) / 2).exp_()
    return torch.zeros_like(values).index_add_(0, rows, kernels)


def _summed(fitted: Tensor, bandwidths: Tensor, logits: Tensor) -> Tensor:
    """Log density by all kernels: (M, C)."""
    sums = [
        _log_kernel_sums(known[:, None] / width, asked[:, None] / width)
        for known, asked, width in zip(fitted.T, logits.T, bandwidths, strict=True)
    ]
    scale = (len(fitted) * bandwidths).log() + math.log(math.tau) / 2
    return torch.stack(sums, 1) - scale


def _log_kernel_sums(points: Tensor, asked: Tensor) -> Tensor:
    """Log of the sum of exp(-d^2 / 2) over the distances d to all `points` (N, D): (M,)."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [
            torch.cdist(some, points, compute_mode=exact).square_().div_(-2).logsumexp(1)
            for some in asked.split(max(1, CELLS // len(points)))
        ]
    )


def _finite(logs: Tensor) -> Tensor:
    return logs.clamp_(min=torch.finfo(logs.dtype).min)


def _log_density_of_class(
    label: int, fitted: Tensor, logits: Tensor, bandwidth: Rule | float | Tensor
) -> Tensor:
    try:
        density = LogitDensity(bandwidth).fit(fitted)
    except ValueError as error:
        raise ValueError(f"images of class {label}: {error}") from None
    return density.log_density(logits).sum(1)
