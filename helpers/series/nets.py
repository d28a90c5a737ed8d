"""Nets of several training seeds, and what they say about test images."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from helpers.datasets.imageset import ImageSet, Splits
from helpers.datasets.load import load
from helpers.network.models import channel_moments
from helpers.network.signatures import logits_of, read_signatures, signatures_over_training
from helpers.network.training import Trained, load_or_train
from helpers.series.plan import Plan, images_of
from helpers.settings import Settings


def train(
    net: str, recipe: str, data: Splits, plan: Plan, settings: Settings, **options
) -> list[Trained]:
    """`net` by one of the plan's recipes, once for each of its five seeds.

    It standardises images by the moments of the training set; `options` go to `load_or_train`.
    """
    mean, std = channel_moments(data.train.images)
    parts = (data.train, data.validation, plan.recipes[recipe], settings)
    return [
        load_or_train(net, *parts, seed=seed, mean=mean, std=std, **options)
        for seed in plan.five_seeds
    ]


def scores_on(
    dataset: str, net: str, recipe: str, plan: Plan, settings: Settings
) -> tuple[ImageSet, list[Tensor]]:
    """The test images of another dataset than the run's, and the scores of nets trained on it."""
    asked = replace(settings, dataset=dataset)
    data = images_of(load(asked), asked)
    return data.test, scores_of(train(net, recipe, data, plan, asked), data.test)


def scores_over_training(run: Trained, images: ImageSet, settings: Settings) -> list[Tensor]:
    """The scores (N, C), float64, that a net gave to `images` at each of its kept points."""
    folder = settings.cache_dir / "signatures" / f"{run.card['sha256'][:16]}-{images.key}"
    signatures_over_training(run.model, run.points, images.images, (), folder, images.key, quiet)
    return [read_signatures(folder, epoch).scores.double() for epoch, _ in run.points]


def quiet(line: str) -> None:
    """For `say`, where a line for each of many short steps would bury what matters."""


def scores_of(runs: list[Trained], images: ImageSet) -> list[Tensor]:
    """The scores (N, C) that each of several nets gives to the same images, float64."""
    return [logits_of(run.model, images.images).softmax(1).double() for run in runs]
