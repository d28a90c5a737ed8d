"""Notebook 06 as a user of fastai writes it: images and a CSV on disk, and a learner that is quiet.

fastai takes seconds to import and warns with paths as it does, so it is imported here, inside
functions, and nowhere else in `helpers`.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from helpers.datasets.files import files_in
from helpers.datasets.imageset import ImageSet, Splits, digest, of_classes
from helpers.datasets.known import whales_places
from helpers.datasets.scenes import scenes
from helpers.methods.layers import capture, eval_mode
from helpers.series.animals import VIEWS
from helpers.series.plan import some
from helpers.settings import Settings

if TYPE_CHECKING:
    from fastai.vision.all import DataLoaders, Learner

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
# Of scenes written out: a size at which a photograph's net sees something.
SCENE_SIDE = 64
JPEG_QUALITY = 95


class Course(NamedTuple):
    """How much of the post's training a profile does.

    images  written out at most, before a fifth is held out
    resize, side  pixels: of an image as it is read, and as the net sees it
    batch  the post has 128, with 51,000 images
    epochs, from_nothing  after one with frozen body; the second where there are no ImageNet weights
    """

    images: int
    resize: int
    side: int
    batch: int
    epochs: int
    from_nothing: int


class Written(NamedTuple):
    """A folder of images and the table that names them, as on Kaggle."""

    folder: Path
    table: Path


class Seen(NamedTuple):
    """What a learner says of the images of its validation set.

    images  float (N, 3, H, W) as the net takes them; maps (N, K, h, w), the output of its body;
    logits (N, C); labels (N,)
    """

    images: Tensor
    maps: Tensor
    logits: Tensor
    labels: Tensor


def course_for(settings: Settings) -> Course:
    if settings.full:
        return Course(images=2_000, resize=160, side=128, batch=32, epochs=2, from_nothing=6)
    return Course(images=120, resize=112, side=96, batch=16, epochs=1, from_nothing=1)


def import_fastai() -> None:
    """Import fastai once, without its warnings: they hold paths of this machine.

    What it draws in a notebook is stored as JPEG, for a small one.
    """
    from IPython import get_ipython

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fastai.vision.all  # noqa: F401
    shell = get_ipython()
    if shell is not None:
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['jpeg']")


def written_out(data: Splits, settings: Settings) -> Written:
    """Images as JPEGs, and a CSV with image, species and, where known, individual_id.

    Whales as they are on disk, unpacked where they lie in a zip; of scenes, individuals in several
    views, whose shapes are the species; of CIFAR-10 the six animals; of anything else the first
    images of each class. In the cache, once.
    """
    if settings.dataset == "whales":
        return _whales(settings)
    images = _animals(data, course_for(settings).images, settings.dataset)
    folder = settings.cache_dir / "fastai" / f"jpeg-{digest(images.key, JPEG_QUALITY)}"
    return _once(folder, lambda draft: _write(images, draft))


def plain(learn: Learner, say: Callable[[str], None] = print) -> Learner:
    """The learner with a line of text for each epoch in place of a table that redraws itself."""
    from fastai.vision.all import Callback, ProgressCallback, noop

    class Lines(Callback):
        order = ProgressCallback.order + 1

        def before_fit(self):
            # Predictions are epochs to fastai, too.
            self.run = not hasattr(self, "gather_preds")
            self.learn.logger = noop

        def after_epoch(self):
            names = (name.replace("_", " ") for name in self.recorder.metric_names[1:-1])
            found = zip(names, self.recorder.values[-1], strict=True)
            body = " (body frozen)" if self.opt.frozen_idx > 0 else ""
            values = ", ".join(f"{name} {value:.3f}" for name, value in found)
            say(f"epoch {self.epoch + 1} of {self.n_epoch}{body}: {values}")

    learn.remove_cb(ProgressCallback)
    learn.add_cb(Lines())
    return learn


@contextmanager
def fastai_pictures() -> Iterator[None]:
    """Let fastai draw its titles as it expects to."""
    import matplotlib

    # fastai adds the second line of a title to what it finds in the middle of the axes.
    wanted = {"axes.titlelocation": "center", "axes.titlesize": 9}
    before = {name: matplotlib.rcParams[name] for name in wanted}
    matplotlib.rcParams.update(wanted)
    try:
        yield
    finally:
        # Not `rc_context`, which would undo what the first figure sets up for all that follow.
        matplotlib.rcParams.update(before)


def look(learn: Learner, most: int = 1_000) -> Seen:
    """What the net makes of its validation images, of at most about `most`, in their order."""
    parts = []
    with eval_mode(learn.model), torch.no_grad(), capture(learn.model, ["0"]) as kept:
        for images, labels in learn.dls.valid:
            logits = learn.model(images)
            found = (images, kept["0"], logits, labels)
            parts.append([x.as_subclass(Tensor).detach().cpu() for x in found])
            if sum(len(part[0]) for part in parts) >= most:
                break
    return Seen(*(torch.cat(column) for column in zip(*parts, strict=True)))


def in_colour(dls: DataLoaders, images: Tensor) -> Tensor:
    """Images as the net takes them, (N, 3, H, W), as pixels to look at: uint8 (N, H, W, 3)."""
    from fastai.vision.all import Normalize

    scale = next(step for step in dls.after_batch.fs if isinstance(step, Normalize))
    mean, std = (x.as_subclass(Tensor).cpu() for x in (scale.mean, scale.std))
    pixels = (images * std + mean).clamp(0, 1) * 255
    return pixels.round().byte().permute(0, 2, 3, 1)


def missed(logits: Tensor, means: Tensor) -> Tensor:
    """Share of the variance of `logits` (N,) that `means` (N,) miss: 0 where they are the same.

    Above 1 where they do worse than the mean logit would.
    """
    return (logits - means).square().sum() / (logits - logits.mean()).square().sum()


def _animals(data: Splits, most: int, dataset: str) -> ImageSet:
    if dataset.startswith("scenes"):
        return scenes(most, size=SCENE_SIDE, views=VIEWS)
    train = data.train
    if dataset == "cifar10":
        train = of_classes(train, ANIMALS)
    return some(train, most)


def _whales(settings: Settings) -> Written:
    table, images = whales_places(settings.data_dir)
    if images.suffix != ".zip":
        # Kaggle's small photographs lie in a folder within one of the same name.
        inside = (images / name for name in ("images", images.name))
        folder = next((place for place in inside if place.is_dir()), images)
        return Written(folder, table if table.is_file() else table / "train.csv")
    stat = images.stat()
    name = f"whales-{digest(stat.st_size, stat.st_mtime_ns)}"
    return _once(settings.cache_dir / "fastai" / name, lambda draft: _unpack(images, draft))


def _unpack(place: Path, draft: Path) -> None:
    files = files_in(place)
    for name in files.names:
        if name == "train.csv" or name.startswith("images/"):
            to = draft / Path(name).name if name == "train.csv" else draft / name
            to.write_bytes(files.read(name))


def _once(folder: Path, write: Callable[[Path], None]) -> Written:
    """What `write` leaves in `folder`, whole or not at all."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as made:
            draft = Path(made) / "draft"
            (draft / "images").mkdir(parents=True)
            write(draft)
            # Another process may have been quicker.
            if not folder.exists():
                shutil.move(draft, folder)
    return Written(folder / "images", folder / "train.csv")


def _write(images: ImageSet, draft: Path) -> None:
    names = [f"{row:05}.jpg" for row in range(len(images))]
    for name, pixels in zip(names, images.images.numpy(), strict=True):
        picture = Image.fromarray(pixels)
        picture.save(draft / "images" / name, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    table = pd.DataFrame({"image": names, "species": _species(images)})
    if "individual" in images.table:
        table["individual_id"] = [_name_of(x) for x in images.table["individual"]]
    table.to_csv(draft / "train.csv", index=False)


def _species(images: ImageSet) -> Sequence[str]:
    return [images.classes[label] for label in images.labels.tolist()]


def _name_of(individual) -> str:
    return "" if pd.isna(individual) else f"{individual}"
