"""Images on the device as bytes, the batches made of them there, and a network's error on them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.datasets.imageset import ImageSet
from helpers.methods import metrics
from helpers.methods.layers import eval_mode


class Evaluation(NamedTuple):
    """Mean cross-entropy in nats, and the share of images that `metrics.right` takes for right."""

    loss: float
    accuracy: float


class Held(NamedTuple):
    """Images as bytes (N, 3, H, W) and labels on the device, and the layout of their batches."""

    images: Tensor
    labels: Tensor
    layout: torch.memory_format

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs, float (n, 3, H, W) in 0..1, and labels of these rows."""
        pixels = self.images.index_select(0, rows)
        inputs = pixels.to(torch.float32, memory_format=self.layout).div_(255)
        return inputs, self.labels.index_select(0, rows)


def hold(
    imageset: ImageSet,
    device: torch.device,
    layout: torch.memory_format = torch.contiguous_format,
) -> Held:
    """Put a set on the device, once for a whole training. Raises ValueError for an empty one."""
    if len(imageset) == 0:
        raise ValueError(f"{imageset.name} holds no images")
    images = imageset.images.to(device).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    return Held(images, imageset.labels.to(device), layout)


@torch.inference_mode()
def error_on(model: nn.Module, held: Held, batch: int = 512) -> Evaluation:
    """Loss and accuracy on a held set in evaluation mode; the modes are restored."""
    # MPS has no float64; float32 still counts exactly up to 16 million images.
    sums = torch.zeros(2, device=held.labels.device)
    rows = torch.arange(len(held.labels), device=held.labels.device)
    with eval_mode(model):
        for some in rows.split(batch):
            inputs, labels = held.batch(some)
            logits = model(inputs)
            sums[0] += F.cross_entropy(logits, labels, reduction="sum")
            sums[1] += metrics.right(logits, labels).sum()
    loss, correct = sums.tolist()
    return Evaluation(loss / len(rows), correct / len(rows))


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch takes `count` images: a permutation, the same everywhere."""
    generator = torch.Generator().manual_seed(stream("order", seed, epoch))
    return torch.randperm(count, generator=generator)


def stream(purpose: str, seed: int, epoch: int) -> int:
    """A seed of its own for each purpose and epoch of a training."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed} {epoch}".encode()).digest()[:7])


@contextmanager
def own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seed what dropout draws from; the global random state comes back at the end."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        # torch.manual_seed would reseed every other GPU as well.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
