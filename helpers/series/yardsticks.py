"""What is known about the classes of a dataset, to hold a net's answer against."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from helpers.datasets.imageset import ImageSet
from helpers.datasets.people import human_answers, human_halves, human_similarity
from helpers.datasets.scenes import FAMILIES, family_labels
from helpers.methods.agreement import agreement, mantel
from helpers.methods.divergence import js_divergence
from helpers.methods.statistics import Interval, holm
from helpers.settings import Settings

VEHICLES = ("airplane", "automobile", "ship", "truck")


class Yardstick(NamedTuple):
    """How unlike the classes of a dataset are, as far as that is known without the net.

    name       "people", "the planted families", or "nothing known"
    distances  (C, C) float64; NaN where nothing is known
    groups     (C,) int64, the known groups of classes; one group where nothing is known
    kinds      the names of the groups
    answers    (N, C) shares of people's answers to each test image; None where not at hand
    halves     (S, 2, C, C) distances by either half of the people's answers, halved S times; NaN
               where there are no people
    """

    name: str
    distances: Tensor
    groups: Tensor
    kinds: tuple[str, ...]
    answers: Tensor | None
    halves: Tensor


def yardstick_for(test: ImageSet, settings: Settings) -> Yardstick:
    """People's answers for CIFAR-10, the planted families for scenes; else nothing is known.

    Raises ValueError where a file of people's answers is there but does not fit the images.
    """
    if settings.dataset == "cifar10":
        return people(test, settings)
    known = settings.dataset == "scenes"
    groups = torch.tensor(family_labels(test.classes) if known else [0] * len(test.classes))
    distances = bare_indicator(groups)
    unknown = torch.full_like(distances, torch.nan)
    halves = unknown.expand(1, 2, *unknown.shape)
    if known:
        return Yardstick("the planted families", distances, groups, tuple(FAMILIES), None, halves)
    return Yardstick("nothing known", unknown, groups, ("all classes",), None, halves)


def people(test: ImageSet, settings: Settings) -> Yardstick:
    classes, similarity = human_similarity()
    if test.classes != classes:
        raise ValueError(f"people were asked about {', '.join(classes)}: the images show others")
    groups = torch.tensor([int(name in VEHICLES) for name in classes])
    counts = human_answers(test, settings)
    answers = None if counts is None else counts / counts.sum(1, keepdim=True)
    by_half = [js_divergence(half) for halving in human_halves() for half in halving]
    halves = torch.stack(by_half).reshape(-1, 2, len(classes), len(classes))
    distances, kinds = js_divergence(similarity), ("animals", "vehicles")
    return Yardstick("people", distances, groups, kinds, answers, halves)


def mantel_tests(divergences: Tensor, yardstick: Yardstick) -> pd.DataFrame:
    """`divergences` (C, C) against the yardstick by Mantel tests, their p values adjusted (Holm).

    Over all pairs, within the known groups, and in each group alone; tests that cannot be made, as
    where all pairs are alike, are left out.
    """
    truth, groups = yardstick.distances, yardstick.groups
    tests = {
        "all pairs": mantel(divergences, truth),
        "within": mantel(divergences, truth, groups, permutations=20_000),
    }
    for number, kind in enumerate(yardstick.kinds):
        own = (groups == number).nonzero().flatten()
        tests[f"{kind} alone"] = mantel(divergences[own][:, own], truth[own][:, own])
    table = pd.DataFrame(tests, ["rank correlation", "p", "pairs"]).T.dropna()
    if len(table):
        table["p, Holm"] = holm(table["p"].tolist()).numpy()
    return table.astype({"pairs": int})


def between_halves(yardstick: Yardstick, groups: Tensor | None = None) -> Interval:
    """How well people agree with people: the mean of all halvings, the lowest, the highest."""
    found = agreement(*yardstick.halves.unbind(1), groups)
    return Interval(found.mean().item(), found.min().item(), found.max().item(), len(found))


def of_classes(yardstick: Yardstick, shown: Tensor) -> Yardstick:
    """The yardstick for some of the classes alone."""
    parts = {
        "distances": yardstick.distances[shown][:, shown],
        "groups": yardstick.groups[shown],
        "halves": yardstick.halves[:, :, shown][..., shown],
    }
    return yardstick._replace(**parts)


def bare_indicator(groups: Tensor) -> Tensor:
    """The bare indicator of groups (C,) as distances (C, C): 0 within a group, 1 across groups."""
    return (groups[:, None] != groups).double()
