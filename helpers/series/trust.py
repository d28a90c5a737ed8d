"""What notebook 04 measures: what a threshold rejects, among known images and among unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.datasets.imageset import Splits
from helpers.datasets.people import human_answers
from helpers.methods.density import LogitDensity
from helpers.methods.detection import auroc_interval, paired_auroc_interval
from helpers.methods.guarantees import (
    benjamini_hochberg,
    class_thresholds,
    conformal_p,
    conformal_threshold,
)
from helpers.methods.photometry import file_statistics
from helpers.methods.rejection import mahalanobis, max_score
from helpers.methods.statistics import Interval, wilson_interval
from helpers.network.signatures import logits_of
from helpers.network.training import Trained
from helpers.series.nets import quiet, signatures_at
from helpers.series.unknowns import (
    Heard,
    Known,
    ask,
    hear,
    minus_log_density,
    rejection_scores,
    shifted,
    strangers,
)
from helpers.settings import Settings

# The post's threshold, a mean density per unit of logit.
THRESHOLD = 0.04
# The score by which the promises are shown, unless another is named.
SCORE = "maximum softmax"
SHARE = 0.05
# People agree on an image where so many of their answers are the commonest.
AGREED = 0.9
# Predicted classes with fewer test images say little of the share rejected among them.
LEAST = 100
PICTURES = 9


class Judged(NamedTuple):
    """Rejection scores that one net gives, by the name of the score.

    known, calibration  score → (N,), of test and calibration images of its classes
    unknown             kind → score → (M,)
    shifted             `SCORE` of the test images at half their brightness, with noise
    labels, predicted   of the test images (N,), and predicted for the calibration images
    images              the known test images, and the unknown ones of the first kind
    """

    known: dict[str, Tensor]
    calibration: dict[str, Tensor]
    unknown: dict[str, dict[str, Tensor]]
    shifted: Tensor
    labels: Tensor
    predicted: Tensor
    calibration_predicted: Tensor
    images: tuple[Tensor, Tensor]

    @property
    def wrong(self) -> Tensor:
        return self.predicted != self.labels


def judge(run: Trained, part: Splits, sets: Mapping[str, Tensor], seed: int) -> Judged:
    """Ask a net that knows the classes of `part` about its images and sets of unknown ones."""
    known = ask(run, part)
    heard = [known.test, known.calibration, *(hear(run, images) for images in sets.values())]
    together = Heard(*(torch.cat(each) for each in zip(*heard, strict=True)))
    scores = rejection_scores(known, together)
    sizes = [len(each.logits) for each in heard]
    split = {name: each.split(sizes) for name, each in scores.items()}
    test, calibration, *others = (
        {name: x[k] for name, x in split.items()} for k in range(len(sizes))
    )
    return Judged(
        known=test,
        calibration=calibration,
        unknown=dict(zip(sets, others, strict=True)),
        shifted=max_score(
            logits_of(run.model, shifted(part.test.images, seed), say=quiet).double()
        ),
        labels=part.test.labels,
        predicted=known.test.logits.argmax(1),
        calibration_predicted=known.calibration.logits.argmax(1),
        images=(part.test.images, next(iter(sets.values()))),
    )


def rejected_at(known: Known, density: LogitDensity) -> tuple[float, float, float]:
    """Shares of test images below the post's threshold: of those read wrongly, and rightly.

    Third, the share of the wrongly read that the largest score rejects where it loses as many of
    the rightly read. NaN where there are none.
    """
    below = density.density(known.test.logits).mean(1) < THRESHOLD
    lost = _share(below[known.right])
    score = max_score(known.test.logits)
    limit = score[known.right].quantile(1 - lost) if known.right.any() else math.nan
    return _share(below[~known.right]), lost, _share(score[~known.right] > limit)


def below_threshold(
    known: Known, bandwidth: str | float = "scott", temperature: float = 1.0
) -> float:
    """Share of the rightly read test images below the post's threshold.

    With all logits divided by a temperature; NaN where the rule finds no bandwidth.
    """
    fitted, asked = (part.logits / temperature for part in (known.validation, known.test))
    return _below(fitted, asked[known.right], bandwidth)


def below_over_training(nets: list[Known], settings: Settings) -> dict[float, Tensor]:
    """`below_threshold` (nets,) at each kept point of training."""
    found = [_below_at_points(net, settings) for net in nets]
    return {epoch: torch.tensor([of_net[epoch] for of_net in found]) for epoch in found[0]}


def conformal_share(known: Known) -> float:
    """Share of the rightly read test images beyond the threshold that calibration gives for 5 %."""
    density = LogitDensity().fit(known.validation.logits)
    logits, labels = known.calibration.logits, known.data.calibration.labels
    good = minus_log_density(density, logits[logits.argmax(1) == labels])
    test = minus_log_density(density, known.test.logits[known.right])
    return _share(test > conformal_threshold(good, SHARE))


def optimism(score: Tensor, right: Tensor, seed: int, halvings: int = 20) -> float:
    """How much better the best threshold does on the half of the images that chose it.

    Mean over `halvings` of the share of wrongly read images above it less that of rightly read
    ones, on the choosing half less on the other. NaN where a half lacks either kind.
    """
    generator = torch.Generator().manual_seed(seed)
    gaps = []
    for _ in range(halvings):
        order = torch.randperm(len(score), generator=generator)
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        limits = score[first].unique()
        limit = limits[_parted(score[first], right[first], limits).argmax()]
        pairs = ((score[half], right[half]) for half in (first, second))
        gaps.append([_parted(*pair, limit[None]).item() for pair in pairs])
    own, other = torch.tensor(gaps).mean(0).tolist()
    return own - other


def worst_class(one: Judged, own: bool) -> float:
    """Largest share rejected among the known test images of a predicted class.

    With a threshold for each predicted class, or one for all; of classes with at least 100 test
    images and 100 calibration images, NaN where there are none.
    """
    classes = int(max(one.labels.max(), one.predicted.max())) + 1
    calibration = one.calibration[SCORE], one.calibration_predicted
    found = class_thresholds(*calibration, classes, SHARE, LEAST)
    limits = (
        found.thresholds if own else torch.full((classes,), conformal_threshold(calibration[0]))
    )
    rejected = one.known[SCORE] > limits[one.predicted]
    of_class = [one.predicted == k for k in range(classes) if found.own[k]]
    return max(
        (_share(rejected[rows]) for rows in of_class if rows.sum() >= LEAST), default=math.nan
    )


def called_unknown(one: Judged, way: str, rate: float) -> tuple[float, float, float, float]:
    """What Benjamini-Hochberg calls unknown among test images and the first kind of unknown.

    The share of known ones among those called, the share of the unknown found, the share of known
    ones among those beyond the 5 % threshold, and how many are called.
    """
    unknown = next(iter(one.unknown.values()))[way]
    both = torch.cat([one.known[way], unknown])
    is_known = torch.arange(len(both)) < len(one.known[way])
    called = benjamini_hochberg(conformal_p(one.calibration[way], both), rate)
    beyond = both > conformal_threshold(one.calibration[way], SHARE)
    false = _share(is_known[called]) if called.any() else 0.0
    return false, _share(called[~is_known]), _share(is_known[beyond]), float(called.sum())


class Causes(NamedTuple):
    """Why images were rejected: shares by cause, some pictures of each, most suspicious first.

    Of the known images, the shares on which people agree and are right: rejected ones, and all; NaN
    without people's answers.
    """

    shares: dict[str, float]
    pictures: dict[str, Tensor]
    own_of_rejected: float
    own_of_all: float


def answers_to(part: Splits, data: Splits, settings: Settings) -> Tensor | None:
    """People's answers to the test images of `part`, whose classes come first: (N, C).

    None where they are not at hand.
    """
    answers = human_answers(data.test, settings)
    if answers is None:
        return None
    names = data.test.classes
    known = [names.index(name) for name in part.test.classes]
    missing = [k for k in range(len(names)) if k not in known]
    rows = torch.isin(data.test.labels, torch.tensor(known))
    return answers[rows][:, known + missing]


def causes_of(one: Judged, answers: Tensor | None) -> Causes:
    """Causes of rejection at the 5 % threshold, of test images and the first kind of unknown.

    answers: how many people named each class, (N, C) for the known test images, counted with the
    classes as the net has them first; None where nobody was asked.
    """
    unknown = next(iter(one.unknown.values()))[SCORE]
    limit = conformal_threshold(one.calibration[SCORE], SHARE)
    kinds = _kinds_of_known(one, answers)
    scores = {"unknown": unknown} | {name: one.known[SCORE][rows] for name, rows in kinds.items()}
    images = {"unknown": one.images[1]} | {
        name: one.images[0][rows] for name, rows in kinds.items()
    }
    beyond = {name: int((values > limit).sum()) for name, values in scores.items()}
    total = max(1, sum(beyond.values()))
    pictures = {
        name: images[name][values.argsort(descending=True)[: min(PICTURES, beyond[name])]]
        for name, values in scores.items()
    }
    own = math.nan
    if answers is not None:
        own = beyond["the net's own failing"] / max(1, total - beyond["unknown"])
    shares = {name: count / total for name, count in beyond.items()}
    usual = math.nan if answers is None else len(kinds["the net's own failing"]) / len(one.labels)
    return Causes(shares, pictures, own, usual)


class Photographs(NamedTuple):
    """What the net for cats and dogs makes of photographs: AUROC by score and kind, and so on.

    beyond      AUROC of the largest score less that of colours and file, on the photographs
    statistics  AUROC of colours and file there
    right       share of test images read rightly
    caught, lost  shares of its wrong and right answers below the post's threshold
    """

    table: dict[str, dict[str, Interval]]
    beyond: Interval
    statistics: Interval
    right: Interval
    caught: float
    lost: float
    n: str


def judged_photographs(
    settings: Settings, data: Splits, run: Trained, resamples: int
) -> Photographs | None:
    """Ask the net for cats and dogs about photographs of neither; None where there are none."""
    known = ask(run, data)
    sets = strangers(data, data.test.classes, settings)
    if "photographs" not in sets:
        return None
    one = judge(run, data, sets, settings.seed)
    by_file = _by_file(known, sets)
    ways = {way: {kind: one.unknown[kind][way] for kind in sets} for way in one.known}
    scores = {"colours and file": by_file[1]} | ways
    of_known = {"colours and file": by_file[0]} | one.known
    interval = lambda *pair: auroc_interval(*pair, resamples, settings.seed)  # noqa: E731
    table = {
        way: {kind: interval(of_known[way], values) for kind, values in kinds.items()}
        | {"wrongly read": interval(of_known[way][~one.wrong], of_known[way][one.wrong])}
        for way, kinds in scores.items()
    }
    pairs = [(of_known[way], scores[way]["photographs"]) for way in (SCORE, "colours and file")]
    caught, lost, _ = rejected_at(known, LogitDensity().fit(known.validation.logits))
    right = wilson_interval(int(known.right.sum()), len(known.right))
    n = f"{len(data.test):,} test images, {len(sets['photographs'])} unknown photographs"
    beyond = paired_auroc_interval(*pairs, resamples, settings.seed)
    return Photographs(
        table, beyond, table["colours and file"]["photographs"], right, caught, lost, n
    )


def rejected_by_post(run: Trained, data: Splits) -> tuple[Interval, Interval]:
    """Shares of test images below the post's threshold, of those its net reads wrongly and rightly.

    As in the post, the density is that of the images that the net was trained on.
    """
    fitted, logits = (logits_of(run.model, part.images).double() for part in (data[0], data[3]))
    below = LogitDensity().fit(fitted).density(logits).mean(1) < THRESHOLD
    right = logits.argmax(1) == data.test.labels
    return tuple(wilson_interval(int(below[x].sum()), int(x.sum())) for x in (~right, right))


def _below(fitted: Tensor, asked: Tensor, bandwidth: str | float) -> float:
    try:
        density = LogitDensity(bandwidth).fit(fitted).density(asked)
    except ValueError:
        return math.nan
    return _share(density.mean(1) < THRESHOLD)


def _below_at_points(known: Known, settings: Settings) -> dict[float, float]:
    parts = (known.data.validation, known.data.test)
    fitted, asked = (signatures_at(known.run, part, (), settings, None) for part in parts)
    found = {}
    for epoch, seen in asked.items():
        right = seen.logits.argmax(1) == known.data.test.labels
        found[epoch] = _below(fitted[epoch].logits, seen.logits[right], "scott")
    return found


def _parted(score: Tensor, right: Tensor, limits: Tensor) -> Tensor:
    """Share of wrong images above each limit less that of right ones."""
    above = score[:, None] > limits
    return above[~right].double().mean(0) - above[right].double().mean(0)


def _kinds_of_known(one: Judged, answers: Tensor | None) -> dict[str, Tensor]:
    """Rows of the known test images by why they might be rejected."""
    if answers is None:
        kinds = {"known, read wrongly": one.wrong, "known, read rightly": ~one.wrong}
    else:
        counts = answers.double()
        own = counts.gather(1, one.labels[:, None])[:, 0] / counts.sum(1)
        doubtful = counts.argmax(1) != one.labels
        kinds = {
            "label doubtful": doubtful,
            "hard for people": ~doubtful & (own < AGREED),
            "the net's own failing": ~doubtful & (own >= AGREED),
        }
    return {name: rows.nonzero().flatten() for name, rows in kinds.items()}


def _by_file(known: Known, sets: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mahalanobis distance on what colours and file tell, of test images and of each set."""
    train = known.data.train
    fitted = file_statistics(train.images)
    far = lambda images: mahalanobis(fitted, train.labels, file_statistics(images))  # noqa: E731
    return far(known.data.test.images), {kind: far(images) for kind, images in sets.items()}


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()
