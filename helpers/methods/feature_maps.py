"""What each layer of a network keeps: its maps, what excites a channel and what that is worth.

model    any network of images; it runs in evaluation mode and is left as it was
images   float (N, 3, H, W), as the model takes them, or uint8 (N, H, W, 3), which then become
         floats in 0..1. They travel to the model `batch` at a time, in one forward pass each
layers   names of layers (`helpers.methods.layers.find`) with one tensor as output, its channels
         second: maps (N, C, h, w) or numbers (N, C)

What is made from images is on their device. All raise ValueError where there are no images, and
for a layer that the model lacks, that does not run, or that puts out something else than is asked
for.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy
import torch
from scipy.special import bdtr
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import CONSTANT
from .kmeans import THREADS
from .layers import capture, eval_mode, find
from .neighbours import checked_points
from .rejection import doubles
from .statistics import Interval, interval_from_draws, resampled_means

BATCH = 128
# A linear probe reads this many principal components, where a layer has more numbers.
COMPONENTS = 256
# Its regularisation, scikit-learn's C for standardised numbers.
PENALTY = 0.1
# Directions in which cells vary by less than this share of the largest are not read.
RANK = 1e-10


class Activity(NamedTuple):
    """What the C channels of a layer do over N images, each (C,)."""

    least: Tensor  # number anywhere in any image
    largest: Tensor
    active: Tensor  # share of images in which it is somewhere above zero
    dead: Tensor  # bool: the same number everywhere in every image, but for rounding


class _Extremes(NamedTuple):
    """What `activity` keeps between batches, each (C,)."""

    least: Tensor
    largest: Tensor
    active: Tensor  # images


class _Peaks(NamedTuple):
    """What `most_exciting` keeps between batches, a row for each image, (n, C) each."""

    images: Tensor
    values: Tensor
    cells: Tensor


class Exciting(NamedTuple):
    """The images that excite each of C channels most, the strongest first, each image once."""

    indices: Tensor  # (C, top) int64
    values: Tensor  # (C, top), the largest number of the channel's map
    places: Tensor  # (C, top, 2) int64, its row and column there


class Silenced(NamedTuple):
    """Which images a network gets right with each channel of a layer at zero, and with all."""

    right: Tensor  # (C, N) bool
    whole: Tensor  # (N,) bool


class Reader(NamedTuple):
    """A linear reading of the pixels under each cell from the C numbers of that cell alone.

    All cells are read alike; D numbers are the colours of a patch of `step` pixels.
    """

    corner: tuple[int, int]  # first row and column of the pixels that are read
    step: tuple[int, int]  # height and width of a patch
    weights: Tensor  # (C, D) float64 on the CPU, as the two below
    offset: Tensor  # (D,)
    mean: Tensor  # (D,), of the images that it was fitted on


class Recovered(NamedTuple):
    """How well the pixels of N images are read from a layer, each (N,), float64.

    The share of variance recovered is `1 - missed.sum() / spread.sum()`; below 0 where saying the
    mean would be better.
    """

    missed: Tensor  # squared error, summed over the pixels of the image that are read
    spread: Tensor  # the same of always saying the mean


def feature_maps(
    model: nn.Module, images: Tensor, layers: Sequence[str], batch: int = BATCH
) -> dict[str, Tensor]:
    """The maps of each of `layers`, by its name: (N, C, h, w)."""
    return _gathered(model, images, layers, batch, _maps)


def pooled_features(
    model: nn.Module, images: Tensor, layers: Sequence[str], cells: int = 4, batch: int = BATCH
) -> dict[str, Tensor]:
    """What each of `layers` puts out, by its name, as one row for each image: (N, D).

    Maps are averaged down to `cells` x `cells`, so that layers of any size can be compared, and
    kept for many images; what lies between the cells is lost, from large maps more than from small
    ones.
    """
    return _gathered(model, images, layers, batch, lambda output, _: _pooled(output, cells))


def activity(
    model: nn.Module, images: Tensor, layers: Sequence[str], batch: int = BATCH
) -> dict[str, Activity]:
    """What the channels of `layers` do over all images, by layer; memory does not grow with N.

    After a ReLU the dead channels are those that are never above zero. Before one, a channel whose
    `largest` is not above zero is one that the ReLU will make dead.
    """
    seen: dict[str, _Extremes] = {}
    with _watched(model, layers) as outputs:
        for _, part in _parts(model, images, batch):
            model(part)
            for name in layers:
                new = _extremes(_output(outputs, name))
                seen[name] = _joined(seen[name], new) if name in seen else new
    return {name: _activity(found, images) for name, found in seen.items()}


def uniform_maps(
    model: nn.Module, images: Tensor, layers: Sequence[str], batch: int = BATCH
) -> dict[str, Tensor]:
    """Which maps are the same number everywhere, but for rounding: (N, C) bool by layer.

    A map of a single cell is none. A channel that is so in every image is dead, but for one that
    tells images apart by the number itself.
    """
    return _gathered(model, images, layers, batch, lambda x, name: _uniform(_maps(x, name)))


def reach(model: nn.Module, layer: str, inputs: Activity) -> Tensor:
    """The largest number that each channel of a convolution could put out: (C,).

    For any image whatever, as long as the layer's inputs (I channels) stay within the bounds of
    `inputs`. A channel that does not reach above zero is dead behind a ReLU by its weights alone;
    one that does, and is dead, could be woken by an image that is not among those seen.
    Raises ValueError for a layer that is no ungrouped nn.Conv2d, or has other inputs.
    """
    convolution = find(model, layer)
    if not isinstance(convolution, nn.Conv2d) or convolution.groups > 1:
        raise ValueError(f"layer {layer!r} is {convolution}: give an nn.Conv2d without groups")
    weight = convolution.weight.detach()
    if len(inputs.least) != weight.shape[1]:
        raise ValueError(f"layer {layer!r} has {weight.shape[1]} inputs, not {len(inputs.least)}")
    least, largest = (bound.to(weight)[:, None, None] for bound in (inputs.least, inputs.largest))
    if convolution.padding not in ("valid", 0, (0, 0)):
        # Zeros around the maps are inputs too.
        least, largest = least.clamp(max=0), largest.clamp(min=0)
    most = torch.maximum(weight * least, weight * largest).sum((1, 2, 3))
    return most if convolution.bias is None else most + convolution.bias.detach()


def most_exciting(
    model: nn.Module, images: Tensor, layer: str, top: int = 9, batch: int = BATCH
) -> Exciting:
    """The `top` images in which each channel of `layer` rises highest, and where in its maps.

    Of equally strong images the earlier comes first, so a dead channel has the first ones. At most
    as many as there are images; memory does not grow with them.
    Zeiler and Fergus (2014), Visualizing and understanding convolutional networks.
    """
    best = None
    with _watched(model, [layer]) as outputs:
        for first, part in _parts(model, images, batch):
            model(part)
            maps = _maps(_output(outputs, layer), layer)
            best = _strongest(best, _peaks(maps, first), top)
    indices, values, cells = (kept.T.contiguous().to(images.device) for kept in best)
    places = torch.stack([cells // maps.shape[3], cells % maps.shape[3]], dim=2)
    return Exciting(indices, values, places)


def silenced(
    model: nn.Module, images: Tensor, labels: Tensor, layer: str, batch: int = BATCH
) -> Silenced:
    """Which images are still right when a channel of `layer` is set to zero, for each channel.

    `labels` (N,) are classes. What comes before the layer runs once for each image, what comes
    after it once for each channel, on `batch` copies at a time (more where there are more
    channels). Where something passes by the layer, as inside a residual block, all of the model
    runs once for each channel. Raises ValueError for labels that do not fit.
    """
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images have labels {tuple(labels.shape)}: give (N,)")
    channels = _channels(model, images, layer)
    passed_by = _passed_by(model, images, layer, channels)
    copies = channels + 1 if passed_by else 1
    said = []
    with torch.no_grad(), eval_mode(model):
        for _, part in _parts(model, images, max(1, batch // (channels + 1))):
            with _hooked(model, layer, _silencer(channels, len(part))):
                logits = model(part.repeat(copies, 1, 1, 1))
            said.append(logits.argmax(1).unflatten(0, (-1, len(part))))
    # Moved once, at the end: each look at an answer would make the host wait for the device.
    right = torch.cat(said, 1).to(images.device) == labels.to(images.device)
    return Silenced(right[:-1], right[-1])


def accuracy_lost(seen: Silenced, resamples: int = 1000, seed: int = 0) -> list[Interval]:
    """Accuracy lost when each channel is silenced, with its 95 % bootstrap interval over images.

    Below zero where the network is better without. Intervals hold one by one; which of many
    channels are told from chance is for `lost_p`.
    """
    lost = (seen.whole.float() - seen.right.float()).T
    draws = resampled_means(lost, resamples, seed)
    pairs = zip(lost.mean(0).tolist(), draws.T, strict=True)
    return [interval_from_draws(value, drawn, len(lost)) for value, drawn in pairs]


def lost_p(seen: Silenced) -> Tensor:
    """How likely chance alone makes each channel's loss or gain as large: p values (C,), float64.

    Exact and two-sided, of the images on which the network with the channel and the one without
    differ; 1 where there are none. `statistics.holm` corrects them for the number of channels.
    McNemar (1947), Note on the sampling error of the difference between correlated proportions.
    """
    right, whole = seen.right.cpu().numpy(), seen.whole.cpu().numpy()
    lost, gained = (whole & ~right).sum(1), (~whole & right).sum(1)
    tail = bdtr(numpy.minimum(lost, gained), lost + gained, 0.5)
    return torch.from_numpy(numpy.minimum(1, 2 * tail)).to(seen.right.device)


def receptive_fields(
    model: nn.Module, layer: str, size: tuple[int, int], batch: int = 32
) -> Tensor:
    """What each cell of a layer's maps can see of images of `size` (H, W): (h, w, 4) int64.

    The smallest box that holds it: top, left, bottom, right in pixels, the last two excluded,
    ended at the border of the image. Found on the model itself, whatever it is made of: a row or
    column of NaN in the image makes NaN of all that depends on it. Takes H + W + 1 images through
    a copy of the model in float64. Raises ValueError where the layer does not depend on the image,
    or gives NaN for any.
    """
    # In float64 on the CPU convolutions are plain sums; quicker ones (Winograd's, by FFT) mix
    # neighbouring cells, and would spread NaN to those that see nothing of it.
    net = copy.deepcopy(model).cpu().double()
    height, lines, spoilt = size[0], sum(size) + 1, []
    with _watched(net, [layer], through=lambda maps: maps.isnan().any(1)) as outputs:
        for first in range(0, lines, batch):
            net(_with_nan(size, range(first, min(first + batch, lines))))
            spoilt.append(_output(outputs, layer, least=1))
    spoilt = torch.cat(spoilt)
    if spoilt.ndim != 3:
        raise ValueError(f"layer {layer!r} puts out no maps (N, C, h, w), so its cells see no part")
    if spoilt[-1].any():
        raise ValueError(f"layer {layer!r} gives NaN for an image that is plain grey")
    (top, bottom), (left, right) = map(_ends, (spoilt[:height], spoilt[height:-1]))
    return torch.stack([top, left, bottom, right], dim=2)


def patches(fields: Tensor) -> Tensor:
    """The part of the image under each cell, in the middle of what it sees: (h, w, 4) int64.

    `fields` (h, w, 4) are those of `receptive_fields`. A patch is as large as the step from one
    cell to the next, so together they tile a part of the image, each pixel once; a single cell has
    all of its field. Raises ValueError where cells see unequally much, as behind padded layers.
    """
    sizes = fields[..., 2:] - fields[..., :2]
    if not (sizes == sizes[0, 0]).all():
        raise ValueError("cells at the border see less: give the fields of layers without padding")
    size = sizes[0, 0]
    steps = [
        line[1, axis] - line[0, axis] if len(line) > 1 else size[axis]
        for axis, line in enumerate((fields[:, 0], fields[0]))
    ]
    step = torch.stack(steps)
    first = fields[..., :2] + (size - step) // 2
    return torch.cat([first, first + step], dim=2)


def pixel_readers(
    model: nn.Module, images: Tensor, fields: Mapping[str, Tensor], batch: int = BATCH
) -> dict[str, Reader]:
    """The best linear reading of pixels from the cells of each layer, by least squares.

    `fields` has the `receptive_fields` of each layer. What a cell is asked for are the pixels of
    its patch (`patches`); images are floats in 0..1 whatever the model makes of them first.
    """
    lattices = {name: _lattice(of_layer) for name, of_layer in fields.items()}
    sums = {name: _Sums(0, 0, 0, 0, 0) for name in fields}
    with _watched(model, fields) as outputs:
        for _, part in _parts(model, images, batch):
            model(part)
            for name, (corner, step) in lattices.items():
                cells = _cells(_maps(_output(outputs, name), name))
                pixels = _under(part, corner, step, fields[name].shape)
                sums[name] = _summed(sums[name], cells, pixels)
    return {name: Reader(*lattices[name], *_least_squares(sums[name])) for name in fields}


def read_pixels(
    model: nn.Module, images: Tensor, readers: Mapping[str, Reader], batch: int = BATCH
) -> dict[str, Tensor]:
    """What each layer's reader makes of images, as pictures of the part that it reads.

    By layer (N, h, w, 3) float32, not ended at 0 and 1.
    """

    def drawn(output: Tensor, name: str) -> Tensor:
        return _tiled(_read(readers[name], output, name), readers[name].step, output.shape).float()

    return _gathered(model, images, list(readers), batch, drawn)


def pixels_recovered(
    model: nn.Module, images: Tensor, readers: Mapping[str, Reader], batch: int = BATCH
) -> dict[str, Recovered]:
    """How well each layer's reader recovers the pixels of images, best of others than its own.

    Memory does not grow with what is read. A layer of dead channels recovers nothing.
    """
    kept: dict[str, list[Tensor]] = {name: [] for name in readers}
    with _watched(model, readers) as outputs:
        for _, part in _parts(model, images, batch):
            model(part)
            for name, reader in readers.items():
                output = _output(outputs, name)
                read = _read(reader, output, name)
                true = _under(part, reader.corner, reader.step, output.shape[2:])
                misses = (read - true, reader.mean.to(true.device) - true)
                each = [miss.square().reshape(len(part), -1).sum(1) for miss in misses]
                kept[name].append(torch.stack(each))
    return {
        name: Recovered(*torch.cat(parts, dim=1).to(images.device)) for name, parts in kept.items()
    }


def linear_probe(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, seed: int = 0
) -> Tensor:
    """Whether a linear classifier of a layer's numbers gets each test image right: (M,) bool.

    `train` (N, D) and `test` (M, D) are rows such as `pooled_features` gives, with their classes.
    They are standardised, brought to 256 principal components where they are more (`seed` is for
    these), both by the training images alone, and read by logistic regression, equally regularised
    for all layers. Test images are to be new to the network as well: of those that it learnt, the
    last layers tell the class too well.
    Raises ValueError for rows that are not (N, D) and (M, D) or not finite, labels that do not fit,
    and training images of a single class.
    Alain and Bengio (2017), Understanding intermediate layers using linear classifier probes.
    """
    rows, asked = (checked_points(part, torch.float32).cpu().numpy() for part in (train, test))
    if rows.shape[1] != asked.shape[1]:
        raise ValueError(f"rows of {rows.shape[1]} numbers to learn, of {asked.shape[1]} to test")
    for part, classes in ((rows, labels), (asked, test_labels)):
        if classes.shape != part.shape[:1]:
            raise ValueError(f"{len(part)} rows have labels {tuple(classes.shape)}: give one each")
    probe = _probe(min(COMPONENTS, *rows.shape), rows.shape[1], seed)
    # On matrices so small two threads wait for each other longer than they work.
    with warnings.catch_warnings(), THREADS.limit(limits=1):
        # The last steps towards the optimum change no prediction to speak of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of a layer that is dead throughout
        said = probe.fit(rows, labels.cpu().numpy()).predict(asked)
    return torch.from_numpy(said == test_labels.cpu().numpy()).to(test.device)


def first_filters(model: nn.Module) -> Tensor:
    """The weights of the model's first convolution as small pictures, signed: (C, kh, kw, 3).

    Raises ValueError where it has none, or one that does not read three channels of colour.
    """
    weights = (layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d))
    first = next(weights, None)
    if first is None:
        raise ValueError(f"{type(model).__name__} has no convolution, so no filters to show")
    if first.shape[1] != 3:
        raise ValueError(f"the first filters read {first.shape[1]} channels: colours are three")
    return first.detach().permute(0, 2, 3, 1).contiguous()


@contextmanager
def _watched(
    model: nn.Module, layers: Iterable[str], through: Callable[[Tensor], Tensor] | None = None
) -> Iterator[dict[str, Tensor]]:
    with torch.no_grad(), eval_mode(model), capture(model, layers, through) as outputs:
        yield outputs


def _parts(model: nn.Module, images: Tensor, batch: int) -> Iterator[tuple[int, Tensor]]:
    """(index of the first image, images as the model takes them), a batch at a time."""
    if len(images) == 0:
        raise ValueError("there are no images to pass through the network")
    device = next(model.parameters(), images).device
    for first in range(0, len(images), batch):
        yield first, _pixels(images[first : first + batch].to(device))


def _pixels(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8 and images.ndim == 4 and images.shape[3] == 3:
        return images.permute(0, 3, 1, 2).contiguous().float() / 255
    if images.is_floating_point() and images.ndim == 4:
        return images
    raise ValueError(
        f"images are {images.dtype} {tuple(images.shape)}: give float (N, 3, H, W), as the model "
        "takes them, or uint8 (N, H, W, 3)"
    )


def _output(outputs: dict[str, Tensor], name: str, least: int = 2) -> Tensor:
    if name not in outputs:
        raise ValueError(f"layer {name!r} did not run")
    if outputs[name].ndim < least:
        shape = tuple(outputs[name].shape)
        raise ValueError(f"layer {name!r} puts out {shape}: give one with channels, (N, C, ...)")
    return outputs[name]


def _maps(output: Tensor, name: str) -> Tensor:
    if output.ndim != 4:
        shape = tuple(output.shape)
        raise ValueError(f"layer {name!r} puts out {shape}: give one with maps, (N, C, h, w)")
    return output


def _gathered(model, images, layers, batch, of) -> dict[str, Tensor]:
    kept: dict[str, list[Tensor]] = {name: [] for name in layers}
    with _watched(model, layers) as outputs:
        for _, part in _parts(model, images, batch):
            model(part)
            for name, parts in kept.items():
                parts.append(of(_output(outputs, name), name).to(images.device))
    return {name: torch.cat(parts) for name, parts in kept.items()}


def _uniform(maps: Tensor) -> Tensor:
    least, largest = maps.amin((2, 3)), maps.amax((2, 3))
    size = torch.maximum(least.abs(), largest.abs())
    return (largest - least <= CONSTANT * size) & (maps[0, 0].numel() > 1)


class _Sums(NamedTuple):
    """What least squares need of n cells (n, C) and their pixels (n, D)."""

    count: int
    cells: Tensor
    pixels: Tensor
    squares: Tensor  # (C, C)
    products: Tensor  # (C, D)


def _summed(sums: _Sums, cells: Tensor, pixels: Tensor) -> _Sums:
    new = len(cells), cells.sum(0), pixels.sum(0), cells.T @ cells, cells.T @ pixels
    return _Sums(*(old + more for old, more in zip(sums, new, strict=True)))


def _least_squares(sums: _Sums) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, offset and the mean of the pixels, on the CPU."""
    count, *totals = sums
    inputs, mean, squares, products = (total.cpu() / count for total in totals)
    squares, products = squares - torch.outer(inputs, inputs), products - torch.outer(inputs, mean)
    # Dead channels leave it without an inverse.
    weights = torch.linalg.pinv(squares, rtol=RANK, hermitian=True) @ products
    return weights, mean - inputs @ weights, mean


def _lattice(fields: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, bottom, right = patches(fields)[0, 0].tolist()
    return (top, left), (bottom - top, right - left)


def _cells(maps: Tensor) -> Tensor:
    """Maps (n, C, h, w) as a row for each cell: (n h w, C), `doubles`."""
    return doubles(maps.permute(0, 2, 3, 1).flatten(0, 2))


def _under(images: Tensor, corner, step, cells) -> Tensor:
    """The pixels under each cell of (h, w), a row for each: (n h w, 3 a b), `doubles`."""
    (top, left), (tall, wide), (height, width) = corner, step, cells[:2]
    part = doubles(images[:, :, top : top + height * tall, left : left + width * wide])
    apart = part.unflatten(3, (width, wide)).unflatten(2, (height, tall))
    return apart.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)


def _tiled(pixels: Tensor, step: tuple[int, int], shape: torch.Size) -> Tensor:
    """Pixels as `_under` has them, of maps of a shape (n, C, h, w), as images (n, H, W, 3)."""
    apart = pixels.view(shape[0], shape[2], shape[3], 3, *step)
    return apart.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)


def _read(reader: Reader, output: Tensor, name: str) -> Tensor:
    cells = _cells(_maps(output, name))
    return cells @ reader.weights.to(cells.device) + reader.offset.to(cells.device)


def _pooled(output: Tensor, cells: int) -> Tensor:
    if output.ndim == 4:
        height, width = (min(cells, side) for side in output.shape[2:])
        output = F.adaptive_avg_pool2d(output, (height, width))
    return output.flatten(1)


def _extremes(output: Tensor) -> _Extremes:
    """Of the outputs (n, C, ...) of a batch."""
    each = output.reshape(*output.shape[:2], -1)
    least, largest = each.amin(2), each.amax(2)
    return _Extremes(least.amin(0), largest.amax(0), (largest > 0).sum(0))


def _joined(seen: _Extremes, new: _Extremes) -> _Extremes:
    least, largest = torch.minimum(seen.least, new.least), torch.maximum(seen.largest, new.largest)
    return _Extremes(least, largest, seen.active + new.active)


def _activity(seen: _Extremes, images: Tensor) -> Activity:
    least, largest, active = (part.to(images.device) for part in seen)
    size = torch.maximum(least.abs(), largest.abs())
    return Activity(least, largest, active / len(images), largest - least <= CONSTANT * size)


def _peaks(maps: Tensor, first: int) -> _Peaks:
    """Of maps (n, C, h, w), the first of them of image `first`."""
    values, cells = maps.flatten(2).max(2)
    images = torch.arange(first, first + len(maps), device=maps.device)
    return _Peaks(images[:, None].expand_as(values), values, cells)


def _strongest(best: _Peaks | None, new: _Peaks, top: int) -> _Peaks:
    """The `top` of what was best so far and what is new, by channel: (top, C) each."""
    both = new if best is None else _Peaks(*map(torch.cat, zip(best, new, strict=True)))
    order = both.values.argsort(dim=0, descending=True, stable=True)[:top]
    return _Peaks(*(part.gather(0, order) for part in both))


def _channels(model: nn.Module, images: Tensor, layer: str) -> int:
    with _watched(model, [layer]) as outputs:
        _, part = next(_parts(model, images, 1))
        model(part)
        return _output(outputs, layer).shape[1]


def _passed_by(model: nn.Module, images: Tensor, layer: str, channels: int) -> bool:
    """Whether something passes by the layer, so that copies made behind it do not fit."""
    _, part = next(_parts(model, images, 1))
    # Of two images, as a single one is broadcast to any number of copies.
    with torch.no_grad(), eval_mode(model), _hooked(model, layer, _silencer(channels, 2)):
        try:
            model(part.repeat(2, 1, 1, 1))
        except RuntimeError:
            return True
    return False


@contextmanager
def _hooked(model: nn.Module, layer: str, hook: Callable) -> Iterator[None]:
    handle = find(model, layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _silencer(channels: int, count: int) -> Callable:
    """A forward hook for `count` images: copy c of them has channel c at zero, one more has all."""

    def silence(layer, inputs, output):
        if output.shape[1] != channels:
            raise ValueError(f"the layer runs on {output.shape[1]} and on {channels} channels")
        # One copy, or as many as there will be where the images came in copies already.
        copies = output.unflatten(0, (-1, count))
        copies = copies.expand(channels + 1, *copies.shape[1:]).clone()
        each = torch.arange(channels, device=output.device)
        copies[each, :, each] = 0
        return copies.flatten(0, 1)

    return silence


def _with_nan(size: tuple[int, int], lines: range) -> Tensor:
    """Grey images, each with one line of NaN: first the rows of pixels, then the columns."""
    images = torch.full((len(lines), 3, *size), 0.5, dtype=torch.float64)
    for image, line in zip(images, lines, strict=True):
        if line < size[0]:
            image[:, line] = torch.nan
        else:
            # None for the line beyond the last column: an image without NaN.
            image[:, :, line - size[0] : line - size[0] + 1] = torch.nan
    return images


def _ends(spoilt: Tensor) -> tuple[Tensor, Tensor]:
    """First and last line, the latter excluded, that spoils each cell, of (lines, h, w) bool."""
    if not spoilt.any(0).all():
        raise ValueError("the layer does not depend on the image: give one that does")
    hit = spoilt.int()
    return hit.argmax(0), len(hit) - hit.flip(0).argmax(0)


def _probe(components: int, numbers: int, seed: int) -> Pipeline:
    reduction = PCA(components, svd_solver="randomized", random_state=seed)
    reader = LogisticRegression(C=PENALTY, max_iter=200)
    steps = [reduction, reader] if components < numbers else [reader]
    return make_pipeline(StandardScaler(), *steps)
