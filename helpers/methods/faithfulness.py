"""Are attention maps true? By masks, by what is deleted and inserted, and by scrambled weights.

Maps here are (N, H, W) at the size of the images (`attention.upsample`). A map that is `flat`, or
flat once rectified where that is what counts, says nothing: NaN, never a number.
"""

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .agreement import spearman
from .attention import CONSTANT, flat, rectified
from .layers import eval_mode
from .subcategories import LUMA


class Curve(NamedTuple):
    """Scores as an image disappears or appears, and the area under them."""

    shares: Tensor  # (steps + 1,) of pixels deleted or inserted, 0..1
    scores: Tensor  # (N, steps + 1), the softmax of the target
    areas: Tensor  # (N,)


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether the brightest pixel of each map lies on the object: (N,) bool.

    `masks` (N, H, W) bool, True on the object. Of several equally bright pixels (upsampling makes
    plateaus at the border) half must. A flat map points nowhere: False. No pixels of tolerance.
    Raises ValueError for masks that are not bool or do not fit.
    Zhang et al. (2018), Top-down neural attention by excitation backprop.
    """
    _check_masks(maps, masks)
    peaks = maps.amax((1, 2), keepdim=True)
    # Upsampling rounds what is even.
    brightest = maps >= peaks - CONSTANT * peaks.abs()
    hits = (brightest & masks).sum((1, 2))
    return (2 * hits >= brightest.sum((1, 2))) & ~flat(maps)


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of each rectified map that lies on the object: (N,), NaN where it is flat.

    By chance it is the object's share of the image. ValueError as `pointing_game`.
    Wang et al. (2020), Score-CAM: score-weighted visual explanations.
    """
    _check_masks(maps, masks)
    maps = rectified(maps)
    shares = (maps * masks).sum((1, 2)) / maps.sum((1, 2))
    return shares.masked_fill(flat(maps), math.nan)


def iou_at(maps: Tensor, masks: Tensor, threshold: float) -> Tensor:
    """Intersection over union of object and bright area: (N,), NaN where a rectified map is flat.

    Bright is what reaches `threshold` of the map's maximum: a share, fixed before looking. Raises
    ValueError unless 0 < threshold <= 1, and as `pointing_game`.
    """
    _check_masks(maps, masks)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}: give a share of the maximum, above 0")
    maps = rectified(maps)
    bright = maps >= threshold * maps.amax((1, 2), keepdim=True)
    ratio = (bright & masks).sum((1, 2)) / (bright | masks).sum((1, 2))
    return ratio.to(maps.dtype).masked_fill(flat(maps), math.nan)


def centre_gaussian(n: int, h: int, w: int) -> Tensor:
    """A control that looks at no image: `n` Gaussians in the middle, (n, h, w), 1 at most.

    The standard deviation is a quarter of each side.
    """
    down, right = (torch.linspace(-2, 2, side + 1).unfold(0, 2, 1).mean(1) for side in (h, w))
    return torch.exp(-(down[:, None] ** 2 + right**2) / 2).repeat(n, 1, 1)


def edge_energy(images: Tensor) -> Tensor:
    """A control that looks at no net: steepness of luma in `images` float (N, 3, H, W): (N, H, W).

    Length of the gradient by central differences, in the images' units per pixel.
    """
    luma = torch.einsum("nchw,c->nhw", images, images.new_tensor(LUMA) / sum(LUMA))
    return torch.hypot(*torch.gradient(luma, dim=(1, 2)))


def deletion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Tensor,
    steps: int = 20,
    baseline: Tensor | float = 0.0,
    batch: int = 256,
) -> Curve:
    """Scores of `targets` (N,) as the brightest pixels turn into `baseline` first.

    Where a map is true, they fall early and the area is small.

    images    float (N, 3, H, W) as the model takes them
    maps      (N, H, W), best signed: pixels that are equal go in reading order
    baseline  what fits the images, such as `blurred(images, 3)`, or one number for all pixels

    An image whose map is flat has NaN scores. Takes steps + 1 forward passes, `batch` images at a
    time. Raises ValueError for what does not fit, and unless 1 <= steps <= pixels.
    Petsiuk, Das and Saenko (2018), RISE: randomized input sampling for explanation.
    """
    blank = _checked_baseline(images, maps, targets, steps, baseline)
    return _curve(model, images, blank, maps, targets, steps, batch)


def insertion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Tensor,
    steps: int = 20,
    baseline: Tensor | float = 0.0,
    batch: int = 256,
) -> Curve:
    """As `deletion`, from the baseline to the image: where a map is true, the area is large."""
    blank = _checked_baseline(images, maps, targets, steps, baseline)
    return _curve(model, blank, images, maps, targets, steps, batch)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """`images` (N, C, H, W) under a Gaussian of `sigma` pixels, mirrored at the border.

    A baseline without the hard edges that pixels of one colour make. Raises ValueError for a sigma
    that is not above 0, and for one of which the image is less than three wide.
    """
    if not 0 < 3 * sigma <= min(images.shape[2:]) - 1:
        raise ValueError(f"sigma is {sigma}: give more than 0, less than a third of the image")
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-((steps / sigma) ** 2) / 2, 0)
    padded = F.pad(images, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    smooth = F.conv2d(F.conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return smooth.view_as(images)


def randomised(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Copies of `model` with its layers drawn anew from the top, one layer more each time.

    Yields (name, copy) for each layer with a matrix or kernel of weights, from the last defined to
    the first; the normalisation behind it goes with it, its running moments too. Layers are
    initialised as PyTorch does it; what cannot initialise itself has its numbers permuted. The same
    seed gives the same copies on any device. `model` and the random state stay as they are. A map
    that looks the same throughout does not depend on what the net has learned.
    Adebayo et al. (2018), Sanity checks for saliency maps.
    """
    scrambled = copy.deepcopy(model)
    own = {name: list(layer.parameters(recurse=False)) for name, layer in model.named_modules()}
    names = [name for name, parameters in reversed(own.items()) if parameters]
    for step, name in enumerate(names):
        _draw_anew(scrambled.get_submodule(name), seed * len(names) + step)
        if any(weights.ndim > 1 for weights in own[name]) or name == names[-1]:
            yield name, copy.deepcopy(scrambled)


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's rank correlation over places of each map with the other: (N,) float64.

    NaN where one of them is constant or holds a NaN. Raises ValueError for maps not of one shape.
    """
    if maps.shape != others.shape:
        raise ValueError(f"maps {tuple(maps.shape)} and {tuple(others.shape)}: give one shape")
    return spearman(maps.flatten(1), others.flatten(1))


def _curve(
    model: nn.Module,
    before: Tensor,
    after: Tensor,
    maps: Tensor,
    targets: Tensor,
    steps: int,
    batch: int,
) -> Curve:
    """Scores as the pixels of `before` are replaced by those of `after`, brightest first."""
    pixels = maps[0].numel()
    counts = torch.linspace(0, pixels, steps + 1, dtype=torch.float64).round().long()
    parts = zip(*(whole.split(batch) for whole in (before, after, maps, targets)), strict=True)
    with eval_mode(model), torch.inference_mode():
        scores = torch.cat([_scores(model, *part, counts.tolist()) for part in parts])
    scores = scores.clone().masked_fill(flat(maps)[:, None], math.nan)
    shares = (counts / pixels).to(scores)
    return Curve(shares, scores, torch.trapezoid(scores, shares, dim=1))


def _scores(model, before, after, maps, targets, counts) -> Tensor:
    """Scores (n, len(counts)) with that many of the brightest pixels replaced."""
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = order.argsort(1).view_as(maps)[:, None]
    columns = []
    for count in counts:
        logits = model(torch.where(ranks < count, after, before))
        scores = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
        columns.append(scores.gather(1, targets[:, None].to(scores.device))[:, 0])
    return torch.stack(columns, 1)


def _draw_anew(layer: nn.Module, seed: int) -> None:
    """Initialise what `layer` itself holds, without its children, from `seed`."""
    # Drawn on the CPU and moved, so that a seed means the same on every device.
    fresh = copy.deepcopy(layer).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        if hasattr(fresh, "reset_parameters"):
            fresh.reset_parameters()
        else:
            for weights in fresh.parameters(recurse=False):
                order = torch.randperm(weights.numel())
                weights.copy_(weights.flatten()[order].view_as(weights))
    layer.load_state_dict(fresh.state_dict())


def _check_masks(maps: Tensor, masks: Tensor) -> None:
    if masks.dtype != torch.bool or maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(
            f"maps {tuple(maps.shape)} and {masks.dtype} masks {tuple(masks.shape)}: give both "
            "(N, H, W), masks bool, and upsample the maps"
        )


def _checked_baseline(images, maps, targets, steps, baseline) -> Tensor:
    """`baseline` as images; all that goes with them is checked."""
    count, _, height, width = images.shape
    if tuple(maps.shape) != (count, height, width) or tuple(targets.shape) != (count,):
        raise ValueError(
            f"maps {tuple(maps.shape)} and targets {tuple(targets.shape)}: give "
            f"({count}, {height}, {width}), upsampled, and ({count},)"
        )
    if not 1 <= steps <= height * width:
        raise ValueError(f"{steps} steps: give 1 to {height * width}, the number of pixels")
    blank = torch.as_tensor(baseline).to(images)
    try:
        return blank.expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"baseline {tuple(blank.shape)} does not fit images {tuple(images.shape)}"
        ) from None
