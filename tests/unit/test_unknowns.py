"""Which images are unknown to a net, and that each score is fitted on the images meant for it."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import gaussian_kde

from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.imageset import ImageSet, Splits, of_classes, without_classes
from helpers.datasets.scenes import SHAPES, scenes
from helpers.methods.density import LogitDensity
from helpers.network.models import build
from helpers.network.recipes import Recipe
from helpers.network.signatures import logits_of, to_input
from helpers.network.training import Trained
from helpers.series import nets, unknowns
from helpers.series.plan import plan_for
from helpers.series.unknowns import (
    ALIKE,
    BY_CLASS,
    HELD_OUT,
    JOINT,
    LARGEST,
    OTHERS,
    POST,
    RIVALS,
    UNLIKE,
    Heard,
    Known,
    ask,
    augmented_logits,
    cats_and_dogs,
    density_scores,
    drifted,
    elsewhere,
    fold_nets,
    hear,
    held_out,
    minus_log_density,
    pair_of,
    post_b,
    rejection_scores,
    shifted,
    some_of,
    strangers,
    unknown_to,
)
from helpers.series.yardsticks import VEHICLES

SIDE = 16


def pictures(count, classes, seed=0, side=SIDE):
    """Images of noise, each with its class's number as its first value."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(classes)
    images = torch.randint(256, (count, side, side, 3), generator=generator, dtype=torch.uint8)
    images[:, 0, 0, 0] = labels.byte()
    table = pd.DataFrame(index=range(count))
    return ImageSet(images, labels, tuple(classes), table, f"set {seed}", f"{count}-{seed}-{side}")


def splits_of(classes, sizes=(130, 40, 30, 60), side=SIDE):
    return Splits(*(pictures(n, classes, seed, side) for seed, n in enumerate(sizes)))


def classes_in(images, classes):
    return {classes[number] for number in images[:, 0, 0, 0].tolist()}


def untaught(name="LeNet5", classes=3, side=SIDE):
    return Trained(build(name, classes, seed=1, side=side).eval(), None, {"model": name}, [])


@pytest.fixture
def unnamed(settings):
    """Settings of a dataset of whose classes nothing is known."""
    return replace(settings, dataset="digits")


# Which classes


def test_cats_and_dogs_stand_for_the_post_s_where_there_are_any():
    assert pair_of(pictures(30, CLASSES)) == ("cat", "dog")
    assert pair_of(pictures(30, ("dog", "rat", "cat"))) == ("cat", "dog")
    assert pair_of(pictures(30, ("dog", "cow", "rat"))) == ("dog", "cow")
    # Five images: two dogs, two cows and one rat; without the first, the cows come first.
    few = pictures(5, ("rat", "cow", "dog")).subset([1, 2, 4, 0], "few")
    assert pair_of(few) == ("rat", "cow")


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(2, [0]), (3, [0]), (4, [1] * 4), (5, [1] * 5), (10, [2] * 5), (23, [4] * 5)],
)
def test_a_fifth_of_the_classes_is_held_out_at_a_time(count, sizes):
    names = tuple(f"class {k}" for k in range(count))
    found = held_out(names, 5)
    assert [len(each) for each in found] == sizes
    assert held_out(names, 2) == found[:2]


@given_settings(derandomize=True, deadline=None, database=None, max_examples=50)
@given(st.integers(2, 130), st.integers(1, 6))
def test_no_class_is_held_out_twice_and_most_remain(count, folds):
    names = tuple(map(str, range(count)))
    found = held_out(names, folds)
    assert 1 <= len(found) <= folds
    gone = [name for each in found for name in each]
    assert len(set(gone)) == len(gone)
    assert set(gone) <= set(names)
    assert all(count - len(each) >= max(2, 3 * count / 4) for each in found)


# Which images


@pytest.mark.parametrize("known", [("cat", "dog"), ("airplane", "bird"), CLASSES[:9]])
@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_strangers_are_all_images_of_other_classes_and_no_others(settings, known, dataset):
    data = splits_of(CLASSES)
    found = strangers(data, known, replace(settings, dataset=dataset))
    others = [images for kind, images in found.items() if kind not in ("noise", "blank")]
    together = torch.cat(others)
    assert classes_in(together, CLASSES) == set(CLASSES) - set(known)
    assert len(together) == 60 - 6 * len(known)
    rows = torch.tensor([name not in known for name in CLASSES])[data.test.labels]
    sums = [images.flatten(1).long().sum(1) for images in (together, data.test.images[rows])]
    assert sums[0].sort().values.equal(sums[1].sort().values)


def test_strangers_of_the_same_kind_come_first(settings):
    data, settings = splits_of(CLASSES), replace(settings, dataset="cifar10")
    found = strangers(data, ("cat", "dog"), settings)
    assert list(found) == [ALIKE, UNLIKE, "noise", "blank"]
    assert classes_in(found[UNLIKE], CLASSES) == set(VEHICLES)
    animals = {"bird", "deer", "frog", "horse"}
    assert classes_in(found[ALIKE], CLASSES) == animals
    # Where both kinds are known, none is left that is of another.
    assert UNLIKE not in strangers(data, ("airplane", "bird"), settings)


def test_of_scenes_there_are_shapes_that_no_net_has_seen(settings, monkeypatch):
    monkeypatch.setattr(unknowns, "HELD_OUT_SHAPES", 6)
    data = splits_of(SHAPES)
    found = strangers(data, ("disc", "ring"), settings)
    kinds = [ALIKE, UNLIKE, "held-out shapes", "noise", "blank"]
    assert list(found) == kinds
    assert classes_in(found[ALIKE], SHAPES) == {"ellipse", "crescent"}
    held = scenes(6, size=SIDE, first=28_000, held_out=True)
    assert found["held-out shapes"].equal(held.images)
    assert not set(held.classes) & set(SHAPES)
    digits = replace(settings, dataset="digits")
    assert next(iter(strangers(data, SHAPES[:9], digits))) == OTHERS
    plain = replace(settings, dataset="scenes:no-families")
    assert list(strangers(data, SHAPES, plain)) == ["noise", "blank"]


def test_photographs_are_brought_to_the_images_size(unnamed):
    place = unnamed.data_dir / "unknown" / "apples"
    place.mkdir(parents=True)
    for shade in (10, 200):
        Image.new("RGB", (40, 30), (shade, 90, 9)).save(place / f"{shade}.png")
    found = elsewhere(splits_of("ab"), unnamed)
    assert list(found) == ["photographs", "noise", "blank"]
    assert found["photographs"].shape == (2, SIDE, SIDE, 3)
    assert all(images.dtype == torch.uint8 for images in found.values())


@pytest.mark.parametrize(("count", "few"), [(60, 20), (300, 30)])
def test_noise_and_blanks_are_few_and_follow_the_seed(unnamed, count, few):
    data = splits_of("ab", (2, 2, 2, count))
    found, again = (elsewhere(data, unnamed) for _ in range(2))
    assert [len(found[kind]) for kind in ("noise", "blank")] == [few, few]
    assert all(images.equal(again[kind]) for kind, images in found.items())
    other = elsewhere(data, replace(unnamed, seed=1))
    assert not other["noise"].equal(found["noise"])


def test_what_a_net_without_some_classes_does_not_know_are_these():
    names = tuple("abcdef")
    data = splits_of(names)
    part = without_classes(data, ("e", "b"))
    found = unknown_to(part, data)
    assert list(found) == [HELD_OUT]
    assert classes_in(found[HELD_OUT], names) == {"b", "e"}
    assert len(found[HELD_OUT]) == 20
    assert unknown_to(data, data) == {}


def test_nets_of_a_fold_have_never_seen_its_classes(unnamed):
    data, said = splits_of("abcde", (60, 20, 20, 20)), []
    recipe = Recipe(epochs=1, batch=32)
    plan = plan_for(unnamed)._replace(
        recipes={"LeNet5, one minute": recipe}, seeds=(4, 5), many_seeds=(), folds=2
    )
    found = fold_nets(data, plan, unnamed, say=said.append)
    assert [names for names, _, _ in found] == [("a",), ("b",)]
    for names, part, runs in found:
        kept = [name for name in "abcde" if name not in names]
        for whole, images in zip(data, part, strict=True):
            assert list(images.classes) == kept
            assert classes_in(images.images, "abcde") == set(kept)
            assert len(images) == 4 * len(whole) // 5
        assert [run.card["seed"] for run in runs] == [4, 5]
        assert all(run.model.logits.out_features == 4 for run in runs)
        assert {run.card["train"] for run in runs} == {part.train.key}
    assert [line.split(":")[0] for line in said] == ["without a", "without b"]


def test_of_few_classes_none_is_held_out(unnamed):
    data, said = splits_of("abc", (30, 15, 15, 15)), []
    plan = plan_for(unnamed)._replace(
        recipes={"LeNet5, one minute": Recipe(epochs=1, batch=32)}, seeds=(0,)
    )
    ((names, part, runs),) = fold_nets(data, plan, unnamed, say=said.append)
    assert (names, part) == ((), data)
    assert len(runs) == 1
    assert said[0].startswith("without nothing: ")


# What a net says


@pytest.mark.parametrize("net", list(unknowns.LAST))
def test_the_layer_heard_is_what_the_last_one_reads(net):
    run, images = untaught(net), pictures(9, "abc").images
    heard = hear(run, images)
    head = run.model.logits
    again = heard.layer @ head.weight.double().T + head.bias.double()
    assert heard.logits.dtype == heard.layer.dtype == torch.float64
    assert torch.allclose(heard.logits, again, atol=1e-4)
    assert heard.logits.shape == (9, 3)


def test_a_net_is_asked_about_each_part_and_few_training_images(monkeypatch):
    monkeypatch.setattr(unknowns, "MOST_FITTED", 30)
    data, run = splits_of("abc"), untaught()
    known = ask(run, data)
    for name in ("validation", "calibration", "test"):
        alone = logits_of(run.model, getattr(data, name).images).double()
        assert torch.allclose(getattr(known, name).logits, alone, atol=1e-6)
    assert len(known.train.logits) == len(known.train_labels) == 30
    every = logits_of(run.model, data.train.images).double()
    for logits, label in zip(known.train.logits, known.train_labels, strict=True):
        (row,) = ((every - logits).abs().amax(1) < 1e-6).nonzero().flatten().tolist()
        assert data.train.labels[row] == label
    assert known.right.equal(known.test.logits.argmax(1) == data.test.labels)


@pytest.mark.parametrize("ordered", [False, True])
def test_the_few_training_images_are_of_all_classes(monkeypatch, ordered):
    monkeypatch.setattr(unknowns, "MOST_FITTED", 60)
    data = splits_of("abc")
    # As class folders have them: all of a class, then all of the next.
    rows = data.train.labels.argsort(stable=True) if ordered else torch.arange(len(data.train))
    known = ask(untaught(), data._replace(train=data.train.subset(rows, "in order")))
    assert known.train_labels.bincount(minlength=3).min() > 10


def test_some_images_are_each_taken_once_and_always_the_same():
    part = pictures(50, "abc")
    few, again, all_of_them = some_of(part, 20), some_of(part, 20), some_of(part, 99)
    assert few.images.equal(again.images)
    assert len(few.images.flatten(1).unique(dim=0)) == len(few) == 20
    assert len(all_of_them) == 50
    assert all_of_them.labels.bincount().equal(part.labels.bincount())


# Scores, on made-up logits of a made-up last layer


def made_up(count, seed, wide=12, classes=3):
    """Labels, and what a linear last layer says of groups of points about their class's mean."""
    drawn = torch.Generator().manual_seed(99)
    means = 2 * torch.randn(classes, wide, generator=drawn, dtype=torch.float64)
    head = head_of(wide, classes)
    labels = torch.arange(count) % classes
    noise = torch.Generator().manual_seed(seed)
    layer = means[labels] + torch.randn(count, wide, generator=noise, dtype=torch.float64)
    weight, bias = head.weight.detach().double(), head.bias.detach().double()
    return labels, Heard(layer @ weight.T + bias, layer)


def head_of(wide, classes):
    generator = torch.Generator().manual_seed(7)
    head = torch.nn.Linear(wide, classes)
    with torch.no_grad():
        head.weight.copy_(torch.randn(classes, wide, generator=generator))
        head.bias.copy_(torch.randn(classes, generator=generator))
    return head


def labelled(labels, classes=3):
    images = torch.zeros(len(labels), 2, 2, 3, dtype=torch.uint8)
    table = pd.DataFrame(index=range(len(labels)))
    return ImageSet(images, labels, tuple("abcdefgh"[:classes]), table, "made up", "key")


def made_up_known(seeds=(1, 2, 3, 4), sizes=(200, 90, 60, 80)):
    parts = [made_up(size, seed) for size, seed in zip(sizes, seeds, strict=True)]
    data = Splits(*(labelled(labels) for labels, _ in parts))
    train, *others = (heard for _, heard in parts)
    run = SimpleNamespace(model=SimpleNamespace(logits=head_of(12, 3)))
    return Known(run, data, train, parts[0][0], *others)


def test_there_are_four_densities_and_nine_rivals():
    known = made_up_known()
    scores = rejection_scores(known, known.test)
    assert set(scores) == {POST, BY_CLASS, JOINT, LARGEST, *RIVALS}
    assert len(RIVALS) == 9
    for score in scores.values():
        assert score.shape == (80,)
        assert score.dtype == torch.float64
        assert score.isfinite().all()


def test_densities_are_of_validation_images_and_distances_of_training_images():
    known = made_up_known()
    before = rejection_scores(known, known.test)
    densities, distances = {POST, BY_CLASS, JOINT, LARGEST}, {"k nearest", "Mahalanobis", "ViM"}
    changes = {
        (11, 2, 3, 4): distances,
        (1, 12, 3, 4): densities,
        (1, 2, 13, 4): set(),
        (1, 2, 3, 14): set(),
    }
    for seeds, expected in changes.items():
        after = rejection_scores(made_up_known(seeds), known.test)
        assert {way for way in before if not after[way].equal(before[way])} == expected


def test_what_lies_far_from_all_known_images_is_rejected_first():
    known = made_up_known()
    far = Heard(known.test.logits + 60, known.test.layer)
    scores, of_known = density_scores(known, far.logits), density_scores(known, known.test.logits)
    assert all(scores[way].min() > of_known[way].max() for way in scores)


def test_densities_are_those_of_scipy():
    labels, fitted = made_up(90, 2)
    # Classes that are not alike in number, so that their priors count.
    rows = torch.arange(90)[(labels != 2) | (torch.arange(90) < 45)]
    known = made_up_known()
    validation = Heard(fitted.logits[rows], fitted.layer[rows])
    known = known._replace(
        validation=validation, data=known.data._replace(validation=labelled(labels[rows]))
    )
    asked, seen, classes = known.test.logits, validation.logits.numpy(), labels[rows].numpy()

    def one(column, rows):
        return torch.from_numpy(gaussian_kde(seen[rows, column])(asked[:, column].numpy()))

    post = torch.stack([one(k, slice(None)) for k in range(3)], 1).mean(1)
    by_class = [
        (classes == k).mean()
        * torch.stack([one(column, classes == k) for column in range(3)]).prod(0)
        for k in range(3)
    ]
    largest = gaussian_kde(seen.max(1))(asked.amax(1).numpy())
    expected = {
        POST: post,
        BY_CLASS: torch.stack(by_class).sum(0),
        JOINT: torch.from_numpy(gaussian_kde(seen.T)(asked.T.numpy())),
        LARGEST: torch.from_numpy(largest),
    }
    found = density_scores(known, asked)
    assert set(found) == set(expected)
    for way, density in expected.items():
        assert torch.allclose(found[way], -density.log(), atol=0.03), way


def left_with(rows):
    """The made-up net with no more than these validation images of ninety."""
    labels, heard = made_up(90, 2)
    known, rows = made_up_known(), torch.as_tensor(rows)
    return known._replace(
        validation=Heard(heard.logits[rows], heard.layer[rows]),
        data=known.data._replace(validation=labelled(labels[rows])),
    )


@pytest.mark.parametrize(("label", "left"), [(2, 0), (1, 0), (0, 1)])
def test_a_class_of_hardly_any_validation_images_is_left_out(label, left):
    # Of whales, most species have one.
    others = [row for row in range(90) if row % 3 != label]
    known = left_with(others + [label] * left)
    scores = rejection_scores(known, known.test)
    assert all(score.isfinite().all() for score in scores.values())
    without = density_scores(left_with(others), known.test.logits)
    assert torch.allclose(scores[BY_CLASS], without[BY_CLASS])


def test_a_density_that_too_few_images_do_not_give_is_no_number():
    known = left_with([0, 1, 2])
    scores = density_scores(known, known.test.logits)
    assert {way for way, score in scores.items() if score.isnan().all()} == {BY_CLASS, JOINT}
    assert all(scores[way].isfinite().all() for way in (POST, LARGEST))
    assert all(score.shape == (80,) for score in scores.values())


def test_the_post_s_score_is_the_mean_density_but_finer():
    _, heard = made_up(90, 2)
    density = LogitDensity().fit(heard.logits)
    score = minus_log_density(density, heard.logits)
    assert torch.allclose(score, -density.density(heard.logits).mean(1).log(), atol=1e-2)
    far = minus_log_density(density, heard.logits[:1] + torch.tensor([[500.0], [1000.0]]))
    assert far.isfinite().all()
    assert far[0] < far[1]


# The post's faults


def test_logits_of_augmented_images_are_those_of_a_net_at_rest():
    run, images = untaught("ResNet20"), pictures(140, "abc").images
    before = copy.deepcopy(run.model.state_dict())
    plain = augmented_logits(run, images, (), seed=0)
    assert torch.allclose(plain, logits_of(run.model, images).double(), atol=1e-5)
    found, again, other = (augmented_logits(run, images, ("flip",), seed) for seed in (0, 0, 1))
    assert found.equal(again)
    assert not found.equal(other)
    same = (found - plain).abs().amax(1) < 1e-5
    assert 40 < same.sum() < 100
    assert all(tensor.equal(before[name]) for name, tensor in run.model.state_dict().items())
    # Not an inference tensor: it may be fitted to.
    assert not found.is_inference()


def test_shifted_images_are_half_as_bright_with_noise():
    grey = torch.full((1100, 8, 8, 3), 160, dtype=torch.uint8)
    found = shifted(grey, seed=0)
    assert found.shape == grey.shape
    assert found.dtype == torch.uint8
    assert found.double().mean().item() == pytest.approx(80, abs=1)
    assert found.double().std().item() == pytest.approx(20, abs=0.5)
    assert found.equal(shifted(grey, seed=0))
    assert not found.equal(shifted(grey, seed=1))
    # Neither end of the scale wraps round.
    assert shifted(torch.zeros_like(grey), 0).max() < 128
    assert shifted(torch.full_like(grey, 255), 0).min() > 0


def test_drift_moves_batch_normalisation_and_nothing_else():
    run, part = untaught("ResNet20"), pictures(140, "abc")
    before = copy.deepcopy(run.model.state_dict())
    model = drifted(run, part, ("flip",), seed=0)
    assert not model.training
    assert not any(module.training for module in model.modules())
    buffers = {name for name, _ in model.named_buffers() if "running" in name}
    batches = {name for name in before if name.endswith("num_batches_tracked")}
    assert buffers
    for name, tensor in model.state_dict().items():
        assert tensor.equal(before[name]) == (name not in buffers | batches), name
    assert all(tensor.equal(before[name]) for name, tensor in run.model.state_dict().items())
    assert all(not tensor.requires_grad or tensor.grad is None for tensor in model.parameters())
    again = drifted(run, part, ("flip",), seed=0).state_dict()
    assert all(tensor.equal(again[name]) for name, tensor in model.state_dict().items())


def test_a_net_without_batch_normalisation_does_not_drift():
    run, part = untaught("LeNet5"), pictures(40, "abc")
    moved = drifted(run, part, (), seed=0)
    assert logits_of(moved, part.images).equal(logits_of(run.model, part.images))


def test_drift_does_not_follow_the_class_that_comes_last():
    shades = torch.tensor([20, 220]).repeat_interleave(1280)
    images = shades.byte()[:, None, None, None].expand(-1, 4, 4, 3).contiguous()
    table = pd.DataFrame(index=range(len(shades)))
    part = ImageSet(images, (shades > 100).long(), ("dark", "light"), table, "shades", "key")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.BatchNorm2d(1))
    torch.nn.init.constant_(net[0].weight, 1 / 3)
    torch.nn.init.constant_(net[0].bias, -0.5)
    run = Trained(net, None, {}, [])
    means = []
    for rows in (torch.arange(2560), torch.arange(2560).flip(0)):
        moved = drifted(run, part.subset(rows, "ordered"), (), seed=0)
        means.append(moved[1].running_mean.item())
    seen = run.model[0](to_input(images)).detach()
    assert means == pytest.approx([seen.mean().item()] * 2, abs=0.3 * seen.std().item())


# Photographs of cats and dogs


def test_photographs_need_the_full_profile_and_their_files(settings):
    full = replace(settings, profile="full")
    assert cats_and_dogs(settings, plan_for(settings)) is None
    assert cats_and_dogs(full, plan_for(full)) is None


@pytest.fixture
def asked(monkeypatch):
    """What is loaded and trained, with made-up photographs and a net that is not trained."""
    calls, run = [], untaught("ResNet20x2", 2)
    data = splits_of(("cat", "dog"), (30, 8, 8, 8))
    monkeypatch.setattr(nets, "load", lambda other, **_: calls.append(other) or data)
    monkeypatch.setattr(unknowns, "train", lambda *parts, **_: calls.append(parts) or [run])
    monkeypatch.setattr(unknowns, "photographs", lambda *_, **__: pictures(3, "xyz", seed=9))
    return calls, run, data


def test_the_net_for_photographs_is_of_the_first_seed(settings, asked):
    calls, run, data = asked
    # Whatever the run's own images are.
    full = replace(settings, profile="full", dataset="digits", seed=3)
    plan, named = plan_for(full), replace(full, dataset="catdog")
    known, sets = cats_and_dogs(full, plan)
    assert calls == [named, ("ResNet20x2", "photographs", data, plan, named, (3,))]
    assert (known.run, known.data) == (run, data)
    assert known.test.logits.shape == (8, 2)
    assert list(sets) == ["photographs", "noise", "blank"]
    assert sets["photographs"].equal(pictures(3, "xyz", seed=9).images)
    calls.clear()
    assert cats_and_dogs(replace(full, profile="quick"), plan) is None
    assert calls == []


def test_without_photographs_of_neither_no_net_is_trained(settings, asked, monkeypatch):
    monkeypatch.setattr(unknowns, "photographs", lambda *_, **__: None)
    full = replace(settings, profile="full")
    assert cats_and_dogs(full, plan_for(full)) is None
    assert len(asked[0]) == 1


def test_the_post_s_net_runs_where_its_weights_lie(settings, monkeypatch, tmp_path):
    data, calls = splits_of(("cat", "dog"), (4, 4, 4, 4)), []
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(unknowns, "load", lambda *_, **how: calls.append(how["side"]) or data)
    monkeypatch.setattr(
        unknowns, "load_or_train", lambda *parts, **how: calls.append((parts, how)) or "net"
    )
    full = replace(settings, dataset="catdog", profile="full")
    plan = plan_for(full)
    assert post_b(replace(full, profile="quick"), plan) is None
    assert post_b(replace(full, dataset="cifar10"), plan) is None
    assert calls == []
    assert post_b(full, plan) == ("net", data)
    side, (parts, how) = calls
    assert side == 224
    assert parts == (
        "ResNet50",
        data.train,
        data.validation,
        plan.recipes["ResNet50, post B"],
        full,
    )
    assert how == {"seed": 0, "weights": "imagenet", "frozen": True}


def test_where_the_weights_cannot_be_had_the_post_s_net_is_none_and_it_says_why(
    settings, monkeypatch, capsys
):
    def offline(*_, **__):
        raise RuntimeError("The ImageNet weights cannot be had")

    monkeypatch.setattr(unknowns, "load", lambda *_, **__: splits_of("ab"))
    monkeypatch.setattr(unknowns, "load_or_train", offline)
    full = replace(settings, dataset="catdog", profile="full")
    assert post_b(full, plan_for(full)) is None
    assert "cannot be had" in capsys.readouterr().out


def test_two_classes_of_many_keep_their_numbers():
    data = splits_of(CLASSES)
    two = of_classes(data, pair_of(data.train))
    assert [part.labels.unique().tolist() for part in two] == [[0, 1]] * 4
    assert classes_in(two.test.images[two.test.labels == 1], CLASSES) == {"dog"}
