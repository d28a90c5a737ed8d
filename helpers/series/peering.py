"""What notebook 07 measures: what the layers of the post's net keep of images, and how surely."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.datasets.imageset import ImageSet, Splits
from helpers.methods.agreement import spearman
from helpers.methods.feature_maps import (
    Activity,
    Exciting,
    Reader,
    Recovered,
    Silenced,
    activity,
    feature_maps,
    linear_probe,
    lost_p,
    patches,
    pooled_features,
    reach,
    read_pixels,
    uniform_maps,
)
from helpers.methods.layers import find
from helpers.methods.statistics import (
    Interval,
    crossed,
    holm,
    interval_from_draws,
    over_seeds,
    resampled_means,
)
from helpers.network.models import Standardise
from helpers.series.plan import some
from helpers.settings import Settings

# The post's first four layers; in Keras a convolution ends in its ReLU.
LAYERS = ("relu1", "pool1", "relu2", "pool2")
# The same where dropout may stay on.
DROPPED = ("relu1", "dropout1", "relu2", "dropout2")
# Each ReLU, the convolution before it, and the layer that this one reads.
CONVOLUTIONS = {"relu1": ("conv1", "standardise"), "relu2": ("conv2", "pool1")}
AVERAGE = "average"
# What is told of a dead channel.
DEAD = ("layer", "channel", "bias", "largest seen", "largest possible", "dead before training")
# Images that show what a channel is excited by, and how many are kept to draw half of them.
TOP, KEPT = 9, 64
# Images that probes and readers learn from, and that the quick profile looks at.
LEARNT, QUICK = 4_000, 1_000
LEVEL = 0.05


class Drawn(NamedTuple):
    """A number for each of S nets, and the same with other images, R times: (S,) and (R, S)."""

    values: Tensor
    draws: Tensor

    def __sub__(self, other: Drawn) -> Drawn:
        """The paired difference, where both were drawn with the same seed."""
        return Drawn(self.values - other.values, self.draws - other.draws)


def over_both(drawn: Drawn) -> Interval:
    """Interval of the mean over nets, for other seeds and other images together.

    The nets see the same images, so the t-interval over them is widened by the spread of the
    draws. Of these the spread alone counts, as their mean may lie elsewhere: of images drawn anew
    some are drawn twice, and half of the images are fewer.
    """
    seeds, draws = over_seeds(drawn.values.double()), drawn.draws.double().mean(1)
    about = draws - draws.mean() + seeds.value
    return crossed(seeds, interval_from_draws(seeds.value, about, len(draws)))


def means(values: Sequence[Tensor] | Tensor, resamples: int, seed: int) -> Drawn:
    """Means over images of `values` (S, N), one number for each net and image."""
    values = torch.stack(list(values)).double()
    return Drawn(values.mean(1), resampled_means(values.T, resamples, seed))


def ratios(
    parts: Sequence[Tensor] | Tensor, wholes: Sequence[Tensor] | Tensor, resamples: int, seed: int
) -> Drawn:
    """Sums over images of `parts` (S, N) as shares of those of `wholes`; NaN of nothing."""
    above, below = (means(each, resamples, seed) for each in (parts, wholes))
    return Drawn(above.values / below.values, above.draws / below.draws)


def looked_at(data: Splits, settings: Settings) -> tuple[ImageSet, ImageSet]:
    """Calibration images, for what is learnt here, and test images, on which all is measured.

    The former neither trained nor chose the nets.
    """
    if settings.full:
        return some(data.calibration, LEARNT), data.test
    return some(data.calibration, QUICK), some(data.test, QUICK)


def row_of(images: ImageSet, number: int) -> int:
    """The row of test image `number`, by its official number or else by its place, if it is there.

    Else that of the image that is nearest by place.
    """
    official = images.table.get("official_index")
    if official is not None and (official == number).any():
        return int((official == number).to_numpy().argmax())
    return min(max(number, 0), len(images) - 1)


def unscaled(model: nn.Sequential) -> nn.Sequential:
    """A copy of a net that takes images of 0..1 as if they came in 0..255, as the post's did."""
    net, old = copy.deepcopy(model), model.standardise
    mean, std = ((part.flatten() / 255).tolist() for part in (old.mean, old.std))
    net.standardise = Standardise(mean, std).to(old.mean.device)
    return net


def maps_alike(first: nn.Module, second: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Rank correlation of the maps that two nets make of each image: (N,), NaN where none vary.

    Of each channel's map with the same channel's, averaged over channels that vary in both.
    """
    maps = (feature_maps(net, images, [layer])[layer].flatten(2) for net in (first, second))
    return spearman(*maps).nanmean(1)


class _Always(nn.Module):
    """Dropout that is on in evaluation mode too, the same for the same seed."""

    def __init__(self, share: float, seed: int):
        super().__init__()
        self.share, self.generator = share, torch.Generator().manual_seed(seed)

    def forward(self, numbers: Tensor) -> Tensor:
        kept = torch.rand(numbers.shape, generator=self.generator) >= self.share
        return numbers * kept.to(numbers.device) / (1 - self.share)


def dropping(model: nn.Sequential, seed: int) -> nn.Sequential:
    """A copy of a net whose dropout stays on while it is looked at."""
    layers = OrderedDict(
        (name, _Always(layer.p, seed) if isinstance(layer, nn.Dropout) else copy.deepcopy(layer))
        for name, layer in model.named_children()
    )
    return nn.Sequential(layers)


def squares(model: nn.Module, images: Tensor, layers: Sequence[str] = LAYERS) -> Tensor:
    """Which maps of the layers, one after another, are uniform: (N, C) bool."""
    return torch.cat(list(uniform_maps(model, images, layers).values()), 1)


def of_dead(uniform: Tensor) -> Tensor:
    """For each image, how many of its uniform maps are of channels uniform in all images: (N,)."""
    return (uniform & uniform.all(0)).sum(1)


def dead_in(uniform: Tensor, widths: Sequence[int]) -> int:
    """How many channels are uniform in all images behind their ReLU, each counted once.

    `uniform` (N, C) as `squares` gives it of `LAYERS`, which have so many channels as `widths`.
    """
    parts = zip(LAYERS, uniform.all(0).split(list(widths), 0), strict=True)
    return sum(int(part.sum()) for layer, part in parts if layer in CONVOLUTIONS)


def why_dead(model: nn.Sequential, before: Mapping[str, Activity], images: Tensor) -> pd.DataFrame:
    """A row for each channel that is dead behind its ReLU, and what keeps it there.

    The largest number that it reaches before the ReLU in any of `images`, and the largest that it
    could reach for any image (behind the first layer: for any maps within what these images give);
    whether it was dead `before`, the activity of the untrained net.
    """
    names = [name for name, _ in CONVOLUTIONS.values()]
    seen = activity(model, images, [*names, "pool1"])
    seen["standardise"] = _of_any_image(model)
    rows = [
        row
        for relu, (name, below) in CONVOLUTIONS.items()
        for row in _dead_rows(model, relu, name, seen[name], seen[below], before[name])
    ]
    return pd.DataFrame(rows, columns=DEAD)


def _dead_rows(
    model: nn.Module, relu: str, name: str, seen: Activity, inputs: Activity, before: Activity
) -> list[tuple]:
    dead = (seen.largest <= 0).nonzero().flatten().tolist()
    bias, most = find(model, name).bias.tolist(), reach(model, name, inputs).tolist()
    largest, asleep = seen.largest.tolist(), (before.largest <= 0).tolist()
    return [(relu, k, bias[k], largest[k], most[k], asleep[k]) for k in dead]


def _of_any_image(model: nn.Sequential) -> Activity:
    """What pixels of 0..1 are behind `standardise`."""
    ends = torch.stack([torch.zeros(3, 1, 1), torch.ones(3, 1, 1)]).to(model.standardise.mean)
    least, largest = model.standardise(ends).flatten(1)
    return Activity(least, largest, largest > 0, largest == least)


def pairs_by_chance(labels: Tensor) -> float:
    """Share of the pairs of different images that are of one class."""
    counts = labels.bincount().double()
    return ((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1))).item()


def of_one_class(best: Sequence[Exciting], labels: Tensor, draws: int, seed: int) -> Drawn:
    """Share of pairs of one class among the `TOP` images that excite a channel most.

    For each net, `best` has the images of its channels, as many as `KEPT` of each; channels that
    no image excites are left out. The draws are halves of the images: two copies of an image,
    which a bootstrap has, would be of one class.
    """
    generator = torch.Generator().manual_seed(seed)
    halves = torch.rand(draws, len(labels), generator=generator).argsort(1) * 2 < len(labels)
    whole = torch.ones(1, len(labels), dtype=torch.bool)
    shares = [_pairs_of_one_class(each, labels, torch.cat([whole, halves])) for each in best]
    return Drawn(torch.stack([x[0] for x in shares]), torch.stack([x[1:] for x in shares], 1))


def _pairs_of_one_class(best: Exciting, labels: Tensor, there: Tensor) -> Tensor:
    """The share, averaged over channels, where only some images are there (R, N): (R,)."""
    indices = best.indices[best.values[:, 0] > 0]
    of_class = F.one_hot(labels[indices], int(labels.max()) + 1).float()
    found = []
    for rows in there:
        kept = rows[indices]
        kept &= kept.cumsum(1) <= TOP
        counts = torch.einsum("ct,ctk->ck", kept.float(), of_class)
        count = counts.sum(1)
        found.append(((counts * (counts - 1)).sum(1) / (count * (count - 1))).nanmean())
    return torch.stack(found).double()


def commonest(best: Exciting, channel: int, labels: Tensor, names: Sequence[str]) -> str:
    """The commonest class among the first images of a channel, such as "cat, 5 of 9"."""
    counts = labels[best.indices[channel, :TOP]].bincount()
    return f"{names[int(counts.argmax())]}, {int(counts.max())} of {int(counts.sum())}"


def told(seen: Silenced) -> Tensor:
    """Whether the net is worse (1) or better (-1) without each channel, or neither is sure (0).

    By the exact test, corrected for the number of channels (Holm).
    """
    lost = seen.whole.sum() - seen.right.sum(1)
    return lost.sign() * (holm(lost_p(seen)) < LEVEL)


def shares_told(seen: Sequence[Silenced], sign: int, draws: int, seed: int) -> Drawn:
    """Share of channels without which each net is worse (`sign` 1), or better (-1)."""
    generator = torch.Generator().manual_seed(seed)
    count = len(seen[0].whole)
    rows = [torch.randint(count, (count,), generator=generator) for _ in range(draws)]
    values = [_share_told(one, sign) for one in seen]
    drawn = [[_share_told(_of_rows(one, some), sign) for one in seen] for some in rows]
    return Drawn(torch.tensor(values), torch.tensor(drawn))


def _share_told(seen: Silenced, sign: int) -> float:
    return (told(seen) == sign).double().mean().item()


def _of_rows(seen: Silenced, rows: Tensor) -> Silenced:
    return Silenced(seen.right[:, rows], seen.whole[rows])


def probed(
    model: nn.Module, learnt: ImageSet, test: ImageSet, layers: Sequence[str], seed: int
) -> dict[str, Tensor]:
    """Which test images a linear probe of each layer gets right: (N,) by layer."""
    rows, asked = (pooled_features(model, part.images, layers) for part in (learnt, test))
    return {
        name: linear_probe(rows[name], learnt.labels, asked[name], test.labels, seed)
        for name in layers
    }


def averaging(fields: Tensor, size: tuple[int, int]) -> nn.Sequential:
    """A "net" that averages images of `size` over the patches of a layer with such `fields`.

    Its layer `AVERAGE` has three channels, with as many cells.
    """
    tiles = patches(fields)
    top, left, height, width = tiles[0, 0].tolist()
    step, (bottom, right) = (height - top, width - left), tiles[-1, -1, 2:].tolist()
    cut = nn.ZeroPad2d((-left, right - size[1], -top, bottom - size[0]))
    return nn.Sequential(OrderedDict({"cut": cut, AVERAGE: nn.AvgPool2d(step)}))


def shares_recovered(recovered: Sequence[Recovered], resamples: int, seed: int) -> Drawn:
    """Share of the pixels' variance recovered by the reader of one layer of each net."""
    missed, spread = zip(*recovered, strict=True)
    lost = ratios(missed, spread, resamples, seed)
    return Drawn(1 - lost.values, 1 - lost.draws)


def views(model: nn.Module, image: Tensor, readers: Mapping[str, Reader]) -> dict[str, Tensor]:
    """One image (H, W, 3) as each layer's reader draws it: 0..1, with the whole image's corner.

    Where a reader does not reach the image stays white.
    """
    drawn = read_pixels(model, image[None], readers)
    found = {}
    for name, (read,) in drawn.items():
        (top, left), (height, width) = readers[name].corner, read.shape[:2]
        found[name] = torch.ones(*image.shape)
        found[name][top : top + height, left : left + width] = read.clamp(0, 1)
    return found
