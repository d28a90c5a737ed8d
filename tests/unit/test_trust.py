"""What thresholds reject: by hand, and set on the images that are there for it."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.datasets import people
from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.imageset import ImageSet, Splits, without_classes
from helpers.methods.density import LogitDensity
from helpers.methods.detection import auroc, fpr_at
from helpers.methods.guarantees import conformal_threshold, rejected_band
from helpers.methods.rejection import max_score
from helpers.methods.statistics import over_seeds
from helpers.network.models import build
from helpers.network.recipes import Recipe
from helpers.network.training import Trained
from helpers.series import trust, unknowns
from helpers.series.nets import train
from helpers.series.plan import POST_B, plan_for
from helpers.series.trust import (
    FILE,
    OWN,
    SCORE,
    THRESHOLD,
    WRONG,
    Judged,
    answers_to,
    below_post,
    below_threshold,
    beyond_own,
    called_unknown,
    causes_of,
    chance_of_share,
    classes_above,
    colour_scores,
    conformal_share,
    errors_by_band,
    higher_than_known,
    in_words,
    judge,
    known_beyond,
    mixed_up,
    of_the_post,
    optimism,
    over_both,
    over_images,
    over_training,
    rated,
    rejected,
    rejected_by_post,
    spread_of,
    told_apart,
)
from helpers.series.unknowns import (
    BY_CLASS,
    JOINT,
    LARGEST,
    POST,
    RIVALS,
    Heard,
    Known,
    ask,
    augmented_logits,
    hear,
    minus_log_density,
    shifted,
)

SIDE = 16


def pictures(count, seed, classes="abc", side=SIDE):
    """Images of noise with one brighter channel, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(classes)
    images = torch.randint(180, (count, side, side, 3), generator=generator)
    images += 60 * torch.nn.functional.one_hot(labels, 3)[:, None, None, :]
    table = pd.DataFrame(index=range(count))
    return ImageSet(images.byte(), labels, tuple(classes), table, f"set {seed}", f"{count}-{seed}")


def splits_of(classes="abc", seeds=(0, 1, 2, 3)):
    sizes = (130, 60, 40, 50)
    return Splits(*(pictures(n, seed, classes) for n, seed in zip(sizes, seeds, strict=True)))


def untaught(classes=3):
    net = build("LeNet5", classes, seed=1, side=SIDE, mean=(0.4,) * 3, std=(0.2,) * 3)
    return Trained(net.eval(), None, {"model": "LeNet5"}, [])


# A net's answers, judged


SETS = {"near": pictures(7, 8).images, "far": pictures(5, 9).images}
WAYS = {POST, BY_CLASS, JOINT, LARGEST, *RIVALS}


def judged_net(data, sets=SETS):
    return judge(ask(untaught(), data), sets, colour_scores(data, sets), seed=0)


def test_a_judged_net_has_every_score_of_every_set():
    data, run = splits_of(), untaught()
    one = judged_net(data, {**SETS, "known": data.test.images})
    assert list(one.unknown) == ["near", "far", "known"]
    of_sets = [one.known, one.calibration, *one.unknown.values()]
    for scores, count in zip(of_sets, (50, 40, 7, 5, 50), strict=True):
        assert set(scores) == WAYS | {FILE}
        assert {len(score) for score in scores.values()} == {count}
    # The same images have the same scores, whatever they are called.
    for way in one.known:
        assert torch.allclose(one.unknown["known"][way], one.known[way], atol=1e-4)
    near = hear(run, SETS["near"])
    assert torch.allclose(one.unknown["near"][SCORE], max_score(near.logits), atol=1e-6)
    assert one.labels.equal(data.test.labels)
    assert one.predicted.equal(hear(run, data.test.images).logits.argmax(1))
    assert one.wrong.equal(one.predicted != data.test.labels)
    assert one.calibration_labels.equal(data.calibration.labels)
    calibrated = hear(run, data.calibration.images).logits
    assert one.calibration_predicted.equal(calibrated.argmax(1))
    assert one.images[0].equal(data.test.images)
    assert one.images[1].equal(SETS["near"])
    assert set(one.shifted) == WAYS
    dark = max_score(hear(run, shifted(data.test.images, 0)).logits)
    assert torch.allclose(one.shifted[SCORE], dark, atol=1e-6)


def test_calibration_images_set_thresholds_and_nothing_else():
    one, other = (judged_net(splits_of(seeds=(0, 1, k, 3))) for k in (2, 12))
    for way in one.known:
        assert other.known[way].equal(one.known[way])
        assert all(other.unknown[kind][way].equal(one.unknown[kind][way]) for kind in SETS)
        limits = [conformal_threshold(each.calibration[way]) for each in (one, other)]
        assert limits[0] != limits[1]
    assert all(other.shifted[way].equal(one.shifted[way]) for way in WAYS)


def test_test_images_have_no_part_in_the_scores_of_others():
    one, other = (judged_net(splits_of(seeds=(0, 1, 2, k))) for k in (3, 13))
    for way in one.known:
        assert torch.allclose(other.calibration[way], one.calibration[way], atol=1e-4)
        assert torch.allclose(other.unknown["far"][way], one.unknown["far"][way], atol=1e-4)


def test_colours_are_compared_with_those_of_training_images():
    data = splits_of()
    found = colour_scores(data, SETS)
    counts = {kind: len(score) for kind, score in found.items()}
    assert counts == {"test": 50, "calibration": 40, "near": 7, "far": 5}
    white = colour_scores(data, {"white": torch.full((3, SIDE, SIDE, 3), 255).byte()})
    assert white["white"].min() > white["test"].max()
    for part, changed in {"validation": 1, "calibration": 2, "test": 3}.items():
        seeds = [k + 10 * (k == changed) for k in range(4)]
        assert colour_scores(splits_of(seeds=seeds), SETS)["near"].equal(found["near"]), part
    other = colour_scores(splits_of(seeds=(10, 1, 2, 3)), SETS)
    assert not other["near"].equal(found["near"])


# Shares below the post's threshold, of made-up logits


def labelled(labels):
    images = torch.zeros(len(labels), 2, 2, 3, dtype=torch.uint8)
    table = pd.DataFrame(index=range(len(labels)))
    return ImageSet(images, labels, ("a", "b"), table, "made up", "key")


def said(count, seed, scale=2.0, right=0.8):
    """Labels and logits of two classes, so many of which are in favour of the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    sign = torch.where(torch.rand(count, generator=generator) < right, 1.0, -1.0)
    favoured = (2 * torch.nn.functional.one_hot(labels, 2) - 1) * sign[:, None]
    drawn = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return labels, scale * (favoured + 0.3 * drawn)


def known_of(validation, calibration, test):
    parts = [validation, validation, calibration, test]
    data = Splits(*(labelled(labels) for labels, _ in parts))
    heard = [Heard(logits, logits) for _, logits in parts]
    return Known(SimpleNamespace(), data, heard[0], validation[0], *heard[1:])


def made_up(scale=2.0):
    return known_of(*(said(size, k, scale) for k, size in enumerate((200, 150, 300), 1)))


def scored(top):
    """Logits whose largest scores are these, of the first class."""
    top = torch.tensor(top, dtype=torch.float64)
    return torch.stack([(top / (1 - top)).log(), torch.zeros_like(top)], 1)


def densities(values):
    """The post's scores of images with these mean densities."""
    return -torch.tensor(values, dtype=torch.float64).log()


def test_the_post_s_threshold_is_a_density():
    assert below_post(densities([0.039, 0.041, 1e-300, 7.0])).tolist() == [True, False, True, False]
    known = made_up(scale=6.0)
    density = LogitDensity().fit(known.validation.logits)
    below = density.density(known.test.logits).mean(1) < THRESHOLD
    assert 0 < below.sum() < len(below)
    assert below_post(minus_log_density(density, known.test.logits)).equal(below)


def of_post(density, top, wrong, strange, strange_top):
    """A judged net with these densities and largest scores of known and of unknown images."""
    one = judged([0.0] * len(top), [0.0], [0.0], predicted=[int(x) for x in wrong])
    known = {POST: densities(density), SCORE: 1 - torch.tensor(top).double()}
    unknown = {POST: densities(strange), SCORE: 1 - torch.tensor(strange_top).double()}
    return one._replace(known=known, unknown={"near": unknown})


def test_the_post_s_claims_by_hand():
    # Four are read rightly, two wrongly; of the right ones the second has too low a density.
    wrong = [False, False, False, False, True, True]
    top = [0.99, 0.95, 0.69, 0.71, 0.92, 0.6]
    near = ([0.01, 0.3, 0.02], [0.5, 0.95, 0.65])
    found = of_the_post(of_post([0.05, 0.039, 0.041, 0.2, 0.01, 0.3], top, wrong, *near), "near")
    assert found == pytest.approx(
        {
            # One in six, of one in three known and two in three unknown.
            "rightly read, of all below 0.7": 1 / 6,
            "rightly read, of all": 1 / 3,
            # One in three unknown, three in six known.
            "unknown, of all above 0.9": 2 / 5,
            "below 0.04: wrong answers": 1 / 2,
            "below 0.04: right answers": 1 / 4,
            "below 0.04: unknown": 2 / 3,
            # As many right ones are lost below a score of 0.705.
            "by score: wrong answers": 1 / 2,
        }
    )


def test_of_what_there_is_not_there_are_no_shares():
    found = of_the_post(of_post([0.1, 0.1], [0.8, 0.8], [False, False], [0.1], [0.8]), "near")
    none = {name for name, share in found.items() if math.isnan(share)}
    assert none == {
        "rightly read, of all below 0.7",
        "unknown, of all above 0.9",
        "below 0.04: wrong answers",
        "by score: wrong answers",
    }
    wrong = of_the_post(of_post([0.1, 0.1], [0.8, 0.8], [True, True], [0.1], [0.8]), "near")
    assert math.isnan(wrong["by score: wrong answers"])
    assert math.isnan(wrong["below 0.04: right answers"])


def test_as_the_post_looks_them_up_all_logits_are_in_one_curve():
    _, logits = said(100, 1)
    skewed = torch.stack([logits[:, 0], 3 * logits[:, 1] + 5], 1)
    density, first = LogitDensity().fit(skewed), LogitDensity().fit(skewed[:, :1])
    asked = said(30, 2)[1]
    by_hand = torch.stack([first.density(asked[:, k : k + 1])[:, 0] for k in (0, 1)]).mean(0)
    assert torch.allclose(mixed_up(density, asked), -by_hand.log(), atol=0.02)
    assert not torch.allclose(mixed_up(density, asked), minus_log_density(density, asked), atol=0.2)


def test_of_the_fitted_images_as_many_lie_beyond_as_were_to():
    fitted = said(400, 1)[1]
    assert beyond_own(fitted, fitted) == pytest.approx(0, abs=0.003)
    assert beyond_own(fitted, fitted + 100) == pytest.approx(0.95)
    assert abs(beyond_own(fitted, said(400, 2)[1])) < 0.05


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_temperature_is_another_threshold(temperature):
    known = made_up(scale=6.0)
    density = LogitDensity(method="exact").fit(known.validation.logits)
    values = density.density(known.test.logits[known.right]).mean(1)
    expected = (values < THRESHOLD / temperature).double().mean().item()
    assert below_threshold(known, "scott", temperature) == pytest.approx(expected, abs=0.005)
    # Not the same at every temperature, so that it says something.
    assert below_threshold(known, "scott", 0.25) > 0.9
    assert below_threshold(known, "scott", 4.0) < 0.1


def test_the_share_below_is_of_right_answers_only():
    known = made_up(scale=6.0)
    share = below_threshold(known)
    assert 0.01 < share < 0.99
    density = LogitDensity().fit(known.validation.logits)
    below = below_post(minus_log_density(density, known.test.logits))
    assert share == below[known.right].double().mean().item()
    moved = known.test.logits.clone()
    moved[~known.right] *= 50
    assert below_threshold(known._replace(test=Heard(moved, moved))) == share


def test_where_a_rule_finds_no_bandwidth_there_is_no_share():
    known = made_up()
    flat = Heard(torch.ones(200, 2).double(), torch.ones(200, 2).double())
    assert math.isnan(below_threshold(known._replace(validation=flat)))
    wrong = 1 - known.test.logits.argmax(1)
    none = known._replace(data=known.data._replace(test=labelled(wrong)))
    assert math.isnan(below_threshold(none))


def test_shares_over_training_end_with_that_of_the_net(settings, monkeypatch):
    monkeypatch.setitem(unknowns.LAST, "Linear", "flatten")
    data = splits_of()
    recipe = Recipe(epochs=2, batch=16, rate=1e-2, keep="last", points=(0, 1, 2))
    plan = plan_for(settings)._replace(recipes={"tiny": recipe})
    runs = train("Linear", "tiny", data, plan, settings, (0, 1), say=lambda _: None)
    nets = [ask(run, data) for run in runs]
    found = over_training(nets, settings)
    assert list(found) == [0, 1, 2]
    right, below = found[2]
    assert right.tolist() == pytest.approx([net.right.double().mean().item() for net in nets])
    assert below.tolist() == pytest.approx([below_threshold(net) for net in nets])
    assert found[0][0][0] != found[0][0][1]
    # Each net has its own, in their order.
    alone = over_training(nets[1:], settings)
    assert [shares.tolist() for shares in alone[1]] == [[x[1].item()] for x in found[1]]


# AUROC, and its intervals


def drawn(count, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator, dtype=torch.float64) + shift


def with_wrong(seed=0, count=120, shift=1.0):
    """A judged net of which every third answer is wrong, and more suspicious by `shift`."""
    wrong = torch.arange(count) % 3 == 0
    scores = drawn(count, seed) + shift * wrong
    return judged(scores, drawn(60, 91), drawn(80, 92, shift), predicted=wrong.long())


def test_a_kind_is_rated_against_what_it_is_to_be_told_from():
    one = with_wrong()
    known, unknown = one.known[SCORE], one.unknown["near"][SCORE]
    assert rated(one, SCORE, "near") == auroc(known, unknown).item()
    of_wrong = auroc(known[~one.wrong], known[one.wrong]).item()
    assert rated(one, SCORE, WRONG) == of_wrong
    assert rated(one, SCORE, "near", fpr_at) == fpr_at(known, unknown).item()


def test_where_there_is_nothing_to_rate_there_is_no_number():
    one = with_wrong()
    assert math.isnan(rated(one, SCORE, "of no such kind"))
    for predicted in (one.labels, 1 - one.labels):
        assert math.isnan(rated(one._replace(predicted=predicted), SCORE, WRONG))
    absent = {SCORE: torch.full((120,), math.nan).double()}
    assert math.isnan(rated(one._replace(known=absent), SCORE, "near"))


def test_images_are_resampled_with_all_that_belongs_to_them():
    numbered = torch.arange(40).double()
    one = judged(
        numbered,
        numbered + 100,
        numbered + 200,
        labels=torch.arange(40),
        predicted=torch.arange(40) + 1,
        calibrated=torch.arange(40) + 100,
    )
    one = one._replace(calibration_labels=torch.arange(40) + 100)
    kinds = {"near": one.unknown["near"], "far": {SCORE: numbered[:9] + 300}}
    again = []

    def keep(other):
        again.append(other)
        return 0.0

    over_images(one._replace(unknown=kinds), keep, seed=0)
    other = again[0]
    assert other.known[SCORE].equal(other.labels.double())
    assert other.predicted.equal(other.labels + 1)
    assert other.calibration[SCORE].equal(other.calibration_labels.double())
    assert other.calibration_predicted.equal(other.calibration_labels)
    assert len(other.labels.unique()) < 40
    assert not other.labels.equal(again[1].labels)
    for kind, low, count in (("near", 200, 40), ("far", 300, 9)):
        values = other.unknown[kind][SCORE]
        assert len(values) == count
        assert low <= values.min() <= values.max() < low + count


def test_an_interval_over_images_is_about_its_value_and_narrows_with_images():
    measure = partial(rated, way=SCORE, kind=WRONG)
    few, many = (over_images(with_wrong(count=n), measure, seed=0) for n in (60, 600))
    assert few.value == measure(with_wrong(count=60))
    assert few.low < few.value < few.high
    assert (few.n, many.n) == (60, 600)
    assert many.high - many.low < 0.6 * (few.high - few.low)
    assert over_images(with_wrong(count=60), measure, seed=0) == few


def test_images_widen_the_interval_over_seeds():
    measure = partial(rated, way=SCORE, kind=WRONG)
    nets = [with_wrong(seed) for seed in range(3)]
    both, seeds = over_both(nets, measure, 0), over_seeds(torch.tensor([*map(measure, nets)]))
    images = over_images(nets[0], measure, 0)
    assert both.value == pytest.approx(seeds.value)
    assert both.high - both.value == pytest.approx(
        math.hypot(seeds.high - seeds.value, images.high - images.value), abs=1e-6
    )
    # Nets that say the same are not surer of the images.
    alike = over_both([nets[0]] * 3, measure, 0)
    assert alike == pytest.approx((images.value, images.low, images.high, 3), abs=1e-6)
    assert math.isnan(over_both(nets, lambda one: math.nan, 0).value)


def test_densities_tell_each_net_s_images_apart_by_hand():
    nets = [made_up(scale=2.0), made_up(scale=6.0)]
    densities = [LogitDensity().fit(net.validation.logits) for net in nets]
    others = [nets[0].test.logits + 1, nets[1].test.logits + 40]
    found = told_apart(minus_log_density, densities, nets, others)
    for k, value in enumerate(found):
        scores = [minus_log_density(densities[k], x) for x in (nets[k].test.logits, others[k])]
        assert value == auroc(*scores)
    assert found[1] == 1 > found[0]


def test_unknown_images_trusted_more_than_the_median_known_one_by_hand():
    one = judged([1, 2, 3, 4, 100], [0], [0.5, 2.9, 3, 3.1, 50])
    assert higher_than_known(one, SCORE) == pytest.approx(2 / 5)


# How far chance reaches


def test_the_chance_of_a_share_is_that_of_drawing_images_anew():
    shares = []
    for seed in range(150):
        fitted, asked = drawn(400, seed), drawn(300, seed + 1000)
        shares.append((asked > fitted.quantile(0.95)).double().mean().item() - 0.05)
    found = chance_of_share(400, 300)
    assert found.value == 0
    assert found.low == -found.high
    assert found.n == 300
    assert 1.96 * np.std(shares) == pytest.approx(found.high, rel=0.2)


def test_the_spread_over_seeds_is_not_judged_where_hardly_anything_is_rejected():
    shares = [0.04, 0.05, 0.09]
    found = spread_of(shares)
    assert found.value == pytest.approx(1.96 * np.std(shares, ddof=1))
    assert found.low < found.value < found.high
    for few in ([0.009, 0.008], [math.nan, 0.3]):
        assert all(math.isnan(number) for number in spread_of(few)[:3])


# In words


def test_what_a_net_says_in_words():
    logits = torch.tensor([[1.0, -2.25], [0.0, 3.0]]).double()
    first, second = in_words(("one", "two"), logits, torch.tensor([0.5, 0.0312]), ("cat", "dog"))
    assert first == {
        "image": "one",
        "logits": "1.0, \N{MINUS SIGN}2.2",
        "read as": "cat, 96 %",
        "density": "0.500",
    }
    assert (second["read as"], second["density"]) == ("dog, 95 %", "0.031")


def test_errors_are_counted_by_class_and_score():
    # Right, and wrong in each band, the last of the other class; 0.7 is not above 0.7.
    labels = torch.tensor([0, 1, 1, 1, 1, 0])
    logits = scored([0.9, 0.9, 0.69, 0.65, 0.55, 0.8])
    logits[5] = logits[5].flip(0)
    found = errors_by_band(known_of(said(20, 1), said(20, 2), (labels, logits)))
    assert found.index.tolist() == ["a, misread", "b, misread"]
    assert found.loc["a, misread"].tolist() == [1, 0, 0]
    assert found.loc["b, misread"].tolist() == [1, 2, 1]


# The promise


def test_a_threshold_rejects_beyond_the_calibration_images():
    # The 96th of 100.
    one = judged([96, 97, 1, 200], range(1, 101), [0])
    assert rejected(one, SCORE, one.known[SCORE]) == 0.5
    assert rejected(one, SCORE, one.calibration[SCORE]) == pytest.approx(0.04)
    few = judged([96, 97, 1, 200], range(18), [0])
    assert rejected(few, SCORE, few.known[SCORE]) == 0


def test_shares_over_calibration_sets_are_what_was_promised():
    shares = [
        rejected(one, SCORE, one.known[SCORE])
        for one in (judged(drawn(4000, 0), drawn(99, k), [0]) for k in range(20, 80))
    ]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.01)


def test_known_images_among_those_beyond_by_hand():
    one = judged([96, 97, 1, 200], range(1, 101), [300, 99, 5, 400])
    assert known_beyond(one) == pytest.approx(2 / 5)
    assert math.isnan(known_beyond(judged([1], range(1, 101), [2])))


def test_the_promise_to_right_answers_is_made_by_right_answers():
    one = judged([95, 96, 97, 999, 999], [*range(1, 101), 999, 999, 999], [0])
    one = one._replace(known={POST: one.known[SCORE]}, calibration={POST: one.calibration[SCORE]})
    right = torch.cat([torch.zeros(100), torch.ones(3)]).long()
    wrong = torch.tensor([0, 0, 0, 1, 1])
    one = one._replace(calibration_predicted=right, predicted=wrong)
    # Of the right ones 96 is the threshold, which wrong ones would raise.
    assert conformal_share(one) == pytest.approx(1 / 3)


# The threshold that was chosen on the images that judge it


def test_a_perfect_score_is_as_good_elsewhere():
    right = torch.rand(600, generator=torch.Generator().manual_seed(0)) < 0.7
    assert optimism((~right).double(), right, seed=0) == 0
    drawn = torch.rand(600, generator=torch.Generator().manual_seed(1)).double()
    assert optimism(drawn + 2 * (~right), right, seed=0) == pytest.approx(0, abs=0.01)


def test_a_score_that_says_nothing_looks_better_on_the_images_that_chose():
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(200, generator=generator) < 0.7
    gaps = [
        optimism(torch.rand(200, generator=generator).double(), right, seed) for seed in range(5)
    ]
    assert min(gaps) > 0.05
    assert optimism(torch.ones(200).double(), right, seed=0) == pytest.approx(0)
    score = torch.rand(200, generator=generator).double()
    assert optimism(score, right, seed=3) == optimism(score, right, seed=3)


def test_without_wrong_answers_no_threshold_can_be_chosen():
    assert math.isnan(optimism(torch.rand(50).double(), torch.ones(50).bool(), seed=0))


# By predicted class, and many at once


def judged(known, calibration, unknown, labels=None, predicted=None, calibrated=None, images=None):
    """A judged net with one score and one kind of unknown images, all made up."""
    nothing = torch.zeros(len(known), dtype=torch.int64)
    score, calibration, unknown = (
        {SCORE: torch.as_tensor(x, dtype=torch.float64)} for x in (known, calibration, unknown)
    )
    none_calibrated = torch.zeros(len(calibration[SCORE]), dtype=torch.int64)
    return Judged(
        score,
        calibration,
        {"near": unknown},
        {},
        nothing if labels is None else torch.as_tensor(labels),
        nothing if predicted is None else torch.as_tensor(predicted),
        none_calibrated,
        none_calibrated if calibrated is None else torch.as_tensor(calibrated),
        images,
    )


def two_classes(third=0, scale=1.0):
    """Calibration scores 1..40 and 101..140 of either predicted class, and test images in tens."""
    predicted = [0] * 10 + [1] * 10 + [2] * third
    test = [*[1] * 6, 37, 38, 39, 40, *[110] * 5, 138, 138, 139, 139, 139, *[300] * third]
    calibration = [*range(1, 41), *range(101, 141), *[200] * third]
    return judged(
        scale * torch.tensor(test).double(),
        scale * torch.tensor(calibration).double(),
        [0],
        labels=predicted,
        predicted=predicted,
        calibrated=[0] * 40 + [1] * 40 + [2] * third,
    )


@pytest.fixture
def small_classes(monkeypatch):
    monkeypatch.setattr(trust, "LEAST", 10)


def test_classes_of_which_more_is_rejected_than_chance_allows_by_hand(small_classes):
    # The upper end of the band for 40 and 10 images is two of ten.
    assert rejected_band(40, 10)[1] == pytest.approx(0.2)
    # With thresholds of their own, 39 and 139, one of the first and none of the second is rejected.
    assert classes_above(two_classes(), own=True) == 0
    # With one for all, 137, none of the first and five of the second.
    assert classes_above(two_classes(), own=False) == 0.5
    # A class with too few images does not count, though all of it is rejected.
    assert classes_above(two_classes(third=9), own=True) == 0


def test_a_class_of_which_just_what_chance_allows_is_rejected_is_not_above(small_classes):
    one = two_classes()
    for many, above in ((2, 0), (3, 0.5)):
        scores = one.known[SCORE].clone()
        scores[:10] = 1
        scores[:many] = 40
        assert classes_above(one._replace(known={SCORE: scores}), own=True) == above


@pytest.mark.parametrize("own", [True, False])
def test_where_every_class_is_small_there_is_no_share_of_them(own):
    assert math.isnan(classes_above(two_classes(), own))


def test_a_class_may_be_predicted_for_calibration_images_alone(small_classes):
    one = two_classes()
    predicted = one.calibration_predicted.clone()
    predicted[0] = 2
    assert classes_above(one._replace(calibration_predicted=predicted), own=True) == 0


def test_images_at_the_common_threshold_are_kept(small_classes):
    # A threshold that float32 rounds down.
    one = two_classes(scale=1 + 1e-9)
    limit = conformal_threshold(one.calibration[SCORE])
    scores = torch.full((20,), limit, dtype=torch.float64)
    assert classes_above(one._replace(known={SCORE: scores}), own=False) == 0


def test_what_is_called_unknown_by_hand():
    # All in one batch of ten: four p values of 1/100, and 4 * 0.1 / 10 is more.
    one = judged([1, 2, 3, 4, 1000], range(1, 100), [1000, 2000, 3000, 5, 6])
    found = called_unknown(one, 0.1, seed=0)
    assert found == pytest.approx((1 / 4, 3 / 5, 4, 10))


def test_a_batch_is_as_large_as_allows_one_call():
    # One of ten is beyond all 99 calibration images: 1/100 is just 0.1 / 10.
    one = judged([1] * 9, range(1, 100), [1000])
    assert called_unknown(one, 0.1, seed=0) == pytest.approx((0, 1, 1, 10))
    one = judged([1] * 9, range(1, 99), [1000])
    assert called_unknown(one, 0.1, seed=0) == pytest.approx((0, 1, 1, 9))
    few = judged([1] * 9, range(5), [1000])
    assert called_unknown(few, 0.1, seed=0)[1:] == pytest.approx((0, 0, 1))


def test_called_images_are_counted_over_batches_and_false_ones_within():
    # Thirty images in three batches: each known one beyond makes its own batch's calls false.
    one = judged([1] * 19 + [1000], range(1, 100), [2000] * 10)
    shares, found, calls, size = called_unknown(one, 0.1, seed=0)
    assert (found, calls, size) == (1, 11, 10)
    assert 0 < shares <= 1 / 3
    again = called_unknown(one, 0.1, seed=1)
    assert again.calls == 11
    assert {called_unknown(one, 0.1, seed).known_called for seed in range(5)} != {shares}


def test_of_what_is_called_few_are_known():
    shares = [
        called_unknown(judged(drawn(200, k), drawn(199, k + 50), drawn(200, k, 6)), 0.1, 0)
        for k in range(20)
    ]
    assert np.mean([one.known_called for one in shares]) < 0.1
    assert np.mean([one.found for one in shares]) > 0.8


def test_where_nothing_is_called_nothing_is_false():
    assert called_unknown(judged([1], range(1, 100), [2]), 0.1, 0)[:3] == (0, 0, 0)


# Causes


def eight_known(**changes):
    """Eight known images and three unknown ones, of which scores above 95 are rejected."""
    numbered = torch.arange(11, dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    parts = {
        "known": [200, 1, 300, 97, 98, 2, 99, 3],
        "calibration": range(1, 100),
        "unknown": [96, 400, 5],
        "labels": [0, 0, 1, 1, 2, 2, 0, 1],
        "predicted": [1, 0, 1, 0, 2, 2, 0, 0],
        "images": (numbered[:8], numbered[8:]),
    }
    return judged(**parts | changes)


ANSWERS = torch.tensor(
    [
        [10, 40, 0],  # rejected, label doubtful
        [0, 0, 50],  # kept, label doubtful
        [5, 45, 0],  # rejected, nine of ten are right
        [6, 44, 0],  # rejected, hard
        [0, 0, 50],  # rejected, agreed on
        [0, 0, 50],  # kept, agreed on
        [30, 20, 0],  # rejected, hard
        [0, 50, 0],  # kept, agreed on
    ]
)


def numbers(images):
    return images[:, 0, 0, 0].tolist()


def test_causes_by_hand():
    found = causes_of(eight_known(), ANSWERS)
    assert found.shares == pytest.approx(
        {
            "unknown": 2 / 7,
            "label doubtful": 1 / 7,
            "hard for people": 2 / 7,
            OWN: 2 / 7,
        }
    )
    assert {name: numbers(images) for name, images in found.pictures.items()} == {
        "unknown": [9, 8],
        "label doubtful": [0],
        "hard for people": [6, 3],
        OWN: [2, 4],
    }
    assert found.hard_of_rejected == pytest.approx(3 / 5)
    assert found.hard_of_all == pytest.approx(4 / 8)


def test_without_people_s_answers_there_are_three_causes():
    found = causes_of(eight_known(), None)
    assert found.shares == pytest.approx(
        {"unknown": 2 / 7, "known, read wrongly": 2 / 7, "known, read rightly": 3 / 7}
    )
    assert numbers(found.pictures["known, read wrongly"]) == [0, 3]
    assert numbers(found.pictures["known, read rightly"]) == [2, 6, 4]
    assert math.isnan(found.hard_of_rejected)
    assert math.isnan(found.hard_of_all)


def test_of_each_cause_there_are_few_pictures(monkeypatch):
    monkeypatch.setattr(trust, "PICTURES", 1)
    found = causes_of(eight_known(), ANSWERS)
    assert [numbers(images) for images in found.pictures.values()] == [[9], [0], [6], [2]]


def test_where_nothing_is_rejected_no_cause_has_a_share():
    found = causes_of(eight_known(known=[1] * 8, unknown=[2, 3, 4]), ANSWERS)
    assert set(found.shares.values()) == {0}
    assert all(len(images) == 0 for images in found.pictures.values())


def test_where_no_known_image_is_rejected_no_share_of_them_is_hard():
    found = causes_of(eight_known(known=[1] * 8), ANSWERS)
    assert found.shares["unknown"] == 1
    assert math.isnan(found.hard_of_rejected)


def test_a_label_is_doubtful_where_more_people_chose_another_in_any_order():
    # As many chose the label as another class: hard, wherever that class stands.
    tied = torch.tensor([[25, 25, 0]] * 8)
    for label, columns in ((0, [0, 1, 2]), (1, [0, 1, 2]), (0, [1, 0, 2])):
        one = eight_known(labels=[label] * 8)
        shares = causes_of(one, tied[:, columns]).shares
        assert (shares["label doubtful"], shares["hard for people"]) == (0, pytest.approx(5 / 7))


@pytest.fixture
def counts(settings):
    """Answers to ten thousand images, on the disk: 50 right ones, and some that tell."""
    found, image = np.zeros((10_000, 10), dtype=np.int64), np.arange(10_000)
    found[image, image % 10] = 50
    found[image, (image // 10) % 10] += 1
    found[image, (image // 100) % 10] += 2
    settings.data_dir.mkdir()
    np.save(settings.data_dir / people.COUNTS, found)
    return torch.from_numpy(found)


def official(rows):
    return ImageSet(
        torch.zeros(len(rows), 4, 4, 3, dtype=torch.uint8),
        torch.tensor(rows) % 10,
        CLASSES,
        pd.DataFrame({"official_index": rows}),
        "some of CIFAR-10",
        "0",
    )


def test_answers_to_a_fold_are_in_the_order_of_its_images_and_classes(settings, counts):
    rows = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))[:60].tolist()
    data = Splits(*(official(rows) for _ in range(4)))
    part = without_classes(data, ("cat", "airplane"))
    found = answers_to(part, data, settings)
    kept = [row for row in rows if row % 10 not in (0, 3)]
    # The order of those left out is that of the dataset.
    columns = [1, 2, 4, 5, 6, 7, 8, 9, 0, 3]
    assert found.equal(counts[kept][:, columns])
    assert part.test.table["official_index"].tolist() == kept
    assert found.argmax(1).equal(part.test.labels)
    assert answers_to(data, data, settings).equal(counts[rows])


def test_without_answers_there_are_none(settings):
    data = Splits(*(official(list(range(20))) for _ in range(4)))
    assert answers_to(data, data, settings) is None


# The post, as it was


def test_the_post_s_rejections_are_of_augmented_images_in_one_curve(monkeypatch):
    data, run = splits_of("ab"), untaught(2)
    test, held = (hear(run, part.images).logits for part in (data.test, data.validation))
    learnt = augmented_logits(run, data.train.images, POST_B.augment, 0)
    first = LogitDensity().fit(learnt[:, :1])
    posted = torch.stack([first.density(x[:, None])[:, 0] for x in test.T]).mean(0)
    repaired = LogitDensity().fit(held).density(test).mean(1)
    right = test.argmax(1) == data.test.labels
    # The logits of an untaught net lie close together: a threshold in the midst of them.
    limit = posted.sort().values[24:26].mean().item()
    monkeypatch.setattr(trust, "THRESHOLD", limit)
    found = rejected_by_post(run, data, seed=0)
    wanted = [(posted[~right] < limit), (posted[right] < limit), (repaired[~right] < limit)]
    wanted.append(right)
    assert [share.n for share in found] == [len(flags) for flags in wanted]
    for share, flags in zip(found, wanted, strict=True):
        assert abs(share.value * share.n - flags.sum().item()) <= 1
    assert 20 < sum(share.value * share.n for share in found[:2]) < 30
