"""What notebook 04 measures: what a threshold rejects, among known images and among unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from helpers.datasets.imageset import Splits
from helpers.datasets.people import human_answers
from helpers.methods import metrics
from helpers.methods.density import LogitDensity
from helpers.methods.detection import auroc
from helpers.methods.guarantees import (
    benjamini_hochberg,
    class_thresholds,
    conformal_p,
    conformal_threshold,
    rejected_band,
)
from helpers.methods.photometry import file_statistics
from helpers.methods.rejection import mahalanobis
from helpers.methods.statistics import (
    Interval,
    crossed,
    deviation_interval,
    interval_from_draws,
    over_seeds,
    wilson_interval,
)
from helpers.network.signatures import logits_of
from helpers.network.training import Trained
from helpers.series.nets import signatures_at
from helpers.series.plan import POST_B
from helpers.series.unknowns import (
    MOST_FITTED,
    POST,
    Heard,
    Known,
    augmented_logits,
    hear,
    minus_log_density,
    rejection_scores,
    shifted,
    some_of,
)
from helpers.settings import Settings

# The post's threshold, a mean density per unit of logit.
THRESHOLD = 0.04
# The score by which the promises are shown, unless another is named.
SCORE = "maximum softmax"
# What knows nothing of the net.
FILE = "colours and file"
WRONG = "wrongly read"
# People agree on the image, and with its label.
OWN = "the net's own failing"
SHARE = 0.05
# People agree on an image where so many of their answers are its label.
AGREED = 0.9
# Predicted classes with fewer images say little of the share rejected among them.
LEAST = 100
PICTURES = 9
# Resamples of images, where an interval over seeds is widened by one over images.
DRAWS = 200


class Judged(NamedTuple):
    """Rejection scores that one net gives, by the name of the score.

    known, calibration  score → (N,), of test and calibration images of its classes
    unknown             kind → score → (M,)
    shifted             score → (N,), of the test images at half their brightness, with noise
    labels, predicted   of the test images, (N,)
    calibration_labels, calibration_predicted  of the calibration images
    images              the known test images, and the unknown ones of the first kind
    """

    known: dict[str, Tensor]
    calibration: dict[str, Tensor]
    unknown: dict[str, dict[str, Tensor]]
    shifted: dict[str, Tensor]
    labels: Tensor
    predicted: Tensor
    calibration_labels: Tensor
    calibration_predicted: Tensor
    images: tuple[Tensor, Tensor]

    @property
    def wrong(self) -> Tensor:
        """Which test images are wrongly read, bool (N,)."""
        return self.predicted != self.labels


def judge(
    known: Known, sets: Mapping[str, Tensor], colours: Mapping[str, Tensor], seed: int
) -> Judged:
    """Every rejection score of a net's own images and of sets of unknown ones.

    colours: `colour_scores` of the same images, which no net changes.
    """
    net, data = known.run, known.data
    asked = [shifted(data.test.images, seed), *sets.values()]
    heard = [known.test, known.calibration, *(hear(net, images) for images in asked)]
    test, calibration, moved, *others = _split(known, heard)
    for way, of in (("test", test), ("calibration", calibration), *zip(sets, others, strict=True)):
        of[FILE] = colours[way]
    return Judged(
        known=test,
        calibration=calibration,
        unknown=dict(zip(sets, others, strict=True)),
        shifted=moved,
        labels=data.test.labels,
        predicted=known.test.logits.argmax(1),
        calibration_labels=data.calibration.labels,
        calibration_predicted=known.calibration.logits.argmax(1),
        images=(data.test.images, next(iter(sets.values()))),
    )


def colour_scores(data: Splits, sets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mahalanobis distance (N,) on what colours and file tell, of test, calibration and each set.

    The baseline that has seen no content; fitted on training images.
    """
    train = some_of(data.train, MOST_FITTED)
    fitted = file_statistics(train.images)
    asked = {"test": data.test.images, "calibration": data.calibration.images, **sets}
    return {
        kind: mahalanobis(fitted, train.labels, file_statistics(images))
        for kind, images in asked.items()
    }


def rated(one: Judged, way: str, kind: str, how: Callable[..., Tensor] = auroc) -> float:
    """AUROC, or `how`, of a kind of unknown images, or of `WRONG` answers against right ones.

    NaN where there are none, or where the score does not exist for them.
    """
    known, other = one.known[way], None
    if kind == WRONG:
        known, other = known[~one.wrong], known[one.wrong]
    elif kind in one.unknown:
        other = one.unknown[kind][way]
    if other is None or not len(known) or not len(other):
        return math.nan
    return math.nan if known.isnan().any() or other.isnan().any() else float(how(known, other))


def over_images(one: Judged, measure: Callable[[Judged], float], seed: int) -> Interval:
    """Bootstrap interval of `measure(judged)` for one net, known and unknown images resampled."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.tensor([measure(_resampled(one, generator)) for _ in range(DRAWS)])
    return interval_from_draws(measure(one), draws.double(), len(one.labels))


def over_both(judged: Sequence[Judged], measure: Callable[[Judged], float], seed: int) -> Interval:
    """Interval of the mean of `measure` over nets, for other seeds and other images together.

    The nets are asked about the same images, so the t-interval over them is widened by the
    bootstrap interval over images of the first.
    """
    seeds = over_seeds(torch.tensor([measure(one) for one in judged]).double())
    return crossed(seeds, over_images(judged[0], measure, seed))


def in_words(
    titles: Sequence[str], logits: Tensor, densities: Tensor, names: Sequence[str]
) -> list[dict[str, str]]:
    """What a net says of images, (N, C) logits and (N,) mean densities, in words for each."""
    sure, read = logits.softmax(1).max(1)
    rows = zip(
        titles, logits.tolist(), read.tolist(), sure.tolist(), densities.tolist(), strict=True
    )
    return [
        {
            "image": title,
            "logits": ", ".join(f"{x:.1f}".replace("-", "\N{MINUS SIGN}") for x in of_image),
            "read as": f"{names[k]}, {100 * score:.0f} %",
            "density": f"{density:.3f}",
        }
        for title, of_image, k, score, density in rows
    ]


def errors_by_band(known: Known) -> pd.DataFrame:
    """How many test images of each class are misread, by score, in the bands of the post."""
    sure, predicted = known.test.logits.softmax(1).max(1)
    labels, names = known.data.test.labels, known.data.test.classes
    bands = {"above 0.7": (0.7, 2.0), "0.6 to 0.7": (0.6, 0.7), "below 0.6": (0.0, 0.6)}
    rows = {
        f"{name}, misread": {
            band: int(((labels == k) & (predicted != k) & (sure > low) & (sure <= high)).sum())
            for band, (low, high) in bands.items()
        }
        for k, name in enumerate(names)
    }
    return pd.DataFrame(rows).T


def below_post(score: Tensor) -> Tensor:
    """Which images have a mean density below 0.04, from minus its logarithm (`POST`): bool (N,)."""
    return score > -math.log(THRESHOLD)


def of_the_post(one: Judged, kind: str) -> dict[str, float]:
    """What post B claims, as shares: of known test images and of a kind of unknown ones.

    Among those that score below 0.7 or above 0.9, known and unknown images weigh the same; below
    0.04 is the mean density; by score, with a threshold that loses as many right answers. NaN
    where there are no such images.
    """
    known, other = 1 - one.known[SCORE], 1 - one.unknown[kind][SCORE]
    fine = ((known < 0.7) & ~one.wrong).double().mean()
    low = (known < 0.7).double().mean() + (other < 0.7).double().mean()
    high = (known > 0.9).double().mean() + (other > 0.9).double().mean()
    below, strange = below_post(one.known[POST]), below_post(one.unknown[kind][POST])
    return {
        "rightly read, of all below 0.7": (fine / low).item(),
        "rightly read, of all": _share(~one.wrong) / 2,
        "unknown, of all above 0.9": ((other > 0.9).double().mean() / high).item(),
        "below 0.04: wrong answers": _share(below[one.wrong]),
        "below 0.04: right answers": _share(below[~one.wrong]),
        "below 0.04: unknown": _share(strange),
        "by score: wrong answers": _as_dear(one, below),
    }


def mixed_up(density: LogitDensity, logits: Tensor) -> Tensor:
    """Minus the log of the mean density, each logit looked up in the first class's curve: (N,).

    As the post's code does for its second class.
    """
    first = [density.log_density(x[:, None].expand_as(logits))[:, 0] for x in logits.T]
    return math.log(logits.shape[1]) - torch.stack(first, 1).logsumexp(1)


def told_apart(
    way: Callable[[LogitDensity, Tensor], Tensor],
    densities: Sequence[LogitDensity],
    nets: Sequence[Known],
    others: Sequence[Tensor],
) -> Tensor:
    """AUROC of a way to score logits by a density, by net, of other logits against test images."""
    asked = zip(densities, nets, others, strict=True)
    found = [auroc(way(d, net.test.logits), way(d, other)) for d, net, other in asked]
    return torch.stack(found)


def beyond_own(fitted: Tensor, asked: Tensor) -> float:
    """Share of images with logits `asked` below the density that 5 % of `fitted` have, less 5 %."""
    density = LogitDensity().fit(fitted)
    limit = minus_log_density(density, fitted).quantile(1 - SHARE)
    return _share(minus_log_density(density, asked) > limit) - SHARE


def chance_of_share(fitted: int, asked: int) -> Interval:
    """What the choice of images alone does to `beyond_own`: two standard errors about 0."""
    error = math.sqrt(SHARE * (1 - SHARE) * (1 / fitted + 1 / asked))
    return Interval(0.0, -1.96 * error, 1.96 * error, asked)


def spread_of(shares: Sequence[float]) -> Interval:
    """1.96 standard deviations of one share per training seed; NaN where they are below 1 %."""
    values = torch.tensor(shares).double()
    if not values.mean() >= 0.01:
        return over_seeds(torch.tensor([math.nan]))
    found = deviation_interval(values[None])
    return found._replace(
        **{name: 1.96 * getattr(found, name) for name in ("value", "low", "high")}
    )


def below_threshold(
    known: Known, bandwidth: str | float = "scott", temperature: float = 1.0
) -> float:
    """Share of the rightly read test images with mean density below 0.04.

    With all logits divided by a temperature; NaN where the rule finds no bandwidth.
    """
    fitted, asked = (part.logits / temperature for part in (known.validation, known.test))
    return _below(fitted, asked[known.right], bandwidth)


def over_training(nets: Sequence[Known], settings: Settings) -> dict[float, tuple[Tensor, Tensor]]:
    """By kept point of training, for each net: accuracy, and share of right answers below 0.04."""
    found = [_at_points(net, settings) for net in nets]
    return {epoch: tuple(torch.tensor([of_net[epoch] for of_net in found]).T) for epoch in found[0]}


def conformal_share(one: Judged) -> float:
    """Share of rightly read test images beyond the threshold that such calibration images give."""
    good = one.calibration[POST][one.calibration_predicted == one.calibration_labels]
    return _share(one.known[POST][~one.wrong] > conformal_threshold(good, SHARE))


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


def rejected(one: Judged, way: str, scores: Tensor) -> float:
    """Share of images beyond the threshold at which 5 % of known images are to be lost.

    NaN for a score that does not exist.
    """
    if one.calibration[way].isnan().any():
        return math.nan
    return _share(scores > conformal_threshold(one.calibration[way], SHARE))


def classes_above(one: Judged, own: bool) -> float:
    """Share of the predicted classes of which more is rejected than chance allows with 5 %.

    Chance: the upper end of the beta-binomial band, passed once in forty times. With a threshold
    for each predicted class, or one for all; of classes with at least 100 calibration and as many
    known test images, NaN where there are none.
    """
    scores, predicted = one.calibration[SCORE], one.calibration_predicted
    answers = torch.cat([one.labels, one.predicted, one.calibration_labels, predicted])
    found = class_thresholds(scores, predicted, int(answers.max()) + 1, SHARE, LEAST)
    common = conformal_threshold(scores, SHARE)
    above = []
    for k in found.own.nonzero().flatten().tolist():
        rows = one.predicted == k
        if rows.sum() >= LEAST:
            count = int((predicted == k).sum()) if own else len(scores)
            limit = found.thresholds[k].item() if own else common
            band = rejected_band(count, int(rows.sum()), SHARE)
            above.append(_share(one.known[SCORE][rows] > limit) > band[1])
    return sum(above) / len(above) if above else math.nan


def higher_than_known(one: Judged, way: str) -> float:
    """Share of the first kind of unknown that a score trusts more than the median known image."""
    return _share(next(iter(one.unknown.values()))[way] < one.known[way].median())


def known_beyond(one: Judged) -> float:
    """Share of known images among those beyond the 5 % threshold, known and unknown as they are."""
    limit = conformal_threshold(one.calibration[SCORE], SHARE)
    known = (one.known[SCORE] > limit).sum().item()
    unknown = (next(iter(one.unknown.values()))[SCORE] > limit).sum().item()
    return known / (known + unknown) if known + unknown else math.nan


class Called(NamedTuple):
    """What Benjamini-Hochberg calls unknown, in batches: means over these.

    known_called  share of known ones among those called, 0 where none is called
    found         share of the unknown that are called
    calls         images called, in all
    size          images in a batch
    """

    known_called: float
    found: float
    calls: float
    size: int


def called_unknown(one: Judged, rate: float, seed: int) -> Called:
    """Benjamini-Hochberg at `rate` on known and unknown test images of the first kind, shuffled.

    In batches of as many as the calibration images allow one call for.
    """
    unknown = next(iter(one.unknown.values()))[SCORE]
    both = torch.cat([one.known[SCORE], unknown])
    size = max(1, int(rate * (len(one.calibration[SCORE]) + 1)))
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(seed))
    is_known = order < len(one.known[SCORE])
    p_values = conformal_p(one.calibration[SCORE], both)[order]
    called = torch.cat([benjamini_hochberg(some, rate) for some in p_values.split(size)])
    batches = zip(is_known.split(size), called.split(size), strict=True)
    false = [_share(known[call]) if call.any() else 0.0 for known, call in batches]
    found = _share(called[~is_known])
    return Called(sum(false) / len(false), found, float(called.sum()), size)


class Causes(NamedTuple):
    """Why images were rejected: shares by cause, some pictures of each, most suspicious first.

    Of the known images, the shares that are hard for people too or of doubtful label: of those
    rejected, and of all; NaN without people's answers.
    """

    shares: dict[str, float]
    pictures: dict[str, Tensor]
    hard_of_rejected: float
    hard_of_all: float


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

    answers: how many people named each class, (N, C) for the known test images, the net's classes
    first and in its order; None where nobody was asked.
    """
    limit = conformal_threshold(one.calibration[SCORE], SHARE)
    kinds = _kinds_of_known(one, answers)
    scores = {"unknown": next(iter(one.unknown.values()))[SCORE]}
    scores |= {name: one.known[SCORE][rows] for name, rows in kinds.items()}
    images = {"unknown": one.images[1]} | {name: one.images[0][x] for name, x in kinds.items()}
    beyond = {name: int((values > limit).sum()) for name, values in scores.items()}
    pictures = {name: _first(images[name], scores[name], beyond[name]) for name in scores}
    shares = {name: count / max(1, sum(beyond.values())) for name, count in beyond.items()}
    if answers is None:
        return Causes(shares, pictures, math.nan, math.nan)
    own = len(kinds[OWN]) / len(one.labels)
    of_known = sum(beyond.values()) - beyond["unknown"]
    hard = 1 - beyond[OWN] / of_known if of_known else math.nan
    return Causes(shares, pictures, hard, 1 - own)


def rejected_by_post(run: Trained, data: Splits, seed: int) -> list[Interval]:
    """Shares of test images that the post's net has below 0.04, with Wilson's intervals.

    Of the wrongly read, and of the rightly read, as posted: the density of augmented training
    images, both logits in the first class's curve. Of the wrongly read, repaired: the density of
    validation images, each logit in its own. Last, the share that it reads rightly.
    """
    test = logits_of(run.model, data.test.images).double()
    right = metrics.right(test, data.test.labels)
    learnt = augmented_logits(run, data.train.images, POST_B.augment, seed)
    held = logits_of(run.model, data.validation.images).double()
    posted = below_post(mixed_up(LogitDensity().fit(learnt), test))
    repaired = below_post(minus_log_density(LogitDensity().fit(held), test))
    flags = (posted[~right], posted[right], repaired[~right], right)
    return [wilson_interval(int(x.sum()), len(x)) for x in flags]


def _split(known: Known, heard: Sequence[Heard]) -> list[dict[str, Tensor]]:
    """Every rejection score of several sets, fitted once for all of them."""
    together = Heard(*(torch.cat(each) for each in zip(*heard, strict=True)))
    sizes = [len(each.logits) for each in heard]
    split = {way: x.split(sizes) for way, x in rejection_scores(known, together).items()}
    return [{way: x[k] for way, x in split.items()} for k in range(len(sizes))]


def _resampled(one: Judged, generator: torch.Generator) -> Judged:
    """The same net, and as many images of each set drawn with replacement; `shifted` stays."""

    def drawn(scores):
        count = len(next(iter(scores.values())))
        rows = torch.randint(count, (count,), generator=generator)
        return rows, {way: x[rows] for way, x in scores.items()}

    rows, known = drawn(one.known)
    old, calibration = drawn(one.calibration)
    return one._replace(
        known=known,
        calibration=calibration,
        unknown={kind: drawn(scores)[1] for kind, scores in one.unknown.items()},
        labels=one.labels[rows],
        predicted=one.predicted[rows],
        calibration_labels=one.calibration_labels[old],
        calibration_predicted=one.calibration_predicted[old],
    )


def _as_dear(one: Judged, below: Tensor) -> float:
    """Share of wrong answers that the largest score rejects where it loses as many right ones."""
    score, right = one.known[SCORE], ~one.wrong
    if right.all() or not right.any():
        return math.nan
    limit = score[right].quantile(1 - _share(below[right]))
    return _share(score[~right] > limit)


def _below(fitted: Tensor, asked: Tensor, bandwidth: str | float) -> float:
    try:
        density = LogitDensity(bandwidth).fit(fitted)
    except ValueError:
        return math.nan
    return _share(below_post(minus_log_density(density, asked))) if len(asked) else math.nan


def _at_points(known: Known, settings: Settings) -> dict[float, tuple[float, float]]:
    parts = (known.data.validation, known.data.test)
    fitted, asked = (signatures_at(known.run, part, (), settings, None) for part in parts)
    found = {}
    for epoch, seen in asked.items():
        right = metrics.right(seen.logits, known.data.test.labels)
        below = _below(fitted[epoch].logits, seen.logits[right], "scott")
        found[epoch] = (_share(right), below)
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
        named = counts.gather(1, one.labels[:, None])[:, 0]
        own, doubtful = named / counts.sum(1), counts.amax(1) > named
        kinds = {
            "label doubtful": doubtful,
            "hard for people": ~doubtful & (own < AGREED),
            OWN: ~doubtful & (own >= AGREED),
        }
    return {name: rows.nonzero().flatten() for name, rows in kinds.items()}


def _first(images: Tensor, scores: Tensor, count: int) -> Tensor:
    """The most suspicious of `count` rejected images, at most `PICTURES`."""
    return images[scores.argsort(descending=True)[: min(PICTURES, count)]]


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()
