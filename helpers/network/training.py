"""Training networks from memory, and reading back what has been trained before."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from helpers.datasets.imageset import ImageSet
from helpers.network import checkpoints, course
from helpers.network.batches import Evaluation, epoch_order, error_on, hold
from helpers.network.models import build
from helpers.network.recipes import Recipe, every_epoch
from helpers.network.signatures import load_weights
from helpers.settings import Settings

__all__ = [
    "Evaluation",
    "History",
    "Recipe",
    "Trained",
    "epoch_order",
    "evaluate",
    "every_epoch",
    "fit",
    "load_or_train",
    "shipped",
    "trained_before",
]

# Part of every key: to be raised when the same recipe begins to give other weights.
VERSION = 1


class History(NamedTuple):
    """What training measured.

    epochs      a row per epoch: epoch, train_loss and train_accuracy (means over its batches, as
                they were trained on), validation_loss, validation_accuracy, the accuracy of each
                watched set (test_accuracy, say), seconds
    iterations  a row per batch: iteration, epoch, loss, accuracy, rate
    """

    epochs: pd.DataFrame
    iterations: pd.DataFrame


class Trained(NamedTuple):
    """A trained model with its history, its card, and the files of its points of training."""

    model: nn.Module
    history: History
    card: dict
    points: list[tuple[float, Path]]


def load_or_train(
    name: str,
    train: ImageSet,
    validation: ImageSet,
    recipe: Recipe,
    settings: Settings,
    seed: int = 0,
    watch: Mapping[str, ImageSet] | None = None,
    say: Callable[[str], None] = print,
    **options,
) -> Trained:
    """The network `name` trained by `recipe`, read from disk where that has been done before.

    `options` go to `models.build`, `watch` to `fit`. Looked for among the checkpoints that ship,
    then in the cache, under a key of all that changes the result; what is damaged is trained
    again, what was interrupted goes on. The model is on `settings.device`, in evaluation mode.
    """
    parts = (name, train, validation, recipe, settings, seed, watch)
    found = trained_before(*parts, say=say, **options)
    if found:
        return found
    facts, folder, options = _asked(*parts, **options)
    cached = _cached(settings, folder)
    model = build(name, len(train.classes), seed, **options)
    say(f"{_title(facts)}: training on {len(train):,} images")
    work = cached.with_name(f"{folder}.unfinished")
    trained = fit(model, train, validation, recipe, seed, settings.device, watch, say, work)
    card, tables = {**facts, **trained.card}, trained.history._asdict()
    checkpoints.save_finished(cached, model.state_dict(), card, tables, trained.points)
    shutil.rmtree(work, ignore_errors=True)
    return _read(cached, model, settings.device)


def trained_before(
    name: str,
    train: ImageSet,
    validation: ImageSet,
    recipe: Recipe,
    settings: Settings,
    seed: int = 0,
    watch: Mapping[str, ImageSet] | None = None,
    say: Callable[[str], None] = print,
    **options,
) -> Trained | None:
    """What `load_or_train` finds on disk for the same arguments; None where it would train."""
    parts = (name, train, validation, recipe, settings, seed, watch)
    _, folder, options = _asked(*parts, **options)
    # All weights are about to be read, so that ImageNet's need not be there.
    model = build(name, len(train.classes), seed, **options | {"weights": None})
    return _find(
        (checkpoints.SHIPPED / folder, _cached(settings, folder)), model, settings.device, say
    )


def shipped(
    name: str,
    recipe: Recipe,
    trained_on: str,
    settings: Settings,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Trained | None:
    """The network that ships by the name of the images it was trained on, whatever their key.

    For images of which those are a copy in another compression: `load_or_train` takes these for
    others. None where there is none by this recipe and seed.
    """
    asked = json.loads(json.dumps({"recipe": asdict(recipe), "seed": seed}))
    for file in sorted(checkpoints.SHIPPED.glob(f"{name}-{seed}-*/{checkpoints.CARD}")):
        card = json.loads(file.read_text())
        if asked.items() <= card.items() and card["sets"]["train"][0] == trained_on:
            model = build(name, card["classes"], seed, **card["options"])
            return _find((file.parent,), model, settings.device, say)
    return None


def fit(
    model: nn.Module,
    train: ImageSet,
    validation: ImageSet,
    recipe: Recipe,
    seed: int = 0,
    device: torch.device | str | None = None,
    watch: Mapping[str, ImageSet] | None = None,
    say: Callable[[str], None] = print,
    folder: Path | None = None,
) -> Trained:
    """Train `model` in place, on `device` or where it is; it comes back in evaluation mode.

    validation  chooses the epoch that is kept, and when to stop
    watch       sets by name whose accuracy is recorded each epoch and chooses nothing
    folder      where the state is written after each epoch, and the weights at `recipe.points`.
                A call with the same arguments and the same fresh model goes on from there, to the
                same result, bit for bit on the same machine and number of threads

    The seed decides the order of the images, their augmentation and dropout; the global random
    state is left as it was. Raises ValueError for sets that do not fit together and for points
    without a folder, FloatingPointError, naming epoch and iteration, for a loss that is no number.
    """
    watch = watch or {}
    _check(train, validation, watch, recipe, folder)
    judges = {"validation": validation, **watch}
    facts = _facts(train, validation, watch, recipe, seed)
    run = checkpoints.key_of({**facts, "start": _digest(model)})
    now = course.begin(model, train, judges, recipe, seed, device, folder)
    if folder:
        course.resume(now, run, say)
    while not course.done(now):
        course.run_epoch(now)
        if folder:
            course.save(now, run)
        if course.done(now) or len(now.rows) in _shown(recipe):
            say(_line(now))
    kept = course.keep(now)
    if kept < recipe.epochs:
        say(_ending(now, kept))
    card = {**facts, **_card(now, kept), "sets": _sets(train, judges)}
    history = History(pd.DataFrame(now.rows), course.iterations(now))
    return Trained(model.eval(), history, card, course.points(now))


def evaluate(
    model: nn.Module,
    imageset: ImageSet,
    batch: int = 512,
    device: torch.device | str | None = None,
) -> Evaluation:
    """Loss and accuracy in evaluation mode, on `device` or where the model is; modes restored.

    Raises ValueError where there are no images.
    """
    device = torch.device(device or next(model.parameters()).device)
    return error_on(model.to(device), hold(imageset, device), batch)


def _asked(name, train, validation, recipe, settings, seed, watch, **options):
    """Facts that decide the result, the name of its folder, and the options of the network."""
    facts = {"model": name, "options": options, "classes": len(train.classes)}
    # The images' side is in their key, so it need not be in the network's.
    options = {"side": train.images.shape[1], **options}
    facts |= _facts(train, validation, watch or {}, recipe, seed)
    return facts, f"{name}-{seed}-{checkpoints.key_of(facts)}", options


def _cached(settings, folder):
    return settings.cache_dir / "trained" / folder


def _find(folders, model, device, say):
    """The first of these finished trainings that is whole, or None."""
    for folder in folders:
        try:
            found = _read(folder, model, device)
        except FileNotFoundError:
            continue
        except ValueError as error:
            say(f"training again: {error}")
            continue
        card = found.card
        say(
            f"{_title(card)}: loaded, trained in {card['seconds']:.0f} s on {card['hardware']}, "
            f"validation {100 * card['validation_accuracy']:.1f} %"
        )
        return found
    return None


def _read(folder, model, device):
    card, tables, points = checkpoints.read_finished(folder)
    load_weights(model, folder / checkpoints.WEIGHTS)
    return Trained(model.to(device).eval(), History(**tables), card, points)


def _facts(train, validation, watch, recipe, seed):
    """All that decides what `fit` makes of a model."""
    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "train": train.key,
        "validation": validation.key,
        "watched": {name: part.key for name, part in watch.items()},
        "version": VERSION,
    }


def _card(now, kept):
    return {
        "epochs": len(now.rows),
        "best_epoch": now.best_epoch,
        "kept_epoch": kept,
        "validation_accuracy": now.rows[kept - 1]["validation_accuracy"],
        "validation_images": len(now.judges["validation"].labels),
        "seconds": round(sum(row["seconds"] for row in now.rows), 1),
        "hardware": _hardware(now.device),
        "torch": torch.__version__,
    }


def _hardware(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return "MPS" if device.type == "mps" else f"{threads} CPU thread{'s' * (threads > 1)}"


def _sets(train, judges):
    """Names and sizes of the sets, for people."""
    return {role: [part.name, len(part)] for role, part in {"train": train, **judges}.items()}


def _title(facts):
    return f"{facts['model']} (seed {facts['seed']})"


def _shown(recipe):
    """Epochs with a line of their own: about ten, the early ones where training may stop early."""
    if recipe.patience is None:
        return range(0, recipe.epochs + 1, math.ceil(recipe.epochs / 10))
    return (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)


def _line(now):
    row, epochs = now.rows[-1], now.recipe.epochs
    sets = [f"{name} {100 * row[f'{name}_accuracy']:.1f} %" for name in now.judges]
    parts = [f"training loss {row['train_loss']:.3f}", *sets, f"{row['seconds']:.1f} s"]
    return f"epoch {row['epoch']:>{len(str(epochs))}} of {epochs}: {', '.join(parts)}"


def _ending(now, kept):
    """Why training ended where it did, and which weights are kept."""
    recipe, epochs = now.recipe, len(now.rows)
    accuracy = f"validation {100 * now.rows[kept - 1]['validation_accuracy']:.1f} %"
    kept_line = f"kept the weights of epoch {kept}, {accuracy}"
    if epochs == recipe.epochs:
        return kept_line
    return f"stopped, {recipe.monitor} no better for {epochs - now.best_epoch} epochs; {kept_line}"


def _check(train, validation, watch, recipe, folder):
    for part in (validation, *watch.values()):
        if part.classes != train.classes:
            raise ValueError(f"{part.name} has other classes than {train.name}")
    for name in {"train", "validation"} & watch.keys():
        raise ValueError(f"a watched set cannot be called {name}: it would take that set's place")
    if recipe.points and folder is None:
        raise ValueError("a recipe with points needs a folder for the weights at them")


def _digest(model):
    """Digest of the weights of a model."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
