"""Attention maps and how true they are, against pytorch-grad-cam, captum and torchcam."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from helpers.methods.attention import grad_cam, normalised, rectified, upsample
from helpers.methods.faithfulness import deletion, insertion
from helpers.network.models import build
from tests.benchmarks.harness import Case, Checked, Row
from tests.benchmarks.nets import furthest, operations

CLASSES = 10
SIDE, SMALL_SIDE = 64, 32
LAYER = "layer4"
STEPS = 16
BATCHES = (32, 256)


@cache
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return resnet18(num_classes=CLASSES).eval()


def drawn(count: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def asked(count: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Images, and the class that each is asked about."""
    return drawn(count, 3, side, side), torch.arange(count) % CLASSES


def nothing_in_place() -> nn.Module:
    """A copy of the net for the peers: behind a ReLU in place they would weigh what it left."""
    copied = copy.deepcopy(net())
    for layer in copied.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False
    return copied


@contextmanager
def relu_out_of_place():
    """The same for functional ones, as long as it lasts."""
    own = F.relu
    F.relu = lambda maps, inplace=False: torch.relu(maps)
    try:
        yield
    finally:
        F.relu = own


def shown_maps(count: int) -> Case:
    """Grad-CAM as it is shown: what speaks for the class, at the size of the image, 0 to 1."""
    images, targets = asked(count)

    def ours() -> Tensor:
        raw = grad_cam(net(), images, targets, LAYER)
        return normalised(upsample(rectified(raw), (SIDE, SIDE)))

    def peers() -> dict[str, Callable]:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        model = nothing_in_place()
        extractor = GradCAM(model=model, target_layers=[model.layer4])
        wanted = [ClassifierOutputTarget(label) for label in targets.tolist()]

        @relu_out_of_place()
        def theirs() -> Tensor:
            return torch.from_numpy(extractor(input_tensor=images, targets=wanted))

        return {"": theirs}

    def check(maps: Tensor, other: Tensor) -> Checked:
        # Where nothing speaks for the class, ours is NaN and theirs is zero.
        return Checked(furthest(maps.nan_to_num(0), other))

    return Case(ours, peers, check, images.nbytes, _passes(count))


def raw_maps(count: int) -> Case:
    images, targets = asked(count)

    def ours() -> Tensor:
        return grad_cam(net(), images, targets, LAYER)

    def peers() -> dict[str, Callable]:
        from captum.attr import LayerGradCam

        model = nothing_in_place()
        extractor = LayerGradCam(model, model.layer4)

        @relu_out_of_place()
        def theirs() -> Tensor:
            return extractor.attribute(images, targets)[:, 0].detach()

        return {"": theirs}

    def check(maps: Tensor, other: Tensor) -> Checked:
        return Checked(furthest(maps, other) / other.abs().max().item())

    return Case(ours, peers, check, images.nbytes, _passes(count))


class Given:
    """Stands in for torchcam's extractor: the maps are given."""

    def __init__(self, model: nn.Module, maps: Tensor):
        self.model, self.maps = model, maps

    def __call__(self, class_idx, scores) -> list[Tensor]:
        return [self.maps]

    def fuse_cams(self, maps: list[Tensor]) -> Tensor:
        return maps[0]

    def _hooks_off(self):
        return nullcontext()


def curves(count: int) -> Case:
    images, targets = asked(count, SMALL_SIDE)
    maps, model = drawn(count, SMALL_SIDE, SMALL_SIDE, seed=1), build("ResNet20", CLASSES).eval()

    def ours() -> tuple[float, float]:
        both = (run(model, images, maps, targets, STEPS) for run in (deletion, insertion))
        return tuple(curve.areas.mean().item() for curve in both)

    def peers() -> dict[str, Callable]:
        from torchcam.metrics import DeletionInsertionMetric

        softmax = partial(torch.softmax, dim=-1)

        def theirs(batch: int) -> tuple[float, float]:
            given = Given(model, maps)
            metric = DeletionInsertionMetric(given, softmax, steps=STEPS, batch_size=batch)
            metric.update(images, targets.tolist())
            found = metric.summary()
            return found["deletion_auc"], found["insertion_auc"]

        return {f"batches of {batch}": partial(theirs, batch) for batch in BATCHES}

    def check(areas: tuple, other: tuple) -> Checked:
        return Checked(max(abs(a - b) for a, b in zip(areas, other, strict=True)))

    # The whole image and the empty one are in both curves.
    work = 2 * STEPS * count * operations(model, (3, SMALL_SIDE, SMALL_SIDE))
    return Case(ours, peers, check, images.nbytes, work)


def _passes(count: int) -> float:
    return count * operations(net(), (3, SIDE, SIDE))


ROWS = (
    Row(
        "Grad-CAM",
        "Grad-CAM of {} images of 64 px as shown, ResNet18",
        "pytorch-grad-cam",
        "grad-cam",
        shown_maps,
        (16, 32, 64),
        "images",
        tolerance=1e-4,
        ratio=4,
    ),
    Row(
        "raw Grad-CAM",
        "The same, raw and signed",
        "captum",
        "captum",
        raw_maps,
        (16, 32, 64),
        "images",
        tolerance=1e-4,  # of the largest
    ),
    Row(
        "deletion and insertion",
        "Deletion and insertion curves of {} images of 32 px in 16 steps, ResNet20",
        "torchcam",
        "torchcam",
        curves,
        (16, 32, 64),
        "images",
        tolerance=1e-6,
    ),
)
