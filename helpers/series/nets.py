"""Nets of several training seeds, and what they say about test images."""

from __future__ import annotations

from torch import Tensor

from helpers.datasets.imageset import ImageSet, Splits
from helpers.network.models import channel_moments
from helpers.network.signatures import logits_of
from helpers.network.training import Trained, load_or_train
from helpers.series.plan import Plan
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


def scores_of(runs: list[Trained], images: ImageSet) -> list[Tensor]:
    """The scores (N, C) that each of several nets gives to the same images, float64."""
    return [logits_of(run.model, images.images).softmax(1).double() for run in runs]
