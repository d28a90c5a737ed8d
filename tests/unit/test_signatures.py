"""Signatures are the network's own outputs, in memory and on disk."""

import json
import os

import pytest
import torch
from torch import nn

from helpers.network.models import build
from helpers.network.signatures import (
    load_weights,
    logits_of,
    read_signatures,
    read_tensors,
    save_tensors,
    signatures,
    signatures_over_training,
    to_input,
)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (11, 16, 16, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture
def model():
    return build("ResNet20", 4, side=16)


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_state(model, state):
    return all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_to_input_scales_and_turns_round(images):
    pixels = to_input(images)
    assert pixels.is_contiguous()
    assert torch.equal(pixels, torch.from_numpy(images.numpy().transpose(0, 3, 1, 2) / 255).float())


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 8, 8, 3), torch.zeros(2, 3, 8, 8).byte(), torch.zeros(8, 8, 3).byte()]
)
def test_to_input_refuses_anything_but_bytes_in_rows(wrong):
    with pytest.raises(ValueError, match=r"images are uint8 \(N, H, W, 3\), not torch"):
        to_input(wrong)


def test_signatures_are_the_model_s_own_outputs(model, images):
    found = signatures(model, images, ("stage1", "logits"), batch=4)
    model.eval()
    with torch.no_grad():
        logits = model(to_input(images))
        stage1 = model[:5](to_input(images))
    torch.testing.assert_close(found.logits, logits)
    torch.testing.assert_close(found.scores, logits.softmax(1))
    torch.testing.assert_close(found.layers["stage1"], stage1)
    torch.testing.assert_close(found.layers["logits"], logits)
    torch.testing.assert_close(logits_of(model, images), logits)


def test_signatures_leave_the_model_as_it_was(model, images):
    model.train()
    model.bn1.eval()
    before = state_of(model)
    signatures(model, images, ("stage3",))
    with pytest.raises(ValueError, match="images are uint8"):
        signatures(model, images.float(), ("stage3",))
    assert same_state(model, before)
    assert model.training
    assert not model.bn1.training
    assert not any(module._forward_hooks for module in model.modules())


def test_signatures_can_take_part_in_autograd(model, images):
    temperature = torch.ones((), requires_grad=True)
    (signatures(model, images).logits / temperature).square().sum().backward()
    assert temperature.grad < 0


def test_signatures_never_pass_more_than_a_batch(images):
    sizes = []

    class Watching(nn.Linear):
        def forward(self, pixels):
            sizes.append(len(pixels))
            return super().forward(pixels.flatten(1))

    signatures(Watching(768, 2), images, batch=4)
    assert sizes == [4, 4, 3]


def test_signatures_need_images_and_layers_there_are(model, images):
    with pytest.raises(ValueError, match="there are no images"):
        signatures(model, images[:0])
    with pytest.raises(ValueError, match="no layer 'fc9'; its layers are: standardise, conv1"):
        signatures(model, images, ("fc9",))


class Odd(nn.Module):
    """A net with a layer that puts out two rows, whatever the images, and one that never runs."""

    def __init__(self):
        super().__init__()
        self.pair, self.spare, self.logits = nn.Identity(), nn.Identity(), nn.Linear(768, 3)

    def forward(self, pixels):
        self.pair(pixels.new_ones(2, 5))
        return self.logits(pixels.flatten(1))


def test_layers_without_a_row_for_each_image_are_refused(images):
    with pytest.raises(ValueError, match=r"layer pair has shape \(2, 5\), .* each of 4 images"):
        signatures(Odd(), images, ("pair",), batch=4)
    with pytest.raises(ValueError, match="layer 'spare' did not run"):
        signatures(Odd(), images, ("logits", "spare"))


# On disk


def test_tensors_come_back_as_they_went(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    tensors = {
        "rows": shared,
        "turned": shared.T,
        "last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "count": torch.tensor(7),
    }
    save_tensors(tmp_path / "new" / "w-0.125.safetensors", tensors, {"epoch": 0.125})
    back, card = read_tensors(tmp_path / "new" / "w-0.125.safetensors")
    assert card["epoch"] == 0.125
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["w-0.125.json", "w-0.125.safetensors"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    save_tensors(file, {"a": torch.ones(2)}, {})

    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        save_tensors(file, {"a": torch.zeros(2)}, {})
    assert torch.equal(read_tensors(file)[0]["a"], torch.ones(2))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_changed_byte_is_noticed(tmp_path):
    file = tmp_path / "w.safetensors"
    save_tensors(file, {"a": torch.ones(2)}, {})
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged"):
        read_tensors(file)


def test_a_missing_or_damaged_card_is_named(tmp_path):
    file, card = tmp_path / "w.safetensors", tmp_path / "w.json"
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors is missing"):
        read_tensors(file)
    save_tensors(file, {"a": torch.ones(2)}, {})
    for text in ("{", "{}", "[]"):
        card.write_text(text)
        with pytest.raises(ValueError, match=r"w\.json is damaged"):
            read_tensors(file)
    card.unlink()
    with pytest.raises(FileNotFoundError, match=r"w\.json is missing"):
        read_tensors(file)


def test_weights_come_back_into_another_model(tmp_path, model):
    other = build("ResNet20", 4, seed=1, side=16)
    save_tensors(tmp_path / "w.safetensors", model.state_dict(), {"seed": 0})
    assert load_weights(other, tmp_path / "w.safetensors")["seed"] == 0
    assert same_state(other, state_of(model))
    with pytest.raises(ValueError, match="weights of another network"):
        load_weights(build("LeNet5", 4), tmp_path / "w.safetensors")


# Over training


@pytest.fixture
def points(tmp_path):
    """The weights of three points of a training that is made up."""
    files = []
    for epoch in (0, 0.125, 10):
        files.append((epoch, tmp_path / "weights" / f"{epoch}.safetensors"))
        seeded = build("LeNet5", 4, seed=int(epoch * 8), side=16)
        save_tensors(files[-1][1], seeded.state_dict(), {})
    return files


@pytest.fixture
def keep(tmp_path, points, images):
    """Keep signatures in one folder; gives the lines that were said, one for each point made."""

    def keep(layers=("fc1", "logits"), key="images", points=points):
        said = []
        lenet = build("LeNet5", 4, seed=99, side=16)
        signatures_over_training(
            lenet, points, images, layers, tmp_path / "kept", key, say=said.append
        )
        return said

    return keep


def test_each_point_has_the_signatures_of_its_weights(tmp_path, keep, points, images):
    assert [line.split(":")[0] for line in keep()] == ["epoch 0", "epoch 0.125", "epoch 10"]
    for epoch, weights in points:
        lenet = build("LeNet5", 4, side=16)
        load_weights(lenet, weights)
        expected = signatures(lenet, images, ("fc1",))
        found = read_signatures(tmp_path / "kept", epoch)
        assert torch.equal(found.logits, expected.logits)
        assert torch.equal(found.scores, expected.scores)
        assert found.layers["fc1"].dtype == torch.float32
        torch.testing.assert_close(
            found.layers["fc1"], expected.layers["fc1"], rtol=1e-3, atol=1e-3
        )
        torch.testing.assert_close(found.layers["logits"], found.logits, rtol=1e-3, atol=1e-3)


def test_files_sort_in_the_order_of_training(tmp_path, keep, points):
    keep(points=[*points, (2, points[0][1])])
    names = sorted(path.name for path in (tmp_path / "kept").glob("*.safetensors"))
    epochs = [
        json.loads((tmp_path / "kept" / name).with_suffix(".json").read_text()) for name in names
    ]
    assert [card["epoch"] for card in epochs] == [0, 0.125, 2, 10]


def test_points_that_are_there_are_left(tmp_path, keep, points):
    keep(points=points[:2])
    assert [line.split(":")[0] for line in keep()] == ["epoch 10"]
    assert keep() == []


def test_points_are_made_again_when_something_changed(tmp_path, keep, points):
    keep()
    assert len(keep(layers=("fc2",))) == 3
    assert len(keep(layers=("fc2",), key="other images")) == 3
    save_tensors(points[1][1], build("LeNet5", 4, seed=50, side=16).state_dict(), {})
    (tmp_path / "kept" / "epoch-0010.0000.safetensors").write_bytes(b"damaged")
    said = keep(layers=("fc2",), key="other images")
    assert [line.split(":")[0] for line in said] == ["epoch 0.125", "epoch 10"]


def test_the_model_keeps_its_own_weights(tmp_path, points, images):
    lenet = build("LeNet5", 4, seed=99, side=16)
    before = state_of(lenet)
    signatures_over_training(lenet, points, images, (), tmp_path / "kept", "key", say=str)
    assert same_state(lenet, before)
    missing = [*points, (11, tmp_path / "nowhere.safetensors")]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors is missing"):
        signatures_over_training(lenet, missing, images, (), tmp_path / "new", "key", say=str)
    assert same_state(lenet, before)


def test_outputs_too_big_for_float16_are_kept_whole(tmp_path, images):
    big = build("LeNet5", 4, side=16)
    nn.init.constant_(big.fc1.bias, 1e6)
    save_tensors(tmp_path / "w.safetensors", big.state_dict(), {})
    points = [(1, tmp_path / "w.safetensors")]
    signatures_over_training(big, points, images, ("fc1",), tmp_path, "key", say=str)
    found = read_signatures(tmp_path, 1).layers["fc1"]
    assert torch.equal(found, signatures(big, images, ("fc1",)).layers["fc1"])


def test_an_epoch_that_was_not_kept(tmp_path, keep):
    keep()
    with pytest.raises(FileNotFoundError, match=r"no signatures of epoch 3 .*: 0, 0\.125, 10"):
        read_signatures(tmp_path / "kept", 3)
