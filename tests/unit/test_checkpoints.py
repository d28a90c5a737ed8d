"""Load or train: what has been trained is read back, and what is damaged is trained again."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torchvision.models import resnet18

from helpers.datasets.imageset import ImageSet
from helpers.network import checkpoints, models
from helpers.network.checkpoints import key_of, read_finished, read_state, write_state
from helpers.network.signatures import load_weights, read_tensors, save_tensors
from helpers.network.training import Recipe, load_or_train

SIDE = 16


def noise(count: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    return ImageSet(
        images=torch.randint(256, (count, SIDE, SIDE, 3), generator=generator).byte(),
        labels=torch.arange(count) % 2,
        classes=("one", "other"),
        table=pd.DataFrame(index=range(count)),
        name=f"noise {seed}",
        key=f"noise-{count}-{seed}",
    )


TRAIN, VALIDATION = noise(24, 0), noise(12, 1)
RECIPE = Recipe(epochs=2, batch=8, rate=1e-2, points=(0, 0.5, 2))


@pytest.fixture
def train(settings, monkeypatch, tmp_path):
    """Load or train in this test's own folders; gives what came of it and the lines said."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")

    def run(recipe=RECIPE, train=TRAIN, validation=VALIDATION, settings=settings, **more):
        lines = []
        say = more.pop("say", lines.append)
        options = {"side": SIDE, **more}
        found = load_or_train("LeNet5", train, validation, recipe, settings, say=say, **options)
        return found, lines

    return run


def folder_of(trained) -> Path:
    return trained.points[0][1].parents[1]


def same(one, other) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_second_time_it_is_read_from_disk(train):
    first, said = train()
    second, lines = train()
    assert said[0] == "LeNet5 (seed 0): training on 24 images"
    assert len(lines) == 1
    accuracy = 100 * first.card["validation_accuracy"]
    assert lines[0].startswith("LeNet5 (seed 0): loaded, trained in ")
    assert lines[0].endswith(f"validation {accuracy:.1f} %")
    assert same(first, second)
    assert second.card == first.card
    assert not second.model.training
    for one, other in zip(first.history, second.history, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert [point for point, _ in second.points] == [0, 0.5, 2]
    load_weights(second.model, second.points[2][1])


def test_what_is_on_disk_is_read_without_imagenet_weights(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")
    downloads = [resnet18().state_dict()]
    monkeypatch.setattr(models, "_imagenet_state", lambda weights: downloads.pop())
    asked = ("ResNet18", TRAIN, VALIDATION, Recipe(epochs=1, batch=12), settings)
    ask = partial(load_or_train, *asked, say=str, side=32, weights="imagenet")
    first = ask()
    assert downloads == []
    assert same(first, ask())


def test_everything_that_changes_the_result_changes_the_key(train, settings):
    folders = {folder_of(train()[0]).name}
    changes = [
        {"seed": 1},
        {"init": "keras"},
        {"recipe": replace(RECIPE, rate=2e-2)},
        {"recipe": replace(RECIPE, options=(("weight_decay", 0.1),))},
        {"train": noise(24, 2)},
        {"validation": noise(12, 2)},
        {"watch": {"test": noise(12, 3)}},
    ]
    for change in changes:
        trained, lines = train(**change)
        assert "training on" in lines[0], change
        folders.add(folder_of(trained).name)
    assert len(folders) == 1 + len(changes)


def test_where_it_is_trained_does_not_change_the_key(train, settings, tmp_path):
    elsewhere = replace(settings, cache_dir=tmp_path / "elsewhere", data_dir=tmp_path / "other")
    names = {folder_of(train()[0]).name, folder_of(train(settings=elsewhere)[0]).name}
    renamed = replace(TRAIN, name="the same images")
    names.add(folder_of(train(train=renamed)[0]).name)
    assert len(names) == 1


def test_keys_do_not_depend_on_the_order_of_names():
    assert key_of({"a": 1, "b": (2, 3)}) == key_of({"b": [2, 3], "a": 1}) != key_of({"a": 1})


def test_the_card_says_what_was_done(train, tmp_path):
    trained, _ = train(watch={"test": noise(12, 3)})
    text = (folder_of(trained) / "weights.json").read_text()
    card = json.loads(text)
    assert card["model"] == "LeNet5"
    assert card["options"] == {"side": SIDE}
    assert (card["seed"], card["epochs"], card["recipe"]["rate"]) == (0, 2, 1e-2)
    assert card["train"] == TRAIN.key
    assert card["watched"] == {"test": "noise-12-3"}
    assert card["sets"]["validation"] == ["noise 1", 12]
    best = trained.history.epochs["validation_accuracy"].max()
    assert (card["validation_accuracy"], card["validation_images"]) == (best, 12)
    assert card["torch"] == torch.__version__
    assert str(tmp_path) not in text


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["weights.safetensors", "iterations.parquet", "points"])
@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
def test_what_is_damaged_is_trained_again(train, name, damage):
    first, _ = train()
    damage(first.points[1][1] if name == "points" else folder_of(first) / name)
    second, lines = train()
    assert lines[0].startswith("training again: LeNet5-0-")
    assert lines[1] == "LeNet5 (seed 0): training on 24 images"
    assert same(first, second)
    assert len(train()[1]) == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": "0"'])
def test_a_damaged_card_is_no_card(train, text):
    first, _ = train()
    (folder_of(first) / "weights.json").write_text(text)
    second, lines = train()
    assert lines[0].startswith("training again: ")
    assert same(first, second)


def test_what_was_interrupted_goes_on(train, settings):
    def stop(line):
        if line.startswith("epoch 1 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(say=stop)
    resumed, lines = train()
    assert "going on after epoch 1" in lines
    assert [path.name for path in (settings.cache_dir / "trained").iterdir()] == [
        folder_of(resumed).name
    ]
    whole, _ = train(settings=replace(settings, cache_dir=settings.cache_dir / "other"))
    assert same(resumed, whole)


def shipped_from(trained) -> Path:
    folder = folder_of(trained)
    return Path(shutil.copytree(folder, checkpoints.SHIPPED / folder.name))


def test_checkpoints_that_ship_come_first(train, settings):
    first, _ = train()
    shipped_from(first)
    shutil.rmtree(settings.cache_dir)
    second, lines = train()
    assert len(lines) == 1
    assert same(first, second)
    assert checkpoints.SHIPPED in second.points[0][1].parents
    assert not settings.cache_dir.exists()


def test_a_damaged_checkpoint_that_ships_is_left_as_it_is(train, settings):
    first, _ = train()
    weights = shipped_from(first) / "weights.safetensors"
    shutil.rmtree(settings.cache_dir)
    flip_a_bit(weights)
    before = weights.read_bytes()
    second, lines = train()
    assert "is damaged: weights.safetensors" in lines[0]
    assert weights.read_bytes() == before
    assert settings.cache_dir in second.points[0][1].parents


def test_of_two_that_finish_the_first_stays_whole(train):
    def train_meanwhile(line):
        if line.startswith("epoch 2 "):
            train_meanwhile.other = train()[0]

    late, _ = train(say=train_meanwhile)
    other = train_meanwhile.other
    assert folder_of(late) == folder_of(other)
    assert late.card == other.card
    assert same(late, other)
    read_finished(folder_of(late))


def test_an_interrupted_write_leaves_the_state_before(tmp_path):
    write_state(tmp_path, {"epoch": 1})
    with pytest.raises(TypeError, match="generator"):
        write_state(tmp_path, {"epoch": 2, "broken": (value for value in ())})
    assert read_state(tmp_path) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_state_that_would_run_code_is_not_read(tmp_path):
    torch.save({"run": Path("here")}, tmp_path / "state.pt")
    assert read_state(tmp_path) is None


def test_what_is_shipped_is_found_under_the_same_key_and_rounded_to_half(train, tmp_path):
    trained, _ = train()
    place = checkpoints.ship(folder_of(trained), tmp_path / "shipped")
    shutil.rmtree(folder_of(trained))
    shipped, lines = train()
    assert "loaded" in lines[0]
    assert folder_of(shipped) == place
    assert shipped.card["stored"] == "float16"
    assert shipped.card["validation_accuracy"] == trained.card["validation_accuracy"]
    pairs = zip(shipped.model.parameters(), trained.model.parameters(), strict=True)
    assert all(torch.equal(a, b.half().float()) for a, b in pairs)
    assert next(shipped.model.parameters()).dtype == torch.float32
    assert [epoch for epoch, _ in shipped.points] == [0, 0.5, 2]
    point, before = shipped.points[1][1], trained.points[1][1].name
    assert point.name == before
    load_weights(shipped.model, point)


def test_weights_too_large_for_half_precision_ship_whole(train, tmp_path):
    trained, _ = train()
    file = folder_of(trained) / checkpoints.WEIGHTS
    weights, card = read_tensors(file)
    weights["fc1.bias"][0] = 1e6
    save_tensors(file, weights, card)
    shipped, _ = read_tensors(checkpoints.ship(file.parent, tmp_path / "shipped") / file.name)
    assert torch.equal(shipped["fc1.bias"], weights["fc1.bias"])
    assert torch.equal(shipped["fc2.bias"], weights["fc2.bias"].half())


def test_shipping_takes_the_points_that_are_named(train, tmp_path):
    trained, _ = train()
    place = checkpoints.ship(folder_of(trained), tmp_path / "shipped", epochs=[0, 2])
    card, _, points = read_finished(place)
    assert [epoch for epoch, _ in points] == card["points"] == [0, 2]
    assert len(list((place / "points").glob("*.safetensors"))) == 2


def test_shipping_a_point_that_was_not_kept_is_an_error(train, tmp_path):
    trained, _ = train()
    with pytest.raises(ValueError, match=r"kept no weights at epoch \[1\]"):
        checkpoints.ship(folder_of(trained), tmp_path / "shipped", epochs=[0, 1])
    assert not (tmp_path / "shipped").exists()
