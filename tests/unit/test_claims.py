import re
from dataclasses import replace

import pytest
import torch

from helpers.methods.statistics import Interval
from helpers.series import claims
from helpers.series.claims import CLAIMS, Claim, above, below, exactly, note, what_held, within

MEASURED = {"n": "3 seeds", "control": "0.1 points"}


def interval(value, low, high):
    return Interval(value, low, high, 3)


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        (below(1), 0.2, 0.9, "held"),
        (below(1), 0.2, 1.1, "undecided"),
        (below(1), 1.0, 1.1, "failed"),
        (above(1), 1.1, 1.2, "held"),
        (above(1), 0.9, 1.2, "undecided"),
        (above(1), 0.1, 0.9, "failed"),
        (within(1, 2), 1.2, 1.8, "held"),
        (within(1, 2), 0.2, 1.8, "undecided"),
        (within(1, 2), 0.2, 2.8, "undecided"),
        (within(1, 2), 2.2, 2.8, "failed"),
        (exactly(0), 0.0, 0.0, "held"),
        (exactly(0), 0.0001, 0.0001, "failed"),
        (below(1), float("nan"), float("nan"), "undecided"),
    ],
)
def test_the_rule_gives_the_verdict(rule, low, high, verdict):
    assert rule.verdict(low, high) == verdict


@pytest.fixture
def one_claim(monkeypatch):
    claim = Claim("09", "X", "It holds", "a difference", below(0.01), "its control")
    monkeypatch.setattr(claims, "CLAIMS", {"it": claim, "other": replace(claim, statement="Too")})
    return claim


def test_the_table_shows_value_interval_n_control_and_verdict(one_claim, settings):
    outcomes = []
    note(outcomes, "it", interval(-0.004, -0.006, 0.002), **MEASURED, settings=settings)
    note(outcomes, "other", interval(0.02, 0.015, 0.03), **MEASURED, settings=settings)
    table = what_held(outcomes, "09")
    assert table.loc["It holds", "measured"] == "a difference: −0.4 [−0.6, 0.2] points"
    assert table.loc["It holds", "holds if"] == "below 1.0 points"
    assert table.loc["It holds", "control"] == "its control: 0.1 points"
    assert table.verdict.tolist() == ["held", "failed"]


def test_no_claim_is_dropped_noted_twice_or_made_up(one_claim, settings):
    outcomes = []
    note(outcomes, "it", interval(0, 0, 0), **MEASURED, settings=settings)
    with pytest.raises(ValueError, match="not measured: other"):
        what_held(outcomes, "09")
    with pytest.raises(ValueError, match="noted already"):
        note(outcomes, "it", interval(0, 0, 0), **MEASURED, settings=settings)
    with pytest.raises(KeyError, match="no claim called 'new'"):
        note(outcomes, "new", interval(0, 0, 0), **MEASURED, settings=settings)


def test_a_claim_that_lacks_what_it_needs_is_not_re_run(monkeypatch, settings):
    claim = Claim("09", "X", "s", "q", below(1), "c", dataset="cifar10", full=True)
    monkeypatch.setattr(claims, "CLAIMS", {"it": claim})
    here, there = [], []
    note(here, "it", interval(0, 0, 0), **MEASURED, settings=settings)
    assert here[0].verdict == "not re-run"
    assert here[0].reason == "needs the dataset cifar10 and the full profile"
    asked = replace(settings, dataset="cifar10", profile="full")
    note(there, "it", interval(0, 0, 0), **MEASURED, settings=asked)
    assert there[0].verdict == "held"


def test_agreement_with_what_is_known_needs_something_known(monkeypatch, settings):
    monkeypatch.setattr(
        claims, "CLAIMS", {"it": Claim("09", "X", "s", "q", above(0), "c", yardstick=True)}
    )
    for dataset, verdict in {"scenes": "held", "cifar10": "held", "digits": "not re-run"}.items():
        outcomes = []
        asked = replace(settings, dataset=dataset)
        note(outcomes, "it", interval(0.2, 0.1, 0.3), **MEASURED, settings=asked)
        assert outcomes[0].verdict == verdict


def test_every_claim_names_its_source_quantity_and_control():
    for id, claim in CLAIMS.items():
        assert re.fullmatch(r"us|[A-E]( and [A-E])*(, implied)?", claim.post), id
        assert all((claim.statement, claim.quantity, claim.control)), id
        assert claim.rule.low < claim.rule.high, id
    statements = [claim.statement for claim in CLAIMS.values()]
    assert len(set(statements)) == len(statements)


def test_a_claim_that_needs_a_file_says_which(monkeypatch, settings):
    claim = Claim("09", "X", "s", "q", above(0), "c", file="answers.npy")
    monkeypatch.setattr(claims, "CLAIMS", {"it": claim})
    for there, verdict in {False: "not re-run", True: "held"}.items():
        if there:
            settings.data_dir.mkdir()
            (settings.data_dir / "answers.npy").touch()
        outcomes = []
        note(outcomes, "it", interval(0.2, 0.1, 0.3), **MEASURED, settings=settings)
        assert outcomes[0].verdict == verdict
        assert ("answers.npy" in outcomes[0].reason) != there


def test_a_claim_whose_images_lack_something_is_not_judged(one_claim, settings):
    outcomes = []
    note(outcomes, "it", interval(0, 0, 0), **MEASURED, settings=settings, lacks="photographs")
    assert outcomes[0].verdict == "not re-run"
    assert outcomes[0].reason == "needs photographs"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The folder for weights in an empty cache of torch's."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_a_claim_that_needs_imagenet_s_weights_says_so(monkeypatch, settings, hub):
    claim = Claim("09", "X", "s", "q", above(0), "c", weights="ResNet50")
    monkeypatch.setattr(claims, "CLAIMS", {"it": claim})
    # Those of another net will not do.
    (hub / "resnet18-f37072fd.pth").touch()
    for verdict, reason in (("not re-run", "needs the ImageNet weights of ResNet50"), ("held", "")):
        outcomes = []
        note(outcomes, "it", interval(0.2, 0.1, 0.3), **MEASURED, settings=settings)
        assert (outcomes[0].verdict, outcomes[0].reason) == (verdict, reason)
        (hub / "resnet50-0676ba61.pth").touch()


def test_post_b_as_it_was_needs_its_images_the_full_profile_and_the_weights(settings, hub):
    claim, catdog = CLAIMS["post-b-as-it-was"], replace(settings, dataset="catdog")
    full, weights = replace(catdog, profile="full"), "the ImageNet weights of ResNet50"
    lacks = f"needs the dataset catdog and the full profile and {weights}"
    assert claims.missing(claim, settings) == lacks
    assert claims.missing(claim, full) == f"needs {weights}"
    (hub / "resnet50-0676ba61.pth").touch()
    assert claims.missing(claim, catdog) == "needs the full profile"
    assert claims.missing(claim, full) == ""
