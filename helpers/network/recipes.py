"""How a network is trained, as plain values: what a checkpoint's key and card are made from."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from helpers.network.augmentation import changes

# Their fused kernels exist for CUDA, MPS and CPU alike.
FUSED = ("Adam", "AdamW", "SGD")
BY_ITERATION = ("one-cycle", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the network, the images and the seed.

    epochs, batch  the last batch of an epoch may be smaller, unless `drop_last`
    optimiser      a class of torch.optim by name, with `rate` and `options`: (name, value) pairs
    schedule       "constant"; "one-cycle" (Smith 2018) up to `rate`, or "cosine" down from it, in
                   steps of an iteration; or a class of torch.optim.lr_scheduler by name, in steps
                   of an epoch; with `schedule_options`
    augment        names that `augmentation.augment` knows
    patience       epochs without a better `monitor` ("accuracy" or "loss" of the validation set)
                   after which training stops
    keep           the weights that are kept: of the "best" epoch by `monitor`, or of the "last"
    precision      "float32", or "bfloat16" where autocast allows it
    channels_last  memory layout of images and weights
    points         epochs at which the weights are stored: 0 is the untrained network, 0.125 lies
                   within the first epoch

    Raises ValueError for a value outside these.
    """

    epochs: int
    batch: int = 128
    optimiser: str = "Adam"
    rate: float = 1e-3
    options: tuple[tuple[str, object], ...] = ()
    schedule: str = "constant"
    schedule_options: tuple[tuple[str, object], ...] = ()
    augment: tuple[str, ...] = ()
    patience: int | None = None
    monitor: str = "accuracy"
    keep: str = "best"
    precision: str = "float32"
    channels_last: bool = False
    label_smoothing: float = 0.0
    drop_last: bool = False
    points: tuple[float, ...] = ()

    def __post_init__(self):
        # Equal recipes have equal keys: 1 and 1.0 are written differently.
        object.__setattr__(self, "points", tuple(map(float, self.points)))
        _check_counts(self)
        _check_numbers(self)
        _check_choices(self)
        _check_class(optim.Optimizer, optim, self.optimiser, "optimiser", self.options)
        if self.schedule not in ("constant", *BY_ITERATION):
            kind = lr_scheduler.LRScheduler
            _check_class(kind, lr_scheduler, self.schedule, "schedule", self.schedule_options)


def every_epoch(epochs: int, within: Sequence[float] = (1 / 8, 1 / 4, 1 / 2)) -> tuple[float, ...]:
    """Points of training: the untrained network, `within` the first epoch, then each epoch."""
    return (0.0, *within, *(float(epoch) for epoch in range(1, epochs + 1)))


def steps_in(recipe: Recipe, images: int) -> int:
    """Iterations of an epoch over so many images; a set smaller than a batch is one batch."""
    whole, rest = divmod(images, recipe.batch)
    return max(1, whole + (rest > 0 and not recipe.drop_last))


def optimiser_for(recipe: Recipe, model: nn.Module) -> optim.Optimizer:
    """The recipe's optimiser of those parameters of `model` that are to be trained."""
    fused = {"fused": True} if recipe.optimiser in FUSED else {}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = getattr(optim, recipe.optimiser)
    return kind(parameters, lr=recipe.rate, **fused | dict(recipe.options))


def schedule_for(
    recipe: Recipe, optimiser: optim.Optimizer, steps: int
) -> lr_scheduler.LRScheduler:
    """The recipe's schedule, for `steps` iterations an epoch."""
    options, total = dict(recipe.schedule_options), steps * recipe.epochs
    if recipe.schedule == "constant":
        return lr_scheduler.ConstantLR(optimiser, factor=1.0)
    if recipe.schedule == "one-cycle":
        # Cycling the momentum as well would override what the recipe's options say about it.
        options = {"cycle_momentum": False} | options
        return lr_scheduler.OneCycleLR(optimiser, recipe.rate, total, **options)
    if recipe.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, total, **options)
    return getattr(lr_scheduler, recipe.schedule)(optimiser, **options)


def _check_counts(recipe):
    for name in ("epochs", "batch", "patience"):
        value = getattr(recipe, name)
        if not ((isinstance(value, int) and value >= 1) or (name == "patience" and value is None)):
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}")


def _check_numbers(recipe):
    if not (recipe.rate > 0 and math.isfinite(recipe.rate)):
        raise ValueError(f"rate must be above 0, not {recipe.rate}")
    if not 0 <= recipe.label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in 0..1, 1 excluded: {recipe.label_smoothing}")
    points = recipe.points
    if list(points) != sorted(set(points)) or not all(0 <= p <= recipe.epochs for p in points):
        raise ValueError(f"points must rise from 0 to at most {recipe.epochs}, not {points}")


def _check_choices(recipe):
    choices = {
        "monitor": ("accuracy", "loss"),
        "keep": ("best", "last"),
        "precision": ("float32", "bfloat16"),
    }
    for name, allowed in choices.items():
        if getattr(recipe, name) not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, not {getattr(recipe, name)!r}")
    if not isinstance(recipe.augment, tuple):
        raise ValueError(f"augment must be a tuple of names, not {recipe.augment!r}")
    changes(recipe.augment)


def _check_class(base, module, name, what, options):
    """Raises ValueError unless `module` has such a subclass of `base` that takes these options."""
    kind = getattr(module, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, base)) or kind is base:
        raise ValueError(f"{what} {name!r} is no class of {module.__name__}")
    unknown = set(dict(options)) - set(inspect.signature(kind).parameters)
    if unknown:
        raise ValueError(f"{name} takes no option {', '.join(sorted(unknown))}")
    if kind is torch.optim.LBFGS:
        raise ValueError("LBFGS evaluates each batch several times; choose another optimiser")
