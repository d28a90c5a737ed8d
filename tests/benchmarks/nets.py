"""Data and counts that several rows share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from helpers.datasets.imageset import ImageSet
from helpers.datasets.load import load
from helpers.settings import read_settings


@cache
def scene_images() -> ImageSet:
    """The training images of scenes, 20,000 of 32 px, made once and kept in the cache."""
    return load(replace(read_settings(), dataset="scenes")).train


def some_scenes(count: int) -> ImageSet:
    return scene_images().subset(range(count), f"first {count:,}")


def operations(net: nn.Module, shape: tuple[int, int, int], backward: bool = False) -> float:
    """Multiply-adds that a net takes for one image (C, H, W), with the way back or without."""
    with FlopCounterMode(display=False) as counter:
        logits = net(torch.zeros(2, *shape))
        if backward:
            logits.sum().backward()
            net.zero_grad()
    # Two operations make a multiply-add, and there are two images.
    return counter.get_total_flops() / 4


def furthest(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors."""
    return (a.double() - b.double()).abs().max().item()
