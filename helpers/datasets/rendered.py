"""Generated scenes kept on disk, four sets of different images in one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from .cache import cached
from .imageset import ImageSet, digest
from .progress import progress
from .scenes import scenes

SIZES = {"train": 20_000, "validation": 2_000, "calibration": 2_000, "test": 4_000}
_BLOCK = 1_000


def rendered_scenes(
    cache_dir: Path, size: int, seed: int, variant: str, say: Callable[[str], None] = print
) -> ImageSet:
    """28,000 scenes of size x size with masks; the table has part, `SIZES` of each.

    `variant` is one that `scenes` knows. Kept until the code that draws them changes.
    """
    code = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("scene*.py"))]
    name = f"scenes-{variant}-{size}-{digest(*code, SIZES, seed)}"
    return cached(cache_dir, name, lambda: _rendered(size, seed, variant, say))


def _rendered(size: int, seed: int, variant: str, say: Callable[[str], None]) -> ImageSet:
    count = sum(SIZES.values())
    advance = progress("rendering scenes", count, say=say)
    blocks = []
    for first in range(0, count, _BLOCK):
        blocks.append(scenes(_BLOCK, size=size, seed=seed, first=first, variant=variant))
        advance(_BLOCK)
    parts = [part for part, number in SIZES.items() for _ in range(number)]
    return ImageSet(
        images=torch.cat([block.images for block in blocks]),
        labels=torch.cat([block.labels for block in blocks]),
        classes=blocks[0].classes,
        table=pd.concat([block.table for block in blocks], ignore_index=True).assign(part=parts),
        name="scenes" if variant == "plain" else blocks[0].name,
        key=digest(*(block.key for block in blocks), SIZES),
        masks=torch.cat([block.masks for block in blocks]),
    )
