"""Nets of five seeds: alike but for the seed, kept on disk, and scores that are distributions."""

import json
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from helpers.datasets.imageset import ImageSet, Splits
from helpers.network import signatures as network_signatures
from helpers.network.checkpoints import SHIPPED, read_finished
from helpers.network.models import channel_moments
from helpers.network.recipes import every_epoch
from helpers.network.signatures import load_weights, logits_of
from helpers.network.training import Recipe, evaluate, load_or_train, shipped
from helpers.series import nets
from helpers.series.nets import (
    as_it_ended,
    deep,
    posts_cnn,
    scores_of,
    signatures_at,
    small_cnn,
    spread_points,
    train,
    untrained,
)
from helpers.series.plan import full_recipes, plan_for

SIDE, CLASSES = 8, ("red", "green", "blue")


def coloured(count: int, seed: int, side: int = SIDE) -> ImageSet:
    """Images of noise with one brighter channel, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    images = torch.randint(150 + 10 * seed, (count, side, side, 3), generator=generator)
    images += 25 * torch.nn.functional.one_hot(labels, len(CLASSES))[:, None, None, :]
    table = pd.DataFrame(index=range(count))
    return ImageSet(
        images.byte(),
        labels,
        CLASSES,
        table,
        f"colours {seed}",
        f"{count}-{seed}" + f"-{side}" * (side != SIDE),
    )


def splits_of(side: int) -> Splits:
    return Splits(*(coloured(count, seed, side) for seed, count in enumerate((64, 24, 9, 30))))


SPLITS = splits_of(SIDE)


@pytest.fixture
def plan(settings):
    return plan_for(settings)._replace(recipes={"tiny": Recipe(epochs=1, batch=16, rate=1e-2)})


def trained(plan, settings, **options):
    return train("Linear", "tiny", SPLITS, plan, settings, **options)


def test_there_is_a_net_of_each_of_many_seeds(plan, settings):
    settings = replace(settings, seed=3)
    plan = plan._replace(many_seeds=plan_for(settings).many_seeds)
    runs = trained(plan, settings)
    assert [run.card["seed"] for run in runs] == [3, 4, 5]
    weights = [run.model.logits.weight for run in runs]
    assert all(not torch.equal(weights[i], weights[j]) for i in range(3) for j in range(i))
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
    assert sum("training on 64 images" in line for line in said) == 3
    said.clear()
    again = trained(plan, settings, say=said.append)
    assert not any("training on" in line for line in said)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.model.logits.weight, other.model.logits.weight)
    others = trained(plan, settings, init="keras", say=said.append)
    assert sum("training on" in line for line in said) == 3
    assert others[0].card["options"]["init"] == "keras"


def test_scores_are_of_each_net_for_each_image_in_order(plan, settings):
    runs = trained(plan, settings)
    scores = scores_of(runs, SPLITS.test)
    assert len(scores) == 3
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
    plan = plan._replace(recipes={"tiny": recipe}, many_seeds=(0,))
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
    assert len(scores) == 3


# What a net was before, and on the way


KEPT = Recipe(epochs=2, batch=16, rate=1e-2, keep="last", points=(0.0, 1.0, 2.0))


def one_run(plan, settings, recipe=KEPT, net="Linear", side=SIDE):
    plan = plan._replace(recipes={"tiny": recipe}, many_seeds=(3,))
    (run,) = train(net, "tiny", splits_of(side), plan, settings)
    return run


def weights_of(net):
    return torch.cat([tensor.flatten() for tensor in net.state_dict().values()])


@pytest.mark.parametrize(("net", "side"), [("Linear", SIDE), ("LeNet5", 16), ("LeNet5", 32)])
def test_the_untrained_net_is_the_one_that_training_began_with(plan, settings, net, side):
    run = one_run(plan, settings, net=net, side=side)
    after = weights_of(run.model)
    before = untrained(run, splits_of(side).test)
    assert torch.equal(weights_of(run.model), after)
    assert not torch.equal(weights_of(before), after)
    load_weights(run.model, run.points[0][1])
    assert torch.equal(weights_of(before), weights_of(run.model))


def test_an_untrained_net_needs_no_kept_points(plan, settings):
    kept, alone = one_run(plan, settings), one_run(plan, settings, replace(KEPT, points=()))
    assert not alone.points
    first, second = (untrained(run, SPLITS.test) for run in (kept, alone))
    assert torch.equal(weights_of(first), weights_of(second))


def test_a_run_as_it_ended_has_the_weights_of_its_last_point(plan, settings):
    run = one_run(plan, settings)
    last = weights_of(run.model)
    load_weights(run.model, run.points[1][1])
    assert not torch.equal(weights_of(run.model), last)
    assert torch.equal(weights_of(as_it_ended(run).model), last)


def test_signatures_at_points_are_those_of_the_net_there(plan, settings):
    run = one_run(plan, settings)
    before = weights_of(run.model)
    found = signatures_at(run, SPLITS.test, ["flatten", "logits"], settings)
    assert list(found) == [0, 1, 2]
    assert torch.equal(weights_of(run.model), before)
    for epoch, model in ((0, untrained(run, SPLITS.test)), (2, run.model)):
        assert torch.allclose(found[epoch].logits, logits_of(model, SPLITS.test.images), atol=1e-6)
        assert set(found[epoch].layers) == {"flatten", "logits"}
        # Layers are kept with half the digits.
        assert torch.allclose(found[epoch].layers["logits"], found[epoch].logits, atol=1e-2)
    assert not torch.allclose(found[0].logits, found[1].logits, atol=5e-2)
    few = SPLITS.test.subset(torch.tensor([4, 2]), "two")
    alone = signatures_at(run, few, ["flatten", "logits"], settings)
    assert torch.allclose(alone[1].logits, found[1].logits[[4, 2]], atol=1e-6)


def test_signatures_at_points_are_made_once_for_the_same_layers(plan, settings, monkeypatch):
    run = one_run(plan, settings)
    made, make = [], network_signatures.signatures
    monkeypatch.setattr(
        network_signatures, "signatures", lambda *a, **o: made.append(a[2]) or make(*a, **o)
    )
    first = signatures_at(run, SPLITS.test, ["flatten"], settings)
    assert made == [["flatten"]] * 3
    # Of other layers beside them, so that neither takes the other's place.
    signatures_at(run, SPLITS.test, ["logits"], settings)
    again = signatures_at(run, SPLITS.test, ["flatten"], settings)
    assert len(made) == 6
    assert all(torch.equal(first[epoch].logits, again[epoch].logits) for epoch in (0, 1, 2))


def test_signatures_of_a_long_training_are_at_twelve_points(plan, settings):
    run = one_run(plan, settings, replace(KEPT, epochs=15, points=every_epoch(15)))
    found = signatures_at(run, SPLITS.test, [], settings)
    assert len(run.points) == 19
    assert list(found) == [0, 0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 11, 15]


def at_epochs(epochs):
    return [(float(epoch), f"file of {epoch}") for epoch in epochs]


def test_points_are_those_of_the_first_epochs_and_fewer_later():
    epochs = [epoch for epoch, _ in spread_points(at_epochs(every_epoch(40)))]
    assert epochs == [0, 0.125, 0.25, 0.5, 1, 2, 3, 5, 8, 14, 24, 40]
    few = at_epochs(every_epoch(6))
    assert spread_points(few) == few
    assert spread_points([]) == []


def test_many_early_points_leave_the_last():
    early = [step / 8 for step in range(17)]
    assert spread_points(at_epochs([*early, 3, 9])) == at_epochs([*early, 9])
    assert spread_points(at_epochs([*early[:11], 3, 4, 9])) == at_epochs([*early[:11], 9])
    assert spread_points(at_epochs(early)) == at_epochs(early)


@hypothesis_settings(derandomize=True, deadline=None, database=None, max_examples=50)
@given(st.sets(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 15))
def test_points_keep_their_order_and_both_ends(eighths, most):
    points = at_epochs(step / 8 for step in sorted(eighths))
    early = [point for point in points if point[0] <= 2]
    found = spread_points(points, most)
    assert found == sorted(set(found))
    assert set(early) | {points[-1]} <= set(found) <= set(points)
    assert len(found) <= max(most, len(early) + 1)


# SmallCNN as notebook 01 trains it


def test_the_small_cnn_is_the_one_that_ships_for_cifar_10(plan, settings, monkeypatch):
    asked = {}
    monkeypatch.setattr(nets, "load_or_train", lambda *parts, **rest: asked.update(rest, of=parts))
    recipe = full_recipes(("flip", "shift2"))["SmallCNN, ours"]
    small_cnn(SPLITS, plan._replace(recipes={"SmallCNN, ours": recipe}, seeds=(0, 1)), settings)
    cards = [read_finished(folder)[0] for folder in SHIPPED.glob("SmallCNN-0-*")]
    (card,) = [card for card in cards if "mean" in card["options"]]
    as_lists = json.loads(json.dumps(asdict(recipe)))
    assert (card["model"], card["recipe"]) == ("SmallCNN", as_lists)
    assert asked.pop("of") == ("SmallCNN", *SPLITS[:2], recipe, settings)
    assert asked.pop("seed") == card["seed"]
    assert list(asked.pop("watch")) == list(card["watched"])
    assert asked.keys() == card["options"].keys()
    assert asked["init"] == card["options"]["init"]


def test_the_small_cnn_is_trained_once_for_both_notebooks(plan, settings):
    splits, recipe = splits_of(10), Recipe(epochs=1, batch=16, rate=1e-2)
    run = small_cnn(splits, plan._replace(recipes={"SmallCNN, ours": recipe}, seeds=(5,)), settings)
    mean, std = channel_moments(splits.train.images)
    options = {"watch": {"test": splits.test}, "init": "keras", "mean": mean, "std": std}
    parts, said = (splits.train, splits.validation, recipe, settings), []
    again = load_or_train("SmallCNN", *parts, seed=5, say=said.append, **options)
    assert "loaded" in said[0]
    assert torch.equal(weights_of(run.model), weights_of(again.model))


def test_signatures_may_be_had_at_every_kept_point(plan, settings):
    recipe = Recipe(epochs=14, batch=64, rate=1e-2, points=every_epoch(14))
    plan = plan._replace(recipes={"tiny": recipe}, many_seeds=(0,))
    (run,) = trained(plan, settings)
    some = signatures_at(run, SPLITS.test, [], settings)
    every = signatures_at(run, SPLITS.test, [], settings, most=None)
    assert list(every) == [epoch for epoch, _ in run.points]
    assert len(some) == 12 < len(every)
    assert all(torch.equal(some[epoch].logits, every[epoch].logits) for epoch in some)


def test_other_seeds_may_be_asked_for_and_give_the_same_nets(plan, settings):
    some, said = train("Linear", "tiny", SPLITS, plan, settings, (2, 1)), []
    assert [run.card["seed"] for run in some] == [2, 1]
    many = trained(plan, settings, say=said.append)
    assert sum("training on" in line for line in said) == 1
    for run in some:
        same = many[run.card["seed"]]
        assert torch.equal(weights_of(run.model), weights_of(same.model))


def test_the_deep_net_is_of_the_seeds_that_the_plan_has_for_it(plan, settings):
    settings = replace(settings, dataset="digits")
    recipe = Recipe(epochs=1, batch=64, rate=1e-2)
    plan = plan._replace(recipes={"ResNet20": recipe}, seeds=(6, 2))
    runs, said = deep(SPLITS, plan, settings), []
    assert [(run.card["model"], run.card["seed"]) for run in runs] == [
        ("ResNet20", 6),
        ("ResNet20", 2),
    ]
    assert runs[0].card["recipe"] == json.loads(json.dumps(asdict(recipe)))
    mean, std = channel_moments(SPLITS.train.images)
    assert runs[0].card["options"] == {"mean": list(mean), "std": list(std)}
    parts = (SPLITS.train, SPLITS.validation, recipe, settings)
    load_or_train("ResNet20", *parts, seed=2, say=said.append, mean=mean, std=std)
    assert "loaded" in said[0]


def test_quick_takes_the_deep_nets_of_all_images_where_they_ship(plan, settings, monkeypatch):
    whole, quick = (Recipe(epochs=n, batch=64, rate=1e-2) for n in (2, 1))
    full = plan._replace(recipes={"ResNet20, scenes": whole})
    few = plan._replace(recipes={"ResNet20, scenes": quick}, seeds=(3, 1))
    monkeypatch.setattr(nets, "load", lambda *args, **rest: SPLITS)
    monkeypatch.setattr(nets, "plan_for", lambda asked: full if asked.full else few)
    some = Splits(*(part.subset(range(len(part) // 2), "some") for part in SPLITS))

    def epochs():
        return [run.card["epochs"] for run in deep(some, few, settings)]

    assert epochs() == [1, 1]
    train("ResNet20", "ResNet20, scenes", SPLITS, full, settings, (1,))
    assert epochs() == [2]
    train("ResNet20", "ResNet20, scenes", SPLITS, full, settings, (3,))
    assert epochs() == [2, 2]


def official(splits: Splits, column: str = "official_index") -> Splits:
    return Splits(*(replace(x, table=pd.DataFrame({column: range(len(x))})) for x in splits))


def test_deep_nets_of_the_jpeg_copy_stand_in_for_the_official_cifar_10(
    plan, settings, monkeypatch, capsys
):
    settings = replace(settings, dataset="cifar10")
    monkeypatch.setattr(nets, "load", lambda *args, **rest: official(SPLITS))
    runs = deep(SPLITS, plan, settings)
    assert [run.card["seed"] for run in runs] == list(plan.seeds)
    assert {run.card["sets"]["train"][0] for run in runs} == {"CIFAR-10 (JPEG copy), train"}
    assert capsys.readouterr().out.count("trained on a JPEG copy") == 1


@pytest.mark.parametrize(("dataset", "column"), [("cifar10", "part"), ("scenes", "official_index")])
def test_they_do_not_where_images_may_lie_in_another_order(
    plan, settings, monkeypatch, dataset, column
):
    recipe = Recipe(epochs=1, batch=64, rate=1e-2)
    plan = plan._replace(recipes=dict.fromkeys(("ResNet20", "ResNet20, scenes"), recipe))
    monkeypatch.setattr(nets, "load", lambda *args, **rest: official(SPLITS, column))
    runs = deep(SPLITS, plan, replace(settings, dataset=dataset))
    assert {run.card["epochs"] for run in runs} == {1}


def test_a_net_that_ships_is_of_the_recipe_and_the_seed_asked_for(settings):
    recipe = full_recipes(("flip", "shift4"))["ResNet20"]
    found = shipped("ResNet20", recipe, nets.COPY, settings, seed=1)
    assert (found.card["model"], found.card["seed"], found.card["epochs"]) == ("ResNet20", 1, 60)
    assert shipped("ResNet20", recipe, "CIFAR-10, train", settings) is None
    assert shipped("ResNet20", recipe, nets.COPY, settings, seed=9) is None
    assert shipped("ResNet20", replace(recipe, rate=0.1), nets.COPY, settings) is None


# SmallCNN by post E's recipe


def test_the_posts_cnn_is_the_one_that_ships_for_cifar_10(plan, settings, monkeypatch):
    asked = []
    monkeypatch.setattr(nets, "load_or_train", lambda *parts, **rest: asked.append((parts, rest)))
    recipe = full_recipes(("flip", "shift2"))["SmallCNN, post E"]
    plan = plan._replace(recipes={"SmallCNN, post E": recipe}, seeds=(0, 1, 2))
    posts_cnn(SPLITS, plan, settings)
    cards = [read_finished(folder)[0] for folder in sorted(SHIPPED.glob("SmallCNN-*"))]
    as_lists = json.loads(json.dumps(asdict(recipe)))
    cards = [card for card in cards if card["options"] == {"init": "keras"}]
    cards = [card for card in cards if card["recipe"] == as_lists]
    assert [card["seed"] for card in cards] == [rest.pop("seed") for _, rest in asked]
    for card, (parts, rest) in zip(cards, asked, strict=True):
        assert parts == ("SmallCNN", *SPLITS[:2], recipe, settings)
        assert list(rest.pop("watch")) == list(card["watched"])
        assert rest == card["options"]


def test_the_posts_cnn_with_dropout_is_another_net_and_found_again(plan, settings):
    splits, recipe = splits_of(10), Recipe(epochs=1, batch=16, rate=1e-2)
    plan = plan._replace(recipes={"SmallCNN, post E": recipe}, seeds=(5,))
    (plain,) = posts_cnn(splits, plan, settings)
    (dropped,) = posts_cnn(splits, plan, settings, dropout=0.5)
    assert "dropout" not in plain.card["options"]
    assert dropped.card["options"] == {"init": "keras", "dropout": 0.5}
    assert not torch.equal(weights_of(plain.model), weights_of(dropped.model))
    begun = [untrained(run, splits.test) for run in (plain, dropped)]
    assert torch.equal(*map(weights_of, begun))
    assert begun[1].dropout2.p == 0.5
    said = []
    (again,) = posts_cnn(splits, plan, settings, dropout=0.5, say=said.append)
    assert "loaded" in said[0]
    assert again.model.dropout1.p == 0.5
    assert torch.equal(weights_of(again.model), weights_of(dropped.model))
