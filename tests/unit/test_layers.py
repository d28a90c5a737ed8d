"""Layers are found by name, and their outputs kept as they were."""

import pytest
import torch
from torch import nn

from helpers.methods.layers import capture, eval_mode, find


class InPlace(nn.Module):
    """Changes a layer's output in place in every way that a network may."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        maps = self.relu(self.conv(images))
        maps = self.norm(maps)
        maps += 1
        return self.relu(maps).mean((2, 3))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return InPlace().eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_find_gives_nested_layers():
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert find(nn.Sequential(nn.Flatten(), block), "1.0") is block[0]


@pytest.mark.parametrize("name", ["fc", "", "conv.0"])
def test_find_lists_the_names_there_are(model, name):
    with pytest.raises(ValueError, match=r"no layer '.*'; its layers are: conv, relu, norm"):
        find(model, name)


def test_find_knows_both_names_of_a_shared_layer():
    layer = nn.Linear(2, 2)
    assert find(nn.Sequential(layer, layer), "1") is layer


def test_in_place_operations_behind_a_layer_do_not_change_what_is_kept(model, images):
    before = model(images)
    conv = model.conv(images)
    norm = model.norm(conv.relu())
    with capture(model, ["conv", "norm"]) as outputs:
        after = model(images)
    torch.testing.assert_close(outputs["conv"], conv, rtol=0, atol=0)
    torch.testing.assert_close(outputs["norm"], norm, rtol=0, atol=0)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_outputs_in_the_graph_have_gradients_despite_in_place_operations(model, images):
    with capture(model, ["conv"], detach=False) as outputs:
        model(images).sum().backward(inputs=[outputs["conv"]])
    by_hand = model.conv(images).detach().requires_grad_()
    maps = model.norm(by_hand.relu()) + 1
    maps.relu().mean((2, 3)).sum().backward()
    torch.testing.assert_close(outputs["conv"].grad, by_hand.grad)


def test_outputs_are_out_of_the_graph_unless_asked(model, images):
    with capture(model, ["conv"]) as outputs:
        model(images)
    assert not outputs["conv"].requires_grad


def test_a_layer_that_runs_twice_leaves_its_last_output(model, images):
    with capture(model, ["relu"]) as outputs:
        result = model(images)
    torch.testing.assert_close(outputs["relu"].mean((2, 3)), result)


def test_each_pass_fills_the_dictionary_anew(model, images):
    with capture(model, ["conv"]) as outputs:
        model(images)
        model(images[:2])
    torch.testing.assert_close(outputs["conv"], model.conv(images[:2]))


def test_through_is_applied_to_what_is_kept_alone(model, images):
    before = model(images)
    with capture(model, ["conv"], through=lambda maps: maps.mean((2, 3))) as outputs:
        after = model(images)
    torch.testing.assert_close(outputs["conv"], model.conv(images).mean((2, 3)))
    torch.testing.assert_close(after, before)


def test_captures_nest(model, images):
    with capture(model, ["conv"]) as outer:
        with capture(model, ["conv", "norm"]) as inner:
            model(images)
        assert hooks(model) == 1
    torch.testing.assert_close(outer["conv"], inner["conv"])
    assert hooks(model) == 0


def test_hooks_are_gone_after_any_error(model, images):
    with pytest.raises(KeyError), capture(model, ["conv"]):
        raise KeyError
    with pytest.raises(RuntimeError), capture(model, ["conv", "norm"]):
        model(images[:, :1])
    with pytest.raises(ValueError, match="'fc'"), capture(model, ["conv", "fc"]):
        pass
    assert hooks(model) == 0


def test_an_output_that_is_no_tensor_is_refused():
    model = nn.Sequential(nn.LSTM(2, 2))
    with pytest.raises(TypeError, match="layer '0' gives a tuple"), capture(model, ["0"]):
        model(torch.zeros(1, 1, 2))


def test_eval_mode_gives_each_module_its_own_mode_back(model, images):
    model.train()
    model.norm.eval()
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
    with pytest.raises(RuntimeError), eval_mode(model):
        model(images[:, :1])
    assert model.training
    assert model.conv.training
    assert not model.norm.training
