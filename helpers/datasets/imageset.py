"""The one container for images with labels, and how a set of them is divided."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from .dividing import divide


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size, with what is known of each.

    ``images`` is uint8 (N, H, W, 3), ``labels`` int64 (N,), ``masks`` None or bool (N, H, W);
    ``table`` has a row for each image. ``key`` is a short hex digest of the content: the same
    on every machine, and what caches are keyed by. Raises ValueError where these disagree.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    table: pd.DataFrame
    name: str
    key: str
    masks: torch.Tensor | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        _check_images(self)
        _check_labels(self)
        _check_masks(self)

    def __len__(self) -> int:
        return len(self.images)

    def subset(
        self, rows: Sequence[int] | torch.Tensor, tag: str, notes: tuple[str, ...] = ()
    ) -> "ImageSet":
        """Only these rows, in this order; `tag` is added to the name, and the rows to the key."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            table=self.table.iloc[rows.numpy()].reset_index(drop=True),
            name=f"{self.name}, {tag}",
            key=digest(self.key, rows),
            masks=None if self.masks is None else self.masks[rows],
            notes=self.notes + notes,
        )


class Splits(NamedTuple):
    """Four sets of different images: to fit, to choose, to set thresholds, to judge."""

    train: ImageSet
    validation: ImageSet
    calibration: ImageSet
    test: ImageSet


Images = TypeVar("Images", ImageSet, Splits)


def digest(*parts: object) -> str:
    """Short hex digest of tensors, with shape and type, and of anything with a stable repr."""
    found = blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, torch.Tensor):
            found.update(repr((tuple(part.shape), str(part.dtype))).encode())
            found.update(part.cpu().contiguous().numpy().reshape(-1).view(np.uint8))
        else:
            found.update(repr(part).encode())
    return found.hexdigest()


def counts(imageset: ImageSet) -> pd.Series:
    """How many images each class has, in the order of the classes."""
    found = torch.bincount(imageset.labels, minlength=len(imageset.classes))
    return pd.Series(found.numpy(), index=list(imageset.classes), name="images")


def of_classes(images: Images, names: Sequence[str]) -> Images:
    """Only the images of these classes, labelled 0, 1, … in the order of `names`; of every part.

    Images keep their order, with their rows of the table and their masks; the key follows the
    classes and their order. Raises ValueError for a class that there is not, or named twice.
    """
    if isinstance(images, Splits):
        return Splits(*(of_classes(part, names) for part in images))
    _check_names(images, names)
    old = torch.tensor([images.classes.index(name) for name in names])
    part = images.subset(torch.isin(images.labels, old).nonzero().flatten(), _tag(images, names))
    new = torch.empty(len(images.classes), dtype=torch.int64)
    new[old] = torch.arange(len(names))
    key = digest(part.key, tuple(names))
    return replace(part, labels=new[part.labels], classes=tuple(names), key=key)


def without_classes(images: Images, names: Sequence[str]) -> Images:
    """All images but those of these classes, the others labelled in their order (`of_classes`)."""
    first = images.train if isinstance(images, Splits) else images
    _check_names(first, names)
    return of_classes(images, [name for name in first.classes if name not in names])


def shrink(imageset: ImageSet, side: int) -> ImageSet:
    """The same images at side x side, by averaging areas.

    Raises ValueError for images that are not square or not larger than `side`.
    """
    height, width = imageset.images.shape[1:3]
    if height != width or not 0 < side <= width:
        raise ValueError(f"images of {height}x{width} cannot be shrunk to {side}x{side}.")
    images = torch.cat([_averaged(batch, side) for batch in imageset.images.split(1024)])
    masks = None
    if imageset.masks is not None:
        covered = F.adaptive_avg_pool2d(imageset.masks[:, None].float(), side)
        masks = covered[:, 0] >= 0.5
    key = digest(imageset.key, "shrink", side)
    return replace(imageset, images=images, masks=masks, key=key)


def split(
    imageset: ImageSet,
    parts: Mapping[str, float],
    seed: int = 0,
    groups: Iterable[Hashable] | None = None,
) -> dict[str, ImageSet]:
    """Divide into named parts by class and, where given, by groups that stay together.

    `divide` says how. Classes with fewer images than there are parts stay whole in the first,
    with a note.
    """
    rows = divide(imageset.labels, parts, seed, groups)
    notes = left_whole(counts(imageset), parts)
    return {tag: imageset.subset(found, tag, notes) for tag, found in rows.items()}


def left_whole(per_class: pd.Series, parts: Mapping[str, float]) -> tuple[str, ...]:
    """A note on the classes too small to be in every part, if there are any."""
    small = [f"{name} ({n})" for name, n in per_class.items() if 0 < n < len(parts)]
    first = next(iter(parts))
    return (f"too few to be divided, all in {first}: {', '.join(small)}",) if small else ()


def _check_names(imageset: ImageSet, names: Sequence[str]) -> None:
    wrong = [name for name in names if name not in imageset.classes]
    if not names or wrong or len(set(names)) < len(names):
        raise ValueError(
            f"{imageset.name} has no such choice of classes as {', '.join(names) or 'none'}: "
            f"give some of {', '.join(imageset.classes)}, each once."
        )


def _tag(imageset: ImageSet, names: Sequence[str]) -> str:
    few = len(names) <= 3
    return " and ".join(names) if few else f"{len(names)} of {len(imageset.classes)} classes"


def _averaged(images: torch.Tensor, side: int) -> torch.Tensor:
    pixels = images.permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(pixels, side).round().byte().permute(0, 2, 3, 1).contiguous()


def _check_images(imageset: ImageSet) -> None:
    images = imageset.images
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        shape = tuple(images.shape)
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {shape}.")
    if len(imageset.table) != len(images):
        raise ValueError(f"the table has {len(imageset.table)} rows for {len(images)} images.")


def _check_labels(imageset: ImageSet) -> None:
    labels, classes, count = imageset.labels, imageset.classes, len(imageset.images)
    if labels.dtype != torch.int64 or labels.shape != (count,):
        shape = tuple(labels.shape)
        raise ValueError(f"labels must be int64 ({count},), not {labels.dtype} {shape}.")
    if len(set(classes)) != len(classes):
        raise ValueError(f"each class must be named once, not as in {', '.join(classes)}.")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        span = f"{int(labels.min())}..{int(labels.max())}"
        raise ValueError(f"labels must be 0..{len(classes) - 1}, a class each, not {span}.")


def _check_masks(imageset: ImageSet) -> None:
    masks, shape = imageset.masks, tuple(imageset.images.shape[:3])
    if masks is not None and (masks.dtype != torch.bool or tuple(masks.shape) != shape):
        raise ValueError(f"masks must be bool {shape}, not {masks.dtype} {tuple(masks.shape)}.")
