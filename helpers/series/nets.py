"""Nets of several training seeds, and what they say about test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.datasets.imageset import ImageSet, Splits
from helpers.datasets.load import load
from helpers.network.models import build, channel_moments
from helpers.network.recipes import Recipe
from helpers.network.signatures import (
    Signatures,
    load_weights,
    logits_of,
    read_signatures,
    signatures_over_training,
)
from helpers.network.training import Trained, load_or_train, shipped, trained_before
from helpers.series.plan import Plan, images_of, plan_for
from helpers.settings import Settings


def train(
    net: str,
    recipe: str,
    sets: Sequence[ImageSet],
    plan: Plan,
    settings: Settings,
    seeds: Sequence[int] | None = None,
    **options,
) -> list[Trained]:
    """`net` by one of the plan's recipes, once for each of `seeds`, by default the plan's many.

    The first two of `sets`, a `Splits` say, are for training and validation. The net standardises
    images by the moments of the first; `options` go to `load_or_train`.
    """
    mean, std = channel_moments(sets[0].images)
    parts = (*sets[:2], plan.recipes[recipe], settings)
    return [
        load_or_train(net, *parts, seed=seed, mean=mean, std=std, **options)
        for seed in (plan.many_seeds if seeds is None else seeds)
    ]


def deep(data: Splits, plan: Plan, settings: Settings) -> list[Trained]:
    """ResNet20, once for each seed that the plan has for it.

    Of CIFAR-10 and of scenes nets ship that were trained on all images. Where they fit, they are
    all there is, in the quick profile too: so deep a net takes an hour to train, and learns next to
    nothing in a few seconds. For the same reason those of the JPEG copy of CIFAR-10 stand in where
    its pixels are the official ones, and a line says so.
    """
    recipe = DEEP.get(settings.dataset, "ResNet20")
    found = _shipped_deep(recipe, plan, settings) if settings.dataset in SHIPS else []
    return found or train("ResNet20", recipe, data, plan, settings, plan.seeds)


# By dataset, where it is another than "ResNet20".
DEEP = {"scenes": "ResNet20, scenes"}
SHIPS = ("cifar10", "scenes")
COPY = "CIFAR-10 (JPEG copy), train"


def _shipped_deep(recipe: str, plan: Plan, settings: Settings) -> list[Trained]:
    """The nets trained on all images that are on disk."""
    data = load(settings, say=quiet)
    mean, std = channel_moments(data.train.images)
    whole = plan_for(replace(settings, profile="full")).recipes[recipe]
    runs = [
        trained_before(
            "ResNet20", *data[:2], whole, settings, seed=seed, say=quiet, mean=mean, std=std
        )
        for seed in plan.seeds
    ]
    return [run for run in runs if run] or _of_the_copy(data.train, whole, plan, settings)


def _of_the_copy(images: ImageSet, recipe: Recipe, plan: Plan, settings: Settings) -> list[Trained]:
    """The nets of the copy of CIFAR-10, where `images` lie in the same order.

    Only then are both divided alike, and no image to be tested on is one that they learnt.
    """
    if settings.dataset != "cifar10" or "official_index" not in images.table:
        return []
    runs = [shipped("ResNet20", recipe, COPY, settings, seed, quiet) for seed in plan.seeds]
    runs = [run for run in runs if run]
    if runs:
        print("ResNet20: as it ships, trained on a JPEG copy of the same training images")
    return runs


def untrained(run: Trained, images: ImageSet) -> nn.Sequential:
    """The net that `run` began with, for images of that size, moments and all."""
    card, side = run.card, images.images.shape[1]
    classes = run.model.logits.out_features
    net = build(card["model"], classes, card["seed"], side=side, **card["options"])
    return net.to(next(run.model.parameters()).device)


def as_it_ended(run: Trained) -> Trained:
    """`run` itself, its model changed to the weights of its last kept point from the best."""
    load_weights(run.model, run.points[-1][1])
    return run


def small_cnn(data: Splits, plan: Plan, settings: Settings) -> Trained:
    """SmallCNN by our recipe, first seed, as notebook 01 trains it (it ships for CIFAR-10)."""
    parts = ("SmallCNN", "SmallCNN, ours", data, plan, settings, plan.seeds[:1])
    return train(*parts, init="keras", watch={"test": data.test})[0]


def also(dataset: str, settings: Settings) -> Splits | None:
    """Another dataset than the run's; None in the quick profile and where it is not at hand."""
    try:
        return load(replace(settings, dataset=dataset), say=quiet) if settings.full else None
    except FileNotFoundError:
        return None


def posts_cnn(data: Splits, plan: Plan, settings: Settings, **options) -> list[Trained]:
    """SmallCNN by post E's recipe, once for each seed, as notebook 01 trains it.

    It ships for CIFAR-10. `options` go to `models.build`: with `dropout` they are other nets.
    """
    options = {"init": "keras", "watch": {"test": data.test}, **options}
    parts = (data.train, data.validation, plan.recipes["SmallCNN, post E"], settings)
    return [load_or_train("SmallCNN", *parts, seed=seed, **options) for seed in plan.seeds]


def scores_on(
    dataset: str, net: str, recipe: str, plan: Plan, settings: Settings
) -> tuple[ImageSet, list[Tensor]]:
    """The test images of another dataset than the run's, and the scores of nets trained on it."""
    asked = replace(settings, dataset=dataset)
    data = images_of(load(asked), asked)
    return data.test, scores_of(train(net, recipe, data, plan, asked), data.test)


def scores_over_training(run: Trained, images: ImageSet, settings: Settings) -> list[Tensor]:
    """The scores (N, C), float64, that a net gave to `images` at each of its kept points."""
    return [x.scores.double() for x in signatures_at(run, images, (), settings, None).values()]


def signatures_at(
    run: Trained,
    images: ImageSet,
    layers: Sequence[str],
    settings: Settings,
    most: int | None = 12,
) -> dict[float, Signatures]:
    """Signatures of `images` at kept points of a training, by epoch, kept on disk.

    Every point up to the second epoch, then about evenly on a scale of logarithms, and the last, at
    `most` so many; every kept point where `most` is None.
    """
    name = f"{run.card['sha256'][:16]}-{images.key}-{'-'.join(layers)}"
    folder = settings.cache_dir / "signatures" / name
    points = run.points if most is None else spread_points(run.points, most)
    signatures_over_training(run.model, points, images.images, layers, folder, images.key, quiet)
    return {epoch: read_signatures(folder, epoch) for epoch, _ in points}


def spread_points(points: list[tuple[float, Path]], most: int = 12) -> list[tuple[float, Path]]:
    """Those `points` (epoch, file), in order, that `signatures_at` looks at: at most `most`.

    Where those up to the second epoch are as many or more: they, and the last.
    """
    early = [point for point in points if point[0] <= 2]
    rest = [point for point in points if point[0] > 2]
    room = max(1, most - len(early))
    if len(rest) <= room:
        return points
    # From the end, so that the last is in where there is room for one alone.
    wanted = torch.logspace(math.log10(rest[-1][0]), math.log10(rest[0][0]), room)
    chosen = {min(range(len(rest)), key=lambda i: abs(rest[i][0] - epoch)) for epoch in wanted}
    return early + [rest[i] for i in sorted(chosen)]


def quiet(line: str) -> None:
    """For `say`, where a line for each of many short steps would bury what matters."""


def scores_of(runs: list[Trained], images: ImageSet) -> list[Tensor]:
    """The scores (N, C) that each of several nets gives to the same images, float64."""
    return [logits_of(run.model, images.images).softmax(1).double() for run in runs]
