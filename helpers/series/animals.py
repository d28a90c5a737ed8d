"""What notebook 06 asks of scenes whose individuals are seen several times, and of whales.

How much a random split flatters a net, whether a net that learnt species tells individuals, what
misspelt labels cost; all with intervals over training seeds and images together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from helpers.datasets.imageset import ImageSet, Splits, digest, split
from helpers.datasets.scenes import scenes
from helpers.datasets.spelling import SHARES, merged, plant
from helpers.methods.neighbours import nearest
from helpers.methods.statistics import Interval, crossed, ended, over_seeds, t_interval
from helpers.methods.subcategories import mean_colour
from helpers.network.signatures import logits_of, signatures
from helpers.network.training import Trained
from helpers.series.nets import quiet, train, untrained
from helpers.series.peering import pairs_by_chance
from helpers.series.plan import Plan
from helpers.settings import Settings

# How often an individual is seen (in the contest, 3.3 times on average).
VIEWS = 4
SIGNATURE = "fc1"
# Far from the indices of any training scene.
VALIDATION, TEST = 500_000, 1_000_000
FEW = 100
# Of the views of known individuals, and of individuals: 3 of 4 are learnt, 1 of 5 is not known.
HELD, NEW = {"train": 3, "held": 1}, {"known": 4, "new": 1}


class Scale(NamedTuple):
    """How many scenes are learnt, tested and looked at by their maps, and the training seeds."""

    train: int
    test: int
    maps: int
    seeds: tuple[int, ...]


class Views(NamedTuple):
    """Scenes by what is known of their individuals.

    train  to learn from; held, views of individuals of which others are in train; new, of
    individuals that are not
    """

    train: ImageSet
    held: ImageSet
    new: ImageSet


def scale_for(plan: Plan, settings: Settings) -> Scale:
    if settings.full:
        return Scale(train=6_000, test=4_000, maps=1_000, seeds=plan.sea_seeds)
    return Scale(train=780, test=600, maps=150, seeds=plan.sea_seeds)


def in_views(views: int, scale: Scale) -> Views:
    """Scenes in which each individual is seen `views` times, divided as `Views` says.

    The sizes are the same for any number of views. With one view every image shows an individual
    of its own: held and new are then the same, but for chance.
    """
    whole = scenes(scale.train * 5 // 3, views=views)
    parts = split(whole, NEW, groups=whole.table["individual"])
    known = split(parts["known"], HELD)
    learnt = set(known["train"].table["individual"])
    held = known["held"]
    if views > 1:
        again = held.table["individual"].isin(learnt).to_numpy().nonzero()[0]
        held = held.subset(again, "known individuals")
    return Views(known["train"], held, parts["new"])


def learn(
    images: ImageSet,
    plan: Plan,
    scale: Scale,
    settings: Settings,
    validation: ImageSet | None = None,
    recipe: str = "SmallCNN, sea",
) -> list[Trained]:
    """SmallCNN on `images`, once for each seed.

    The last weights are kept, so that `validation`, by default a few plain scenes, chooses nothing.
    """
    validation = scenes(FEW, first=VALIDATION) if validation is None else validation
    sets = (images, validation)
    return train("SmallCNN", recipe, sets, plan, settings, scale.seeds, say=quiet)


def right_of(runs: Sequence[Trained], images: ImageSet) -> Tensor:
    """Which of N images each of S nets reads rightly: (S, N) float64, 1 or 0."""
    found = [logits_of(run.model, images.images, say=quiet).argmax(1) for run in runs]
    return torch.stack([said == images.labels for said in found]).double()


def right_when_mended(
    runs: Sequence[Trained], images: ImageSet, pairs: Mapping[str, str]
) -> Tensor:
    """As `right_of`, with answers and labels merged as `spelling.mend` merges classes."""
    new = merged(images.classes, pairs)[1]
    said = [logits_of(run.model, images.images, say=quiet).argmax(1) for run in runs]
    return torch.stack([new[answer] == new[images.labels] for answer in said]).double()


def over_both(values: Tensor, units: Iterable | None = None) -> Interval:
    """Interval of the mean of `values` (S, N), S nets and N images, for other nets and images.

    The nets are asked about the same images: the t-interval over nets is widened by that over
    images, of each image's mean over nets. `units` (N,) names the individuals, where images of one
    are not independent. NaN is left out; NaN throughout where nothing else is left for a net.
    """
    by_image, by_net = values.nanmean(0), values.nanmean(1)
    if units is not None:
        by_image = of_units(by_image, units)
    there = by_image[by_image.isfinite()]
    if len(there) < 2 or not by_net.isfinite().all():
        return over_seeds(torch.tensor([math.nan]))
    return crossed(over_seeds(by_net), t_interval(there))


def share_over_both(values: Tensor, units: Iterable | None = None) -> Interval:
    """`over_both` of shares, ended at 0 and 1."""
    return ended(over_both(values, units))


def of_units(values: Tensor, units: Iterable) -> Tensor:
    """Means of `values` (N,) over the images of each unit: (units,)."""
    codes = torch.from_numpy(pd.factorize(pd.Series(list(units)))[0]).long()
    sums = torch.zeros(int(codes.max()) + 1, dtype=values.dtype).index_add_(0, codes, values)
    return sums / codes.bincount()


def apart(first: Tensor, second: Tensor, units: Sequence[Iterable | None] = (None, None)):
    """Interval of the mean of `first` (S, N) less that of `second` (S, M), on different images.

    As `over_both`; the nets of both are the same, in the same order.
    """
    by_net = over_seeds(first.mean(1) - second.mean(1))
    ends = [
        t_interval(values.mean(0) if unit is None else of_units(values.mean(0), unit))
        for values, unit in zip((first, second), units, strict=True)
    ]
    error = math.hypot(*(end.high - end.value for end in ends))
    images = Interval(by_net.value, by_net.value - error, by_net.value + error, len(first[0]))
    return crossed(by_net, images)


def flattered(runs: Sequence[Trained], views: Views) -> Interval:
    """Accuracy on held-out views of known individuals less that on individuals never seen."""
    held, new = (right_of(runs, part) for part in (views.held, views.new))
    return apart(held, new, [part.table["individual"] for part in (views.held, views.new)])


def _codes_of(individuals: Iterable) -> Tensor:
    return torch.from_numpy(pd.factorize(pd.Series(list(individuals)))[0])


def recognised(points: Tensor, individuals: Iterable) -> Tensor:
    """Whether the nearest other of each of `points` (N, D) is the same individual: (N,) float64."""
    codes = _codes_of(individuals)
    return (codes[nearest(points, 1).indices[:, 0].cpu()] == codes).double()


def by_chance(individuals: Iterable) -> float:
    """Share to expect where any other image is as near."""
    return pairs_by_chance(_codes_of(individuals))


def by_chance_within(individuals: Iterable, labels: Tensor) -> float:
    """Share to expect of one who knows each image's class (`labels`, (N,)) and nothing else.

    Any other image of the class is as near; the only image of a class cannot find itself.
    """
    table = pd.DataFrame({"who": list(individuals), "label": labels.tolist()})
    classes = [who for _, who in table.groupby("label")["who"] if len(who) > 1]
    return sum(by_chance(who) * len(who) for who in classes) / len(table)


def signature_of(model, images: ImageSet) -> Tensor:
    """Signatures (N, D) of the images in the last hidden layer of SmallCNN."""
    return signatures(model, images.images, [SIGNATURE], say=quiet).layers[SIGNATURE]


def ways_to_recognise(runs: Sequence[Trained], images: ImageSet) -> dict[str, Tensor]:
    """Whether each image's nearest is of the same individual, by way: (S, N), S nets.

    By the signature of the trained nets, of the same before training, and by mean colour.
    """
    who = images.table["individual"]
    before = [untrained(run, images).eval() for run in runs]
    colour = mean_colour(images.images)
    nets = {"signature": [run.model for run in runs], "untrained signature": before}
    found = {
        way: torch.stack([recognised(signature_of(model, images), who) for model in models])
        for way, models in nets.items()
    }
    return found | {"mean colour": recognised(colour, who).expand(len(runs), -1)}


def misspelt(images: ImageSet, seed: int = 0) -> ImageSet:
    """The images with two species misspelt, as often as in the contest's table."""
    longest = sorted(images.classes, key=len, reverse=True)[: len(SHARES)]
    return plant(images, dict(zip(longest, SHARES, strict=True)), seed)


def together(data: Splits) -> ImageSet:
    """All images of the four sets in one."""
    first = data.train
    tables = pd.concat([part.table for part in data], ignore_index=True)
    return replace(
        first,
        images=torch.cat([part.images for part in data]),
        labels=torch.cat([part.labels for part in data]),
        table=tables,
        name=first.name.split(",")[0],
        key=digest(*(part.key for part in data)),
        masks=None,
    )
