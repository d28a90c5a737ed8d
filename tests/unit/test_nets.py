"""Nets of five seeds: alike but for the seed, kept on disk, and scores that are distributions."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.datasets.imageset import ImageSet, Splits
from helpers.network.training import Recipe, evaluate
from helpers.series import nets
from helpers.series.nets import scores_of, train
from helpers.series.plan import plan_for

SIDE, CLASSES = 8, ("red", "green", "blue")


def coloured(count: int, seed: int) -> ImageSet:
    """Images of noise with one brighter channel, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    images = torch.randint(150 + 10 * seed, (count, SIDE, SIDE, 3), generator=generator)
    images += 25 * torch.nn.functional.one_hot(labels, len(CLASSES))[:, None, None, :]
    table = pd.DataFrame(index=range(count))
    return ImageSet(images.byte(), labels, CLASSES, table, f"colours {seed}", f"{count}-{seed}")


SPLITS = Splits(*(coloured(count, seed) for seed, count in enumerate((64, 24, 9, 30))))


@pytest.fixture
def plan(settings):
    return plan_for(settings)._replace(recipes={"tiny": Recipe(epochs=1, batch=16, rate=1e-2)})


def trained(plan, settings, **options):
    return train("Linear", "tiny", SPLITS, plan, settings, **options)


def test_there_is_a_net_of_each_of_five_seeds(plan, settings):
    settings = replace(settings, seed=3)
    plan = plan._replace(five_seeds=plan_for(settings).five_seeds)
    runs = trained(plan, settings)
    assert [run.card["seed"] for run in runs] == [3, 4, 5, 6, 7]
    weights = [run.model.logits.weight for run in runs]
    assert all(not torch.equal(weights[i], weights[j]) for i in range(5) for j in range(i))
    cards = [run.card for run in runs]
    assert all(card["recipe"] == cards[0]["recipe"] and card["epochs"] == 1 for card in cards)
    assert {(card["train"], card["validation"]) for card in cards} == {("64-0", "24-1")}


def test_nets_standardise_by_the_moments_of_the_training_set(plan, settings):
    pixels = (SPLITS.train.images.double() / 255).flatten(0, 2)
    mean, std = pixels.mean(0), pixels.std(0, correction=0)
    for run in trained(plan, settings):
        assert run.card["options"]["mean"] == pytest.approx(mean.tolist(), abs=1e-6)
        assert run.card["options"]["std"] == pytest.approx(std.tolist(), abs=1e-6)
        used = run.model.standardise
        assert used.mean.flatten().tolist() == pytest.approx(mean.tolist(), abs=1e-6)
        assert used.std.flatten().tolist() == pytest.approx(std.tolist(), abs=1e-6)


def test_nets_are_trained_once_and_options_make_others(plan, settings):
    said = []
    first = trained(plan, settings, say=said.append)
    assert sum("training on 64 images" in line for line in said) == 5
    said.clear()
    again = trained(plan, settings, say=said.append)
    assert not any("training on" in line for line in said)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.model.logits.weight, other.model.logits.weight)
    others = trained(plan, settings, init="keras", say=said.append)
    assert sum("training on" in line for line in said) == 5
    assert others[0].card["options"]["init"] == "keras"


def test_scores_are_of_each_net_for_each_image_in_order(plan, settings):
    runs = trained(plan, settings)
    scores = scores_of(runs, SPLITS.test)
    assert len(scores) == 5
    for run, found in zip(runs, scores, strict=True):
        assert found.shape == (30, 3)
        assert found.dtype == torch.float64
        assert found.min() >= 0
        # Summed to 1 in float32, before they became float64.
        assert torch.allclose(found.sum(1), torch.ones(30, dtype=torch.float64), atol=1e-6)
        right = (found.argmax(1) == SPLITS.test.labels).double().mean().item()
        assert right == pytest.approx(evaluate(run.model, SPLITS.test).accuracy)
    alone = scores_of(runs[:1], SPLITS.test.subset(torch.tensor([7, 3]), "two"))[0]
    assert torch.allclose(alone, scores[0][[7, 3]], atol=1e-6)
    assert not torch.allclose(scores[0], scores[1])


def test_scores_over_training_end_with_those_of_the_last_epoch(plan, settings):
    recipe = Recipe(epochs=2, batch=16, rate=1e-2, keep="last", points=(0.0, 1.0, 2.0))
    plan = plan._replace(recipes={"tiny": recipe}, five_seeds=(0,))
    (run,) = trained(plan, settings)
    found = nets.scores_over_training(run, SPLITS.test, settings)
    assert len(found) == 3
    assert torch.allclose(found[2], scores_of([run], SPLITS.test)[0], atol=1e-6)
    assert not torch.allclose(found[0], found[1])
    few = SPLITS.test.subset(torch.arange(5), "few")
    again = nets.scores_over_training(run, few, settings)
    assert torch.allclose(again[0], found[0][:5], atol=1e-6)


def test_another_dataset_than_the_run_s_has_nets_of_its_own(plan, settings, monkeypatch):
    asked = []
    monkeypatch.setattr(nets, "load", lambda other: asked.append(other.dataset) or SPLITS)
    digits = replace(settings, dataset="digits")
    test, scores = nets.scores_on("scenes", "Linear", "tiny", plan, digits)
    assert asked == ["scenes"]
    assert len(test) == len(scores[0]) == 30
    assert len(scores) == 5
