"""What notebook 05 measures: where nets look, whether that is true, and how large an area it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.datasets.imageset import ImageSet, Splits
from helpers.datasets.load import load
from helpers.datasets.people import human_answers
from helpers.methods.attention import (
    area_above_half,
    area_entropy,
    area_holding,
    flat,
    grad_cam,
    one_pass,
    score_cam,
    upsample,
)
from helpers.methods.faithfulness import (
    Curve,
    blurred,
    centre_gaussian,
    deletion,
    edge_energy,
    energy_inside,
    insertion,
    iou_at,
    pointing_game,
    randomised,
    rank_correlation,
)
from helpers.methods.layers import capture
from helpers.methods.statistics import (
    Interval,
    crossed,
    holm,
    interval_from_draws,
    over_seeds,
    pairwise_interval,
    resampled_means,
)
from helpers.methods.stratified import (
    Stratified,
    cross,
    delta_interval,
    difference_interval,
    quantile_strata,
    stratified_delta,
    stratified_difference,
    stratified_test,
)
from helpers.network.signatures import to_input
from helpers.network.training import Trained
from helpers.series.nets import deep, quiet, untrained
from helpers.series.plan import Plan, images_of
from helpers.series.trust import AGREED
from helpers.series.unknowns import photograph_net
from helpers.settings import Settings

# The map that the post draws, and the definition of area that its claim is judged by.
POST, AREA = "Grad-CAM", "above half of the maximum"
SCORE_CAM = "Score-CAM"
# Grad-CAM too, for nets that end in a mean over places and one linear layer, as all here do.
ALIKE = ("HiResCAM", "XGrad-CAM")
AREAS: dict[str, Callable[[Tensor], Tensor]] = {
    AREA: area_above_half,
    "entropy": area_entropy,
    "cells that hold 80 %": area_holding,
}
LOGITS = "logits"
CENTRE, EDGES, UNTRAINED, RANDOM = "centred Gaussian", "edges", "untrained net", "random pixels"
# What the post calls confident; its lower bands are too thin to be told apart here.
CONFIDENT = 0.7
POINTING, ENERGY, IOU = "pointing game", "energy inside", "IoU"
# Share of a map's maximum from which it counts as bright.
BRIGHT = 0.5
BATCH = 250
DRAWS = 1000
SIZES, SCORES = 3, 5
# Of the baseline towards which pixels are deleted, in image widths.
BLUR = 1 / 8
LEVEL = 0.05
# Images of either kind from which on two kinds are compared.
FEWEST = 10


# Of what there is nothing to measure by.
UNKNOWN = over_seeds(torch.tensor([math.nan]))


class Looks(NamedTuple):
    """Where one net looks in N images, for the class that it predicts."""

    run: Trained
    images: ImageSet
    logits: Tensor  # (N, C)
    maps: dict[str, Tensor]  # (N, h, w), raw and signed, by method; NaN where none was made

    @property
    def predicted(self) -> Tensor:
        return self.logits.argmax(1)

    @property
    def right(self) -> Tensor:
        return self.predicted == self.images.labels

    @property
    def sure(self) -> Tensor:
        return self.logits.softmax(1).amax(1)


def look(run: Trained, images: ImageSet) -> Looks:
    """The maps of every method that takes one pass for all channels; of `ALIKE` the first alone."""
    maps = _mapped(run.model, images.images, None, _in_one_pass)
    logits = maps.pop(LOGITS)
    return Looks(run, images, logits, {way: x for way, x in maps.items() if way not in ALIKE})


def same_maps(maps: Mapping[str, Tensor]) -> dict[str, str]:
    """Methods whose maps are those of an earlier one, but for a factor, and that one's name."""
    unit = {way: F.normalize(x.flatten(1), dim=1) for way, x in maps.items()}
    found: dict[str, str] = {}
    for earlier, later in combinations(maps, 2):
        if earlier not in found and torch.allclose(unit[earlier], unit[later], atol=1e-4):
            found.setdefault(later, earlier)
    return found


def with_score_cam(looks: Looks, rows: Tensor) -> Looks:
    """`looks` with Score-CAM, a pass for each channel, for some of the images more."""
    maps = looks.maps.get(SCORE_CAM, torch.full_like(looks.maps[POST], math.nan)).clone()
    found = _mapped(looks.run.model, looks.images.images[rows], looks.predicted[rows], _by_score)
    maps[rows] = found[SCORE_CAM]
    return looks._replace(maps={**looks.maps, SCORE_CAM: maps})


def on_scenes(
    data: Splits, nets: Sequence[Looks], plan: Plan, settings: Settings
) -> tuple[ImageSet, Sequence[Looks]]:
    """Test scenes, and where nets trained on scenes look in them: the run's own, if they are."""
    if settings.dataset == "scenes":
        return data.test, nets
    asked = replace(settings, dataset="scenes")
    scenes = images_of(load(asked, say=quiet), asked)
    return scenes.test, [look(run, scenes.test) for run in deep(scenes, plan, asked)]


def counted(nets: Sequence) -> str:
    """How many nets, in words."""
    return f"{len(nets)} net{'s' * (len(nets) != 1)}"


def some_of(flags: Tensor, count: int) -> Tensor:
    """At most `count` of the rows where `flags` (N,) is true, at random, always the same."""
    rows = flags.nonzero().flatten()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return rows[order[:count]].sort().values


def surest(looks: Looks, flags: Tensor, count: int) -> Tensor:
    """The `count` rows with the highest scores among those where `flags` (N,) is true."""
    rows = flags.nonzero().flatten()
    return rows[looks.sure[rows].argsort(descending=True, stable=True)[:count]]


def some_rows(images: ImageSet, count: int) -> Tensor:
    """At most `count` rows drawn at random, always the same, in ascending order."""
    return some_of(torch.ones(len(images), dtype=torch.bool), count)


def mean_over_both(values: Sequence[Tensor], seed: int) -> Interval:
    """Interval of the mean of what each of several nets gives to the same images, NaN left out.

    For other training seeds and other images together: the t-interval over nets, widened by the
    bootstrap interval over images of the first. For other images alone where there is one net.
    """
    kept = [x[~x.isnan()].double() for x in values]
    if not kept or not all(map(len, kept)):
        return UNKNOWN
    draws = resampled_means(kept[0], DRAWS, seed)
    images = interval_from_draws(kept[0].mean().item(), draws, len(kept[0]))
    return for_both([x.mean().item() for x in kept], images)


def for_both(by_net: Sequence[float], images: Interval) -> Interval:
    """The t-interval over nets, widened by `images`, the first one's interval over images.

    `images` itself where there is one net, which has no spread over seeds.
    """
    if len(by_net) == 1:
        return images
    return crossed(over_seeds(torch.tensor(by_net, dtype=torch.float64)), images)


# Are the maps true?


def drawn(looks: Looks) -> dict[str, Tensor]:
    """The maps of all methods at the size of the images, and of what has learnt nothing."""
    images, size = looks.images.images, looks.images.images.shape[1:3]
    maps = {way: upsample(x, size) for way, x in looks.maps.items()}
    fresh = untrained(looks.run, looks.images)
    maps[UNTRAINED] = upsample(_mapped(fresh, images, looks.predicted, _by_grad_cam)[POST], size)
    maps[CENTRE] = centre_gaussian(len(images), *size)
    maps[EDGES] = edge_energy(to_input(images))
    return maps


CONTROLS = (CENTRE, EDGES, UNTRAINED)


def truth(looks: Looks) -> dict[str, dict[str, Tensor]]:
    """What hits the object: by measure and way of looking, a number for each image, (N,).

    NaN where no map was made, or where it is flat and the measure has no value for that.
    """
    masks, maps = looks.images.masks, drawn(looks)
    made = {way: ~x.isnan().all(-1).all(-1) for way, x in maps.items()}
    measures = {
        POINTING: lambda x: pointing_game(x, masks).double(),
        ENERGY: lambda x: energy_inside(x, masks).double(),
        IOU: lambda x: iou_at(x, masks, BRIGHT).double(),
    }
    return {
        name: {way: measure(x).masked_fill(~made[way], math.nan) for way, x in maps.items()}
        for name, measure in measures.items()
    }


def paired(
    found: Sequence[Mapping[str, Tensor]], way: str, rivals: Sequence[str], most: bool = True
) -> tuple[str, list[Tensor]]:
    """`way` less the best of `rivals`: that rival, and (N,) for each net.

    The best is the one with the largest lead over `way`, or the smallest, over nets and those
    images for which there are both.
    """
    leads = {k: torch.stack([(x[k] - x[way]).nanmean() for x in found]).mean() for k in rivals}
    rival = (max if most else min)(leads, key=lambda k: float(leads[k]))
    return rival, [x[way] - x[rival] for x in found]


def ceiling(looks: Looks) -> float:
    """Energy inside of a map that is the object itself, in cells as large as the maps'."""
    masks = looks.images.masks
    cells = F.adaptive_avg_pool2d(masks[:, None].float(), looks.maps[POST].shape[1:])[:, 0]
    return energy_inside(upsample(cells, masks.shape[1:]), masks).nanmean().item()


def faithful(looks: Looks, rows: Tensor, seed: int) -> dict[str, dict[str, Curve]]:
    """Deletion and insertion curves by way of looking, of the images `rows`."""
    images = looks.images.subset(rows, "some")
    some = Looks(looks.run, images, looks.logits[rows], {k: x[rows] for k, x in looks.maps.items()})
    pixels, targets, maps = to_input(images.images), some.predicted, drawn(some)
    maps[RANDOM] = torch.rand(
        pixels.shape[0], *pixels.shape[2:], generator=torch.Generator().manual_seed(seed)
    )
    plain = blurred(pixels, BLUR * pixels.shape[2])
    model, device = looks.run.model, next(looks.run.model.parameters()).device
    given = (pixels.to(device), targets.to(device), plain.to(device))
    return {
        name: {way: _curve(how, model, x, *given) for way, x in maps.items()}
        for name, how in (("deletion", deletion), ("insertion", insertion))
    }


def _curve(how, model, maps, pixels, targets, plain) -> Curve:
    found = how(model, pixels, maps.to(pixels.device), targets, baseline=plain)
    return Curve(*(part.cpu() for part in found))


def scrambled(looks: Looks, rows: Tensor, seed: int) -> dict[str, Tensor]:
    """Rank correlation of Grad-CAM before and after layers are drawn anew, from the top down.

    By the lowest layer drawn anew, (n,) for the images `rows`; the class asked about stays.
    """
    images, targets, before = looks.images.images[rows], looks.predicted[rows], looks.maps[POST]
    return {
        name: rank_correlation(before[rows], _mapped(net, images, targets, _by_grad_cam)[POST])
        for name, net in randomised(looks.run.model, seed)
    }


def between_seeds(nets: Sequence[Looks], rows: Tensor) -> Tensor:
    """Rank correlation of each net's Grad-CAM with every other's: (K, K, n), NaN on the diagonal.

    The class asked about is that which the first of the two predicts; then the mean of both ways.
    """
    found = torch.full((len(nets), len(nets), len(rows)), math.nan, dtype=torch.float64)
    for (k, one), (j, other) in permutations(enumerate(nets), 2):
        images, targets = one.images.images[rows], one.predicted[rows]
        theirs = _mapped(other.run.model, images, targets, _by_grad_cam)[POST]
        found[k, j] = rank_correlation(one.maps[POST][rows], theirs)
    return (found + found.transpose(0, 1)) / 2


def alike_between_seeds(found: Tensor, seed: int) -> Interval:
    """Interval of the mean of `between_seeds` (K, K, n) for other seeds and other images."""
    if len(found) < 2:
        return UNKNOWN
    upper = torch.triu_indices(len(found), len(found), 1)
    images = mean_over_both([found[upper[0], upper[1]].nanmean(0)], seed)
    return crossed(pairwise_interval(found.nanmean(2).fill_diagonal_(0)), images)


def less(one: Interval, other: Interval) -> Interval:
    """One estimate less another that is independent of it: half-widths add as squares."""
    moved = (one.value - other.value, one.low - other.value, one.high - other.value)
    below, above = other.value - other.low, other.high - other.value
    shift = Interval(moved[0], moved[0] - above, moved[0] + below, other.n)
    return crossed(Interval(*moved, one.n), shift)


def _mapped(model, images: Tensor, targets: Tensor | None, how: Callable) -> dict[str, Tensor]:
    """Maps by method of uint8 `images` (N, H, W, 3) for `targets` (N,), on the CPU.

    For the predicted classes where `targets` is None.
    """
    device = next(model.parameters()).device
    some = images.split(BATCH)
    asked = [None] * len(some) if targets is None else targets.to(device).split(BATCH)
    parts = [how(model, to_input(x, device), y) for x, y in zip(some, asked, strict=True)]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}


def _in_one_pass(model, *asked) -> dict[str, Tensor]:
    with capture(model, [LOGITS]) as outputs:
        return one_pass(model, *asked) | outputs


def _by_grad_cam(*asked) -> dict[str, Tensor]:
    return {POST: grad_cam(*asked)}


def _by_score(*asked) -> dict[str, Tensor]:
    return {SCORE_CAM: score_cam(*asked)}


# How large is the area?


class Grouping(NamedTuple):
    """Which images the post's claim sets against which others, and what is to be alike in both."""

    apparent: Tensor  # (N,) bool
    strata: Tensor  # (N,) int64


def areas(looks: Looks) -> dict[str, dict[str, Tensor]]:
    """The area of each image's map, (N,), by definition and method; NaN where it is flat."""
    return {
        name: {way: how(maps) for way, maps in looks.maps.items()} for name, how in AREAS.items()
    }


def by_score(looks: Looks) -> Grouping:
    """As the post grouped its errors; alike in class, and in the object's size where known."""
    return Grouping(looks.sure > CONFIDENT, alike(looks.images))


def alike(images: ImageSet) -> Tensor:
    """Strata (N,) of images of one class, and of objects of like size where masks tell."""
    if images.masks is None:
        return images.labels
    covered = images.masks.double().mean((1, 2))
    return cross(images.labels, quantile_strata(covered, SIZES))


def by_people(looks: Looks, settings: Settings) -> Grouping | None:
    """By whether people agree on the label; alike in class and score. None where none was asked."""
    answers = human_answers(looks.images, settings)
    if answers is None:
        return None
    counts = answers.double()
    named = counts.gather(1, looks.images.labels[:, None])[:, 0] / counts.sum(1)
    bands = torch.zeros_like(looks.images.labels)
    # Errors score lower: of fifths of all images one would hold most of them.
    for kind in (looks.right, ~looks.right):
        bands[kind] = quantile_strata(looks.sure[kind], SCORES)
    return Grouping(named >= AGREED, cross(looks.images.labels, bands))


def larger(
    area: Sequence[Tensor], groups: Sequence[Grouping], among: Sequence[Tensor], seed: int
) -> Interval:
    """By how much the area of apparent images is larger: Cliff's delta within strata.

    area, groups, among: for each net the areas (N,), the grouping, and which images (N,) bool it
    is about. Over nets, widened by the bootstrap interval over images of the first. NaN where a
    net has fewer than ten images of either kind that can be compared.
    """
    asked = _asked(area, groups, among)
    if any(_too_few(stratified_test(*each)) for each in asked):
        return UNKNOWN
    deltas = [stratified_delta(*each) for each in asked]
    found = for_both(deltas, delta_interval(*asked[0], DRAWS, seed))
    # Comparisons with NaN are false: bounds that are not there stay so.
    low, high = -1.0 if found.low < -1 else found.low, 1.0 if found.high > 1 else found.high
    return found._replace(low=low, high=high)


def compared(
    area: Sequence[Tensor], groups: Sequence[Grouping], among: Sequence[Tensor]
) -> tuple[int, int]:
    """How many apparent images and others `larger` compares, of all nets together."""
    tests = [stratified_test(*each) for each in _asked(area, groups, among)]
    return sum(test.n1 for test in tests), sum(test.n0 for test in tests)


def p_over_nets(
    area: Sequence[Tensor], groups: Sequence[Grouping], among: Sequence[Tensor]
) -> float:
    """Van Elteren's test of what `larger` measures: twice the median p over nets, at most 1.

    Valid however nets depend on each other, as they do through the images.
    Rüschendorf (1982), Random variables with maximum sums.
    """
    tests = [stratified_test(*each) for each in _asked(area, groups, among)]
    if any(map(_too_few, tests)):
        return math.nan
    median = torch.tensor([test.p for test in tests], dtype=torch.float64).quantile(0.5).item()
    return min(1.0, 2 * median) if len(tests) > 1 else median


def _asked(area, groups, among) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Areas, which are apparent, and strata, of the images it is about, for each net."""
    parts = zip(area, groups, among, strict=True)
    return [(x[rows], group.apparent[rows], group.strata[rows]) for x, group, rows in parts]


def _too_few(test: Stratified) -> bool:
    return min(test.n1, test.n0) < FEWEST or math.isnan(test.p)


def larger_by_way(
    sizes: Sequence[Mapping[str, Mapping[str, Tensor]]],
    groups: Sequence[Grouping],
    among: Sequence[Tensor],
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """`larger` for each definition of area and method, of what `areas` gives for each net."""
    return {
        name: {way: larger([x[name][way] for x in sizes], groups, among, seed) for way in by_way}
        for name, by_way in sizes[0].items()
    }


def said(looks: Looks, group: Grouping) -> dict[tuple[str, str], int]:
    """What each definition of area and method say of misread images of one net.

    1: apparent ones have the larger area, -1: the smaller, 0: not told apart, at 5 % after Holm's
    correction for the number of pairs; pairs with too few images of either kind are left out.
    """
    wrong = ~looks.right
    tests = {
        (name, way): stratified_test(x[wrong], group.apparent[wrong], group.strata[wrong])
        for name, by_way in areas(looks).items()
        for way, x in by_way.items()
    }
    known = {pair: test for pair, test in tests.items() if not _too_few(test)}
    if not known:
        return {}
    told = (holm([test.p for test in known.values()]) < LEVEL).tolist()
    pairs = zip(known.items(), told, strict=True)
    return {pair: int(math.copysign(yes, test.delta)) for (pair, test), yes in pairs}


def share_that_agree(verdicts: Mapping[tuple[str, str], int]) -> float:
    """Share of pairs that say what Grad-CAM's area above half says; NaN where that is not known."""
    if (AREA, POST) not in verdicts:
        return math.nan
    own, others = verdicts[AREA, POST], [v for pair, v in verdicts.items() if pair != (AREA, POST)]
    return sum(v == own for v in others) / len(others) if others else math.nan


def photographs(plan: Plan, settings: Settings) -> Looks | None:
    """Where our net for photographs of cats and dogs looks in them, by Score-CAM in its errors.

    None in the quick profile and where the photographs are not at hand.
    """
    found = photograph_net(settings, plan)
    if found is None:
        return None
    looks = look(found[0], found[1].test)
    return with_score_cam(looks, some_of(~looks.right, plan.score_cams))


def by_kind(area: Tensor, looks: Looks) -> dict[str, Tensor]:
    """Areas of errors and of right images, by whether they score above the post's limit."""
    confident = looks.sure > CONFIDENT
    return {
        f"{kind}, {how}": area[among & bands]
        for kind, among in (("wrong", ~looks.right), ("right", looks.right))
        for how, bands in ((f"score above {CONFIDENT}", confident), ("lower score", ~confident))
    }


def energy_lost(found: Sequence[Mapping[str, Tensor]], way: str, nets: Sequence[Looks], seed: int):
    """Share of the map on the object, rightly less wrongly read images, within class and size."""
    asked = [
        (x[way], looks.right, alike(looks.images)) for x, looks in zip(found, nets, strict=True)
    ]
    differences = [stratified_difference(*each) for each in asked]
    return for_both(differences, difference_interval(*asked[0], DRAWS, seed))


def flat_share(looks: Looks) -> float:
    """Share of images whose rectified map is flat: nothing speaks for the predicted class."""
    return flat(looks.maps[POST].clamp(min=0)).double().mean().item()
