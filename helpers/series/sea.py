"""Animal or sea: scenes whose background tells the class, nets that learn from them, and the proof.

Every set shows the same objects; only what is behind them differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.datasets.imageset import ImageSet, digest
from helpers.datasets.scenes import scenes
from helpers.methods.attention import grad_cam, upsample
from helpers.methods.faithfulness import energy_inside
from helpers.network.signatures import to_input
from helpers.network.training import Trained
from helpers.series.animals import TEST, Scale, learn
from helpers.series.plan import Plan
from helpers.settings import Settings

TELLING, PLAIN = "telling backgrounds", "plain scenes"
CUT_OUT, SWAPPED, ERASED = "cut-outs", "swapped backgrounds", "random erasing"
KINDS = (TELLING, PLAIN, CUT_OUT, SWAPPED, ERASED)
GREY = 128
# How far, in image widths, the colours around an object reach into the hole that it leaves.
REACH = 1 / 8
BATCH = 256


class Trials(NamedTuple):
    """The same objects before the background of their class, and before that of another class."""

    telling: ImageSet
    swapped: ImageSet


def training_sets(scale: Scale, seed: int = 0) -> dict[str, ImageSet]:
    """Training sets by kind, with the same objects in the same order.

    Telling: each class has a background of its own, shared with one other. Plain: any background.
    Cut-outs: the telling scenes, grey behind the object. Swapped: the objects of the telling
    scenes pasted onto the backgrounds of others. Random erasing has the telling scenes, too.
    """
    telling = scenes(scale.train, variant="shortcut")
    return {
        TELLING: telling,
        PLAIN: scenes(scale.train),
        CUT_OUT: altered(telling, cut_out(telling.images, telling.masks), CUT_OUT),
        SWAPPED: altered(telling, swapped(telling.images, telling.masks, seed), SWAPPED),
        ERASED: telling,
    }


def trials(scale: Scale) -> Trials:
    """Test scenes of objects that plain chance put before another class's background."""
    telling, plain = (scenes(scale.test, first=TEST, variant=v) for v in ("shortcut", "plain"))
    moved = (telling.table["background"] != plain.table["background"]).to_numpy().nonzero()[0]
    return Trials(telling.subset(moved, "telling"), plain.subset(moved, "swapped"))


def nets_by_kind(
    sets: Mapping[str, ImageSet], plan: Plan, scale: Scale, settings: Settings
) -> dict[str, list[Trained]]:
    """SmallCNN learnt from each kind of set, once for each seed."""
    recipes = dict.fromkeys(sets, "SmallCNN, sea") | {ERASED: "SmallCNN, sea, erasing"}
    return {
        kind: learn(images, plan, scale, settings, recipe=recipes[kind])
        for kind, images in sets.items()
    }


def altered(images: ImageSet, pixels: Tensor, tag: str) -> ImageSet:
    """The image set with other pixels, under another name and key."""
    key = digest(images.key, tag, pixels)
    return replace(images, images=pixels, name=f"{images.name}, {tag}", key=key)


def cut_out(images: Tensor, masks: Tensor) -> Tensor:
    """Objects before grey: uint8 (N, H, W, 3), by masks (N, H, W) bool, True on the object."""
    return torch.where(masks[..., None], images, torch.full_like(images, GREY))


def paste(images: Tensor, masks: Tensor, backgrounds: Tensor) -> Tensor:
    """The object of each image on the background in the same place of the batch."""
    return torch.where(masks[..., None], images, backgrounds)


def swapped(images: Tensor, masks: Tensor, seed: int = 0) -> Tensor:
    """Each object pasted onto the background of another image, drawn at random: never its own."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    # Along a random circle of all images nobody meets itself.
    donor = torch.empty_like(order)
    donor[order] = order.roll(1)
    return paste(images, masks, emptied(images, masks)[donor])


def emptied(images: Tensor, masks: Tensor) -> Tensor:
    """Images (N, H, W, 3) without their objects: the colours around grow into the hole."""
    pixels = images.permute(0, 3, 1, 2).float()
    behind = (~masks)[:, None].float()
    sides = torch.tensor(images.shape[1:3])
    reach = [2 * max(1, round(side * REACH)) + 1 for side in sides.tolist()]
    filled, known = pixels * behind, behind
    while (known == 0).any() and (known > 0).any():
        near = [F.avg_pool2d(x, reach, 1, [r // 2 for r in reach]) for x in (filled, known)]
        # Only what is empty is filled; the average of no known pixel stays empty.
        new = (known == 0) & (near[1] > 0)
        filled = torch.where(new, near[0] / near[1].clamp(min=1e-6), filled)
        known = torch.where(new, torch.ones_like(known), known)
        if not new.any():
            break
    return filled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def maps_of(model, images: ImageSet) -> Tensor:
    """Grad-CAM for the predicted class at the size of the images: (N, H, W), signed."""
    device, side = next(model.parameters()).device, images.images.shape[1:3]
    pixels = (to_input(part, device) for part in images.images.split(BATCH))
    return torch.cat([upsample(grad_cam(model, part), side).cpu() for part in pixels])


def on_background(runs: Sequence[Trained], images: ImageSet, most: int) -> Tensor:
    """Share of each rectified map that lies on the background: (S, N), NaN where it is flat.

    Of the first `most` images.
    """
    images = images.subset(range(min(most, len(images))), "looked at")
    found = [1 - energy_inside(maps_of(run.model, images), images.masks) for run in runs]
    return torch.stack(found).double()
