"""Layers of a network by name: finding them, and keeping what they put out."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def find(model: nn.Module, name: str) -> nn.Module:
    """The layer of `model` called `name`, such as "conv1" or "layer4.1.conv2".

    Raises ValueError, listing the names there are, where the model has no such layer.
    """
    layers = dict(model.named_modules(remove_duplicate=False))
    layers.pop("")
    if name not in layers:
        there = ", ".join(layers) or "none"
        raise ValueError(f"{type(model).__name__} has no layer {name!r}; its layers are: {there}")
    return layers[name]


@contextmanager
def capture(
    model: nn.Module,
    names: Iterable[str],
    through: Callable[[Tensor], Tensor] | None = None,
    detach: bool = True,
) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of the layers `names` while `model` runs inside the `with` block.

    Yields a dictionary from name to output (N, ...), filled anew by each forward pass; a layer
    that runs several times in one pass leaves its last output. `through` is applied to an output
    as it appears, on its own device, so that a pooled map is all that is kept. With
    `detach=False` the outputs stay in the graph, and gradients with respect to them can be had.
    The hooks are gone when the block ends, by an error too.

    Raises ValueError for a name that the model lacks, TypeError for an output that is no tensor.
    """
    layers = {name: find(model, name) for name in names}
    kept: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_hook(_keeper(kept, name, through, detach))
        for name, layer in layers.items()
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _keeper(kept, name, through, detach):
    """The forward hook that files the output of layer `name` in `kept`."""

    def keep(layer, inputs, output):
        if not isinstance(output, Tensor):
            raise TypeError(f"layer {name!r} gives a {type(output).__name__}, not one tensor")
        seen = output.detach() if detach else output
        kept[name] = seen if through is None else through(seen)
        # The network goes on with a copy: an in-place ReLU behind this layer would otherwise
        # overwrite what was kept.
        return output.clone()

    return keep


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode inside the `with` block; afterwards each module is in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training
