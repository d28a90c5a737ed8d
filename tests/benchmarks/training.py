"""Training and passing images through a net, against loops with a DataLoader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import to_tensor

from helpers.datasets.cifar10 import ARCHIVE, cifar10_place
from helpers.datasets.decode import cores
from helpers.datasets.imageset import ImageSet
from helpers.datasets.load import load
from helpers.datasets.readers import folder_images
from helpers.methods.layers import eval_mode
from helpers.network.batches import hold
from helpers.network.models import build, channel_moments
from helpers.network.signatures import signatures, to_input
from helpers.network.training import Recipe, epoch_order, evaluate, fit
from helpers.series.nets import quiet
from helpers.series.plan import augmentation, full_recipes
from helpers.settings import read_settings
from tests.benchmarks.harness import Case, Checked, Missing, Row
from tests.benchmarks.nets import furthest, operations, some_scenes

BATCH = 128
WORKERS = sorted({0, 2, cores()})
IMAGE = (3, 32, 32)
BYTES = 3 * 32 * 32
RATE = 1e-3
ONE_MINUTE = "LeNet5, one minute"
WANTED = 0.64


class Pictures(Dataset):
    """As torchvision's CIFAR10 with `ToTensor` has it: each image by PIL, when it is asked for."""

    def __init__(self, imageset: ImageSet):
        self.images, self.labels = imageset.images.numpy(), imageset.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return to_tensor(Image.fromarray(self.images[index])), self.labels[index]


def loaders(dataset: Dataset) -> dict[str, DataLoader]:
    """Loaders by their number of workers, in the order of our first epoch; workers are at work."""
    order = epoch_order(len(dataset), 0, 1).tolist()
    made = {f"{n} workers": _loader(dataset, order, n) for n in WORKERS}
    for loader in made.values():
        for _ in loader:
            pass
    return made


def _loader(dataset: Dataset, order: list[int], workers: int) -> DataLoader:
    # Forked ones hang where torch has computed before.
    kept = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
    return DataLoader(dataset, BATCH, sampler=order, num_workers=workers, **kept)


def posts_net() -> nn.Sequential:
    """LeNet5 layer by layer as post A has it, with the weights that ours begins with."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    ours = build("LeNet5", 10).state_dict().values()
    # Without the moments that ours standardises by.
    names = net.state_dict()
    net.load_state_dict(dict(zip(names, list(ours)[-len(names) :], strict=True)))
    return net


def posts_loop(loader: DataLoader) -> nn.Module:
    """An epoch of post A's loop."""
    model = posts_net()
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    loss_sum, accuracy = 0, 0
    for images, labels in loader:
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss_sum += loss.item() * len(labels)
        accuracy += (logits.argmax(1) == labels).float().mean().item()
    return model


def training(count: int) -> Case:
    images, held_out = some_scenes(count), some_scenes(BATCH)
    asked = to_input(held_out.images)
    recipe = Recipe(epochs=1, batch=BATCH, optimiser="Adam", rate=RATE, channels_last=True)

    def ours() -> nn.Module:
        return fit(build("LeNet5", 10), images, held_out, recipe, say=quiet).model

    def peers() -> dict[str, Callable]:
        return {n: partial(posts_loop, loader) for n, loader in loaders(Pictures(images)).items()}

    @torch.inference_mode()
    def check(model: nn.Module, other: nn.Module) -> Checked:
        return Checked(furthest(model(asked), other(asked)))

    work = count * operations(build("LeNet5", 10), IMAGE, backward=True)
    return Case(ours, peers, check, count * BYTES, work)


def files(count: int) -> Case:
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name) / "images"
    _write_jpegs(some_scenes(count), place)
    images = folder_images(place, 32, Path(folder.name) / "cache", say=quiet)

    def ours() -> tuple:
        held = hold(images, torch.device("cpu"))
        for rows in epoch_order(count, 0, 1).split(BATCH):
            batch = held.batch(rows)
        return batch

    def passed(loader: DataLoader) -> tuple:
        for batch in loader:
            last = batch
        return last

    def peers() -> dict[str, Callable]:
        dataset = ImageFolder(folder.name + "/images", transform=to_tensor)
        return {n: partial(passed, loader) for n, loader in loaders(dataset).items()}

    def check(batch: tuple, other: tuple) -> Checked:
        return Checked(max(furthest(a, b) for a, b in zip(batch, other, strict=True)))

    return Case(ours, peers, check, moved=5 * count * BYTES)


def _write_jpegs(images: ImageSet, place: Path) -> None:
    """A folder for each class, as ImageFolder and our reader take them."""
    for name in images.classes:
        (place / name).mkdir(parents=True)
    for row, (pixels, label) in enumerate(zip(images.images.numpy(), images.labels, strict=True)):
        file = place / images.classes[label] / f"{row:06}.jpg"
        Image.fromarray(pixels).save(file, quality=95)


def accurate(epochs: int) -> Case:
    """LeNet5 on CIFAR-10, from drawn weights to the last epoch, the validation set read in each."""
    settings = replace(read_settings(), dataset="cifar10")
    if not (cifar10_place(settings.data_dir) or (settings.cache_dir / ARCHIVE).exists()):
        raise Missing("needs CIFAR-10: set SECOND_LOOK_DATA_DIR to where it lies")
    data = load(settings, say=quiet)
    recipe = replace(full_recipes(augmentation("cifar10"))[ONE_MINUTE], epochs=epochs)
    mean, std = channel_moments(data.train.images)

    def ours():
        net = build("LeNet5", 10, mean=mean, std=std)
        return fit(net, data.train, data.validation, recipe, say=quiet)

    def check(trained, _) -> Checked:
        # The test set is read here for the first time, and once.
        found = evaluate(trained.model, data.test).accuracy
        return Checked(max(0.0, WANTED - found), f"test {100 * found:.1f} %{_reached(trained)}")

    net = build("LeNet5", 10)
    both = len(data.train) * operations(net, IMAGE, backward=True)
    work = epochs * (both + len(data.validation) * operations(net, IMAGE))
    return Case(ours, dict, check, epochs * len(data.train) * BYTES, work)


def _reached(trained) -> str:
    epochs = trained.history.epochs
    there = epochs["validation_accuracy"] >= WANTED
    if not there.any():
        return ""
    seconds = epochs["seconds"].cumsum()[there].iloc[0]
    return f"; {100 * WANTED:.0f} % of validation after {seconds:.0f} s"


def passing(count: int) -> Case:
    net, images = build("ResNet20", 10), some_scenes(count).images

    def ours() -> torch.Tensor:
        return signatures(net, images, ["pool"], BATCH, say=quiet).logits

    def peers() -> dict[str, Callable]:
        batches = to_input(images).split(BATCH)

        @torch.inference_mode()
        def bare() -> torch.Tensor:
            with eval_mode(net):
                return torch.cat([net(batch) for batch in batches])

        return {"": bare}

    def check(logits: torch.Tensor, other: torch.Tensor) -> Checked:
        return Checked(furthest(logits, other))

    return Case(ours, peers, check, count * BYTES, count * operations(net, IMAGE))


ROWS = (
    Row(
        "training",
        "LeNet5, an epoch of {} images in batches of 128, float32",
        "post A's net and loop with DataLoader, torch",
        "torch",
        training,
        (1500, 3000, 6000),
        "images",
        tolerance=1e-2,  # of logits, after all those steps
        ratio=2.8,
    ),
    Row(
        "files",
        "An epoch of batches of {} JPEG files, ours decoded before and kept in memory",
        "DataLoader over ImageFolder, torchvision",
        "torchvision",
        files,
        (1500, 3000, 6000),
        "images",
        tolerance=1e-6,
    ),
    Row(
        "64 percent",
        "LeNet5 trained on CIFAR-10 to 64 % of the test set",
        "no peer, torch",
        "torch",
        accurate,
        (18,),
        "epochs",
        tolerance=0,
        seconds=60,
        small=1,
    ),
    Row(
        "signatures",
        "Logits and a layer of ResNet20 for {} images",
        "the bare forward pass, torch",
        "torch",
        passing,
        (256, 512, 1024),
        "images",
        tolerance=1e-5,
        ratio=1 / 1.15,
    ),
)
