"""A training under way: epoch by epoch, and what it takes to go on after an interruption."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer, lr_scheduler

from helpers.datasets.imageset import ImageSet
from helpers.network import checkpoints
from helpers.network.augmentation import augment
from helpers.network.batches import Held, epoch_order, error_on, hold, own_randomness, stream
from helpers.network.memory import keep_freed_memory
from helpers.network.recipes import BY_ITERATION, Recipe, optimiser_for, schedule_for, steps_in
from helpers.network.signatures import save_tensors


@dataclass
class Course:
    """What a training works with and, from `rows` on, what it has come to so far.

    rows      one dict of numbers per epoch
    measured  per epoch, loss, accuracy and rate of each batch: float64 (steps, 3) on the CPU
    """

    model: nn.Module
    recipe: Recipe
    seed: int
    device: torch.device
    images: Held
    judges: dict[str, Held]
    optimiser: Optimizer
    schedule: lr_scheduler.LRScheduler
    steps: int
    folder: Path | None
    rows: list[dict] = field(default_factory=list)
    measured: list[Tensor] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def begin(
    model: nn.Module,
    train: ImageSet,
    judges: Mapping[str, ImageSet],
    recipe: Recipe,
    seed: int,
    device: torch.device | str | None,
    folder: Path | None,
) -> Course:
    """Put model and images on the device, or where the model is, and make the optimiser."""
    keep_freed_memory()
    device = torch.device(device or next(model.parameters()).device)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model.to(device=device, memory_format=layout)
    optimiser = optimiser_for(recipe, model)
    steps = steps_in(recipe, len(train))
    return Course(
        model=model,
        recipe=recipe,
        seed=seed,
        device=device,
        images=hold(train, device, layout),
        judges={name: hold(judge, device, layout) for name, judge in judges.items()},
        optimiser=optimiser,
        schedule=schedule_for(recipe, optimiser, steps),
        steps=steps,
        folder=folder,
    )


def resume(course: Course, run: str, say: Callable[[str], None]) -> None:
    """Go on from the state in the folder, if it is one of this very run; else begin there."""
    state = checkpoints.read_state(course.folder)
    if state and state["run"] == run:
        for part in ("model", "optimiser", "schedule"):
            getattr(course, part).load_state_dict(state[part])
        for part in ("rows", "measured", "best_epoch", "best_weights"):
            setattr(course, part, state[part])
        say(f"going on after epoch {len(course.rows)}")
        return
    if (course.folder / checkpoints.STATE).exists():
        say("the state of an earlier training is damaged or not of this one: beginning anew")
    for point in _due(course, epoch=1).get(0, ()):
        _store(course, point)


def save(course: Course, run: str) -> None:
    """Write all that `resume` needs."""
    state = {part: getattr(course, part) for part in ("rows", "measured")}
    state |= {part: getattr(course, part) for part in ("best_epoch", "best_weights")}
    for part in ("model", "optimiser", "schedule"):
        state[part] = getattr(course, part).state_dict()
    checkpoints.write_state(course.folder, {"run": run, **state})


def run_epoch(course: Course) -> None:
    """Train for one more epoch, judge, and remember the best weights.

    Raises FloatingPointError where a loss is no number.
    """
    began, epoch = time.perf_counter(), len(course.rows) + 1
    with own_randomness(course.device, stream("dropout", course.seed, epoch)):
        measured = _train(course, epoch)
    _check_losses(course, epoch, measured[:, 0])
    row = {"epoch": epoch, **_means(course, measured), **_judge(course, epoch)}
    if course.recipe.schedule not in ("constant", *BY_ITERATION):
        _step(course.schedule, row["validation_loss"])
    row["seconds"] = time.perf_counter() - began
    course.rows.append(row)
    course.measured.append(measured)
    if _best(course) == epoch:
        weights = course.model.state_dict()
        course.best_epoch = epoch
        course.best_weights = {name: tensor.clone() for name, tensor in weights.items()}


def done(course: Course) -> bool:
    """Whether all epochs are run, or patience is at its end."""
    epochs, patience = len(course.rows), course.recipe.patience
    return epochs == course.recipe.epochs or (
        patience is not None and epochs - course.best_epoch >= patience
    )


def keep(course: Course) -> int:
    """Leave the model with the weights that the recipe keeps; returns their epoch."""
    # As a model read from disk is laid out: another layout rounds differently.
    course.model.to(memory_format=torch.contiguous_format)
    if course.recipe.keep == "last":
        return len(course.rows)
    course.model.load_state_dict(course.best_weights)
    return course.best_epoch


def iterations(course: Course) -> pd.DataFrame:
    """A row per batch: iteration and epoch, both from 1, loss, accuracy, rate."""
    table = pd.DataFrame(torch.cat(course.measured).numpy(), columns=["loss", "accuracy", "rate"])
    table.insert(0, "iteration", range(1, len(table) + 1))
    table.insert(1, "epoch", (table["iteration"] - 1) // course.steps + 1)
    return table


def points(course: Course) -> list[tuple[float, Path]]:
    """The points of training that were reached, and the files of their weights."""
    reached = [point for point in course.recipe.points if point <= len(course.rows)]
    return [(point, checkpoints.point_file(course.folder, point)) for point in reached]


def _train(course, epoch):
    """Train for an epoch; returns loss, accuracy and rate of each batch."""
    model, recipe, optimiser = course.model.train(), course.recipe, course.optimiser
    order = epoch_order(len(course.images.labels), course.seed, epoch).to(course.device)
    generator = torch.Generator().manual_seed(stream("augment", course.seed, epoch))
    due, rates = _due(course, epoch), []
    # Read once, at the end: each look at a number would make the host wait for the device.
    measured = torch.zeros(course.steps, 2, device=course.device)
    for step, rows in enumerate(order.split(recipe.batch)[: course.steps]):
        inputs, labels = course.images.batch(rows)
        inputs = augment(inputs, recipe.augment, generator)
        with _precision(course):
            logits = model(inputs).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        measured[step, 0] = loss.detach()
        measured[step, 1] = (logits.detach().argmax(1) == labels).float().mean()
        rates.append(optimiser.param_groups[0]["lr"])
        if recipe.schedule in BY_ITERATION:
            course.schedule.step()
        for point in due.get(step + 1, ()):
            _store(course, point)
    rates = torch.tensor(rates, dtype=torch.float64)[:, None]
    return torch.cat((measured.cpu().double(), rates), 1)


def _precision(course):
    enabled = course.recipe.precision == "bfloat16"
    return torch.autocast(course.device.type, torch.bfloat16, enabled=enabled)


def _step(schedule, validation_loss):
    if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        schedule.step(validation_loss)
    else:
        schedule.step()


def _means(course, measured):
    """Loss and accuracy of the epoch's images; a smaller last batch weighs less."""
    count, batch = len(course.images.labels), course.recipe.batch
    sizes = (count - batch * torch.arange(course.steps)).clamp(max=batch).double()
    loss, accuracy = (sizes @ measured[:, :2] / sizes.sum()).tolist()
    return {"train_loss": loss, "train_accuracy": accuracy}


def _judge(course, epoch):
    found = {name: error_on(course.model, held) for name, held in course.judges.items()}
    loss = found["validation"].loss
    if not math.isfinite(loss):
        where = f"epoch {epoch}, after its last iteration, {course.steps}"
        raise FloatingPointError(_not_finite("validation loss", loss, where, course.recipe))
    accuracies = {f"{name}_accuracy": error.accuracy for name, error in found.items()}
    return {"validation_loss": loss, **accuracies}


def _check_losses(course, epoch, losses):
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        where = f"epoch {epoch}, iteration {bad[0] + 1} of {course.steps}"
        raise FloatingPointError(
            _not_finite("training loss", losses[bad[0]].item(), where, course.recipe)
        )


def _not_finite(what, loss, where, recipe):
    return f"the {what} is {loss} in {where}; try a rate below {recipe.rate:g}"


def _best(course):
    """The first epoch with the best monitored value."""
    if course.recipe.monitor == "loss":
        return min(course.rows, key=lambda row: row["validation_loss"])["epoch"]
    return max(course.rows, key=lambda row: row["validation_accuracy"])["epoch"]


def _due(course, epoch):
    """Iterations of this epoch after which weights are stored, with the points they stand for."""
    found = {}
    for point in course.recipe.points:
        # However few the iterations, a point above 0 is no untrained network.
        iteration = max(int(point > 0), round(point * course.steps))
        found.setdefault(iteration - (epoch - 1) * course.steps, []).append(point)
    return found


def _store(course, point):
    file = checkpoints.point_file(course.folder, point)
    save_tensors(file, course.model.state_dict(), {"epoch": point})
