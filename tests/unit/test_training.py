"""Training from memory: the same loop as by hand, the same result after an interruption."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.datasets.imageset import ImageSet
from helpers.network.recipes import steps_in
from helpers.network.signatures import load_weights, to_input
from helpers.network.training import Recipe, epoch_order, evaluate, every_epoch, fit

SIDE = 8


def striped(count: int, seed: int, noise: int = 200) -> ImageSet:
    """Images of noise with one brighter channel, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    images = torch.randint(noise, (count, SIDE, SIDE, 3), generator=generator)
    images += 40 * F.one_hot(labels, 3)[:, None, None, :]
    return ImageSet(
        images=images.byte(),
        labels=labels,
        classes=("red", "green", "blue"),
        table=pd.DataFrame(index=range(count)),
        name=f"stripes {seed}",
        key=f"{count}-{seed}-{noise}",
    )


def small_net(dropout: float = 0.0, norm: bool = False, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(8 * (SIDE - 2) ** 2, 3),
        )


TRAIN, VALIDATION, TEST = striped(70, 0), striped(40, 1), striped(40, 2)
# Labels that cannot be learnt: validation accuracy goes up and down.
NOISE = replace(VALIDATION, labels=VALIDATION.labels.roll(1), key="noise")


def quietly(line: str) -> None:
    pass


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_order_is_a_permutation_of_its_own_for_each_seed_and_epoch():
    orders = [epoch_order(50, seed, epoch) for seed in (0, 1) for epoch in (1, 2)]
    assert all(torch.equal(order.sort().values, torch.arange(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(orders[0], epoch_order(50, 0, 1))


def test_fit_does_what_the_loop_by_hand_does():
    recipe = Recipe(epochs=2, batch=16, rate=1e-2, label_smoothing=0.1)
    fitted = fit(small_net(), TRAIN, VALIDATION, replace(recipe, keep="last"), 3, say=quietly)
    model, losses = small_net(), []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in (1, 2):
        for rows in epoch_order(len(TRAIN), 3, epoch).split(16):
            logits = model(to_input(TRAIN.images[rows]))
            loss = F.cross_entropy(logits, TRAIN.labels[rows], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert fitted.history.iterations["loss"].tolist() == pytest.approx(losses, rel=1e-4)
    inputs = to_input(TEST.images)
    torch.testing.assert_close(fitted.model(inputs), model(inputs), rtol=1e-3, atol=1e-4)


def test_it_learns_what_can_be_learnt():
    recipe = Recipe(epochs=6, batch=16, rate=1e-2, augment=("flip", "shift1"))
    trained = fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly)
    assert evaluate(trained.model, TEST).accuracy > 0.9
    assert trained.card["validation_accuracy"] == evaluate(trained.model, VALIDATION).accuracy


def test_evaluate_counts_every_image_and_restores_modes():
    model = small_net(dropout=0.5)
    model[0].eval()
    found = evaluate(model, TEST, batch=16)
    logits = model.eval()(to_input(TEST.images))
    assert found.loss == pytest.approx(F.cross_entropy(logits, TEST.labels).item(), rel=1e-5)
    assert found.accuracy == (logits.argmax(1) == TEST.labels).double().mean().item()
    fresh = small_net(dropout=0.5)
    fresh[0].eval()
    evaluate(fresh, TEST)
    assert (fresh[0].training, fresh[3].training) == (False, True)


def test_a_net_that_diverged_is_right_about_nothing():
    model = small_net()
    nn.init.constant_(model[5].bias, float("nan"))
    assert evaluate(model, TEST).accuracy == 0


@pytest.mark.parametrize("monitor", ["accuracy", "loss"])
def test_it_stops_when_patience_ends_and_keeps_the_best_weights(monitor):
    recipe = Recipe(epochs=40, batch=16, rate=2e-2, patience=3, monitor=monitor)
    lines = []
    model, history, card, _ = fit(small_net(), TRAIN, NOISE, recipe, say=lines.append)
    values = history.epochs[f"validation_{monitor}"]
    best = values.idxmin() if monitor == "loss" else values.idxmax()
    assert len(values) == best + 1 + 3 < 40
    assert card["best_epoch"] == card["kept_epoch"] == best + 1
    assert evaluate(model, NOISE).accuracy == history.epochs["validation_accuracy"][best]
    assert f"kept the weights of epoch {best + 1}" in lines[-1]


def test_the_last_weights_are_kept_on_demand():
    recipe = Recipe(epochs=9, batch=16, rate=2e-2, keep="last")
    model, history, card, _ = fit(small_net(), TRAIN, NOISE, recipe, say=quietly)
    assert card["best_epoch"] < card["kept_epoch"] == 9
    assert evaluate(model, NOISE).loss == pytest.approx(history.epochs["validation_loss"][8])


RESUMED = {
    "Adam, fused, one-cycle, points": Recipe(
        epochs=5, batch=16, rate=1e-2, schedule="one-cycle", augment=("flip", "shift1")
    ),
    "AdamW, bfloat16, channels last": Recipe(
        epochs=5,
        batch=16,
        optimiser="AdamW",
        options=(("weight_decay", 0.1),),
        precision="bfloat16",
        channels_last=True,
        augment=("cutout3",),
    ),
    "SGD with momentum, cosine": Recipe(
        epochs=5, batch=16, optimiser="SGD", options=(("momentum", 0.9),), schedule="cosine"
    ),
    "NAdam, a schedule by epoch": Recipe(
        epochs=5,
        batch=16,
        optimiser="NAdam",
        schedule="ReduceLROnPlateau",
        schedule_options=(("patience", 0), ("factor", 0.5)),
    ),
    "early stopping": Recipe(epochs=30, batch=16, rate=2e-2, patience=2),
}


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_training_comes_to_the_same_bits(name, tmp_path):
    recipe = replace(RESUMED[name], points=(0, 0.5, 1, 2, 2.5, 3))

    def train(folder, say=quietly):
        return fit(small_net(0.2, True), TRAIN, NOISE, recipe, 7, say=say, folder=folder)

    def stop(line):
        if line.startswith(("epoch 2 ", "epoch  2 ")):
            raise KeyboardInterrupt

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stop)
    lines = []
    resumed = train(tmp_path / "broken", lines.append)
    assert lines[0] == "going on after epoch 2"
    assert same_weights(resumed.model, whole.model)
    pd.testing.assert_frame_equal(resumed.history.iterations, whole.history.iterations)
    without = [history.drop(columns="seconds") for history in (resumed[1][0], whole[1][0])]
    pd.testing.assert_frame_equal(*without)
    assert resumed.card["best_epoch"] == whole.card["best_epoch"]
    for (point, one), (_, other) in zip(resumed.points, whole.points, strict=True):
        assert one.read_bytes() == other.read_bytes(), point


def test_a_training_that_is_done_is_not_trained_further(tmp_path):
    recipe = Recipe(epochs=30, batch=16, rate=2e-2, patience=2)
    first = fit(small_net(), TRAIN, NOISE, recipe, say=quietly, folder=tmp_path)
    again = fit(small_net(), TRAIN, NOISE, recipe, say=quietly, folder=tmp_path)
    pd.testing.assert_frame_equal(first.history.epochs, again.history.epochs)
    assert same_weights(first.model, again.model)


@pytest.mark.parametrize("change", ["seed", "data", "start", "recipe"])
def test_the_state_of_another_training_is_not_gone_on_from(change, tmp_path):
    recipe = Recipe(epochs=2, batch=16)
    fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly, folder=tmp_path)
    seed, data, start, other = 0, TRAIN, small_net, recipe
    if change == "seed":
        seed = 1
    elif change == "data":
        data = striped(70, 5)
    elif change == "start":
        start = lambda: small_net(seed=1)  # noqa: E731
    else:
        other = replace(recipe, rate=2e-3)
    lines = []
    found = fit(start(), data, VALIDATION, other, seed, say=lines.append, folder=tmp_path)
    assert "beginning anew" in lines[0]
    alone = fit(start(), data, VALIDATION, other, seed, say=quietly)
    assert same_weights(found.model, alone.model)


@pytest.mark.parametrize("length", [0, 100, -200])
def test_a_damaged_state_is_not_gone_on_from(length, tmp_path):
    recipe = Recipe(epochs=2, batch=16)
    first = fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly, folder=tmp_path)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:length])
    lines = []
    again = fit(small_net(), TRAIN, VALIDATION, recipe, say=lines.append, folder=tmp_path)
    assert "damaged" in lines[0]
    assert same_weights(first.model, again.model)


def test_points_are_the_weights_at_their_times(tmp_path):
    recipe = Recipe(epochs=12, batch=16, keep="last", points=every_epoch(12, within=(0.2, 0.5)))
    trained = fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly, folder=tmp_path)
    assert [point for point, _ in trained.points] == [0, 0.2, 0.5, *range(1, 13)]
    files = [file for _, file in trained.points]
    assert files == sorted(files)
    nets = {}
    for point, file in trained.points:
        nets[point] = small_net(seed=9)
        load_weights(nets[point], file)
    assert same_weights(nets[0], small_net())
    assert same_weights(nets[12], trained.model)
    # 0.2 of the five batches of an epoch is the first.
    loss = F.cross_entropy(
        nets[0.2](to_input(rows_of(TRAIN, 1, 1))), TRAIN.labels[epoch_order(70, 0, 1)[16:32]]
    )
    assert loss.item() == pytest.approx(trained.history.iterations["loss"][1], rel=1e-5)


def rows_of(imageset: ImageSet, epoch: int, batch: int) -> torch.Tensor:
    return imageset.images[epoch_order(len(imageset), 0, epoch).split(16)[batch]]


def test_points_below_one_iteration_are_not_the_untrained_net(tmp_path):
    recipe = Recipe(epochs=1, points=(0, 0.125, 1))
    points = fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly, folder=tmp_path).points
    untrained, early, last = (file.read_bytes() for _, file in points)
    assert untrained != early == last


def test_a_watched_set_is_recorded_and_chooses_nothing():
    recipe = Recipe(epochs=3, batch=16)
    watched = fit(small_net(), TRAIN, VALIDATION, recipe, watch={"test": TEST}, say=quietly)
    alone = fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly)
    assert same_weights(watched.model, alone.model)
    last = fit(small_net(), TRAIN, VALIDATION, replace(recipe, keep="last"), say=quietly)
    expected = evaluate(last.model, TEST).accuracy
    assert watched.history.epochs["test_accuracy"].tolist()[-1] == expected


def test_dropout_follows_the_seed_and_leaves_the_global_state_alone():
    recipe = Recipe(epochs=2, batch=16)
    results = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        results.append(fit(small_net(0.5), TRAIN, VALIDATION, recipe, say=quietly).model)
        assert torch.equal(before, torch.get_rng_state())
    assert same_weights(*results)
    other = fit(small_net(0.5), TRAIN, VALIDATION, recipe, seed=1, say=quietly)
    assert not same_weights(results[0], other.model)


def test_the_training_loss_is_that_of_all_images_however_they_fall_into_batches():
    still = Recipe(epochs=1, batch=16, rate=1e-12)
    rows = fit(small_net(), TRAIN, VALIDATION, still, say=quietly).history
    expected = evaluate(small_net(), TRAIN)
    assert rows.epochs["train_loss"][0] == pytest.approx(expected.loss, rel=1e-5)
    assert rows.epochs["train_accuracy"][0] == pytest.approx(expected.accuracy)
    assert len(rows.iterations) == 5


def test_a_small_last_batch_can_be_dropped_and_a_set_smaller_than_a_batch_is_one():
    assert steps_in(Recipe(epochs=1, batch=16), 70) == 5
    dropped = Recipe(epochs=1, batch=16, drop_last=True)
    assert len(fit(small_net(), TRAIN, TEST, dropped, say=quietly).history.iterations) == 4
    one = replace(dropped, batch=512)
    assert len(fit(small_net(), TRAIN, TEST, one, say=quietly).history.iterations) == 1


def rates(**choices) -> list[float]:
    recipe = Recipe(epochs=4, batch=16, optimiser="SGD", rate=0.1, **choices)
    return fit(small_net(), TRAIN, TEST, recipe, say=quietly).history.iterations["rate"].tolist()


def test_schedules():
    assert rates() == pytest.approx([0.1] * 20)
    cosine = rates(schedule="cosine")
    assert cosine[0] == pytest.approx(0.1)
    assert cosine[10] == pytest.approx(0.05)
    assert 0 < cosine[-1] < 0.001
    cycle = rates(schedule="one-cycle", schedule_options=(("pct_start", 0.5),))
    assert max(cycle) == pytest.approx(0.1, rel=0.01)
    assert cycle.index(max(cycle)) in (9, 10)
    assert cycle[-1] < 1e-4
    steps = rates(schedule="StepLR", schedule_options=(("step_size", 2), ("gamma", 0.5)))
    assert steps == pytest.approx([0.1] * 10 + [0.05] * 10)


def test_precision_and_layout_are_those_of_the_recipe():
    seen = []
    model = small_net()
    model[0].register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    recipe = Recipe(epochs=1, batch=70, precision="bfloat16", channels_last=True)
    fit(model, TRAIN, VALIDATION, recipe, say=quietly)
    (inputs, output), (_, judged) = seen
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert output.dtype == torch.bfloat16
    assert judged.dtype == torch.float32
    assert model[0].weight.is_contiguous()


def test_each_epoch_augments_anew():
    seen = []
    model = small_net()
    model[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    recipe = Recipe(epochs=2, batch=70, augment=("flip",))
    fit(model, TRAIN, VALIDATION, recipe, say=quietly)
    flipped = []
    for epoch, inputs in ((1, seen[0]), (2, seen[2])):
        originals = to_input(TRAIN.images[epoch_order(70, 0, epoch)])
        flipped.append((inputs != originals).flatten(1).any(1))
    assert all(20 < flips.sum() < 50 for flips in flipped)
    # By place in the batch: the images that stand there differ anyway.
    assert not torch.equal(*flipped)


def test_frozen_parameters_stay():
    model, fresh = small_net(), small_net()
    model[0].requires_grad_(False)
    fit(model, TRAIN, VALIDATION, Recipe(epochs=1, batch=16), say=quietly)
    assert torch.equal(model[0].weight, fresh[0].weight)
    assert not torch.equal(model[5].weight, fresh[5].weight)


def test_a_loss_that_is_no_number_names_its_place():
    model = small_net()

    def spoil(layer, inputs, output):
        spoil.batches += 1
        return output * (float("nan") if spoil.batches == 9 else 1)

    # Five training batches and one of validation an epoch: the ninth pass is epoch 2, batch 3.
    spoil.batches = 0
    model.register_forward_hook(spoil)
    with pytest.raises(FloatingPointError, match=r"nan in epoch 2, iteration 3 of 5; .* 0\.01"):
        fit(model, TRAIN, VALIDATION, Recipe(epochs=3, batch=16, rate=0.01), say=quietly)


def test_weights_spoilt_by_the_last_iteration_are_noticed():
    recipe = Recipe(epochs=1, batch=128, optimiser="SGD", rate=1e38)
    with pytest.raises(FloatingPointError, match=r"validation loss is .* in epoch 1, after"):
        fit(small_net(), TRAIN, VALIDATION, recipe, say=quietly)


@pytest.mark.parametrize(("epochs", "patience"), [(4, None), (10, None), (47, None), (60, 60)])
def test_a_long_training_says_little(epochs, patience):
    lines = []
    recipe = Recipe(epochs=epochs, batch=512, patience=patience, keep="last")
    fit(small_net(), striped(8, 0), VALIDATION, recipe, say=lines.append)
    assert min(epochs, 9) <= len(lines) <= 11
    assert lines[-1].startswith(f"epoch {epochs} of {epochs}: training loss ")
    assert "validation " in lines[-1]


def test_sets_that_do_not_fit_together_are_refused(tmp_path):
    recipe = Recipe(epochs=1)
    with pytest.raises(ValueError, match="stripes 1 has other classes than stripes 0"):
        fit(small_net(), TRAIN, replace(VALIDATION, classes=("a", "b", "c")), recipe)
    with pytest.raises(ValueError, match="stripes 1, none holds no images"):
        fit(small_net(), TRAIN, VALIDATION.subset([], "none"), recipe)
    with pytest.raises(ValueError, match="needs a folder"):
        fit(small_net(), TRAIN, VALIDATION, replace(recipe, points=(1,)))
    for taken in ("train", "validation"):
        with pytest.raises(ValueError, match=f"cannot be called {taken}"):
            fit(small_net(), TRAIN, VALIDATION, recipe, watch={taken: TEST})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1, not 0"),
        ({"batch": 12.5}, "batch"),
        ({"patience": 0}, "patience"),
        ({"rate": 0}, "rate must be above 0"),
        ({"rate": float("nan")}, "rate"),
        ({"optimiser": "Adamant"}, "optimiser 'Adamant' is no class of torch.optim"),
        ({"optimiser": "LBFGS"}, "LBFGS"),
        ({"options": (("weightdecay", 1),)}, "Adam takes no option weightdecay"),
        ({"schedule": "onecycle"}, "schedule 'onecycle'"),
        ({"schedule": "StepLR", "schedule_options": (("steps", 1),)}, "StepLR takes no option"),
        ({"monitor": "f1"}, "monitor must be one of"),
        ({"keep": "first"}, "keep"),
        ({"precision": "float16"}, "precision"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"augment": "flip"}, "augment must be a tuple"),
        ({"augment": ("flip", "spin")}, "no augmentation 'spin'"),
        ({"points": (1, 0)}, "points must rise"),
        ({"points": (0, 11)}, "points must rise from 0 to at most 10"),
    ],
)
def test_a_recipe_refuses_what_makes_no_sense(wrong, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**{"epochs": 10, **wrong})
