"""What notebook 04 asks nets about: two classes, classes held out in turn, images of no class."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.datasets.imageset import ImageSet, Splits, counts, without_classes
from helpers.datasets.load import load
from helpers.datasets.outside import blank, noise, photographs
from helpers.datasets.rendered import SIZES
from helpers.datasets.scenes import FAMILIES, scenes
from helpers.methods import metrics
from helpers.methods.density import LogitDensity, class_log_density, joint_log_density
from helpers.methods.rejection import from_layers, from_logits
from helpers.network.augmentation import augment
from helpers.network.signatures import signatures, to_input
from helpers.network.training import Trained, load_or_train
from helpers.series.nets import also, quiet, train
from helpers.series.plan import Plan
from helpers.series.yardsticks import VEHICLES
from helpers.settings import Settings

# The last hidden layer of each net.
LAST = {"LeNet5": "tanh4", "SmallCNN": "relu3", "ResNet20": "flatten", "ResNet20x2": "flatten"}
RIVALS = (
    "maximum softmax",
    "maximum logit",
    "energy",
    "entropy",
    "margin",
    "generalised entropy",
    "k nearest",
    "Mahalanobis",
    "ViM",
)
POST, BY_CLASS, JOINT = "density, post", "density by class", "density, joint"
LARGEST = "density of the largest logit"
# Kinds of images of other classes, and of none.
ALIKE, UNLIKE, OTHERS = "classes of the same kind", "classes of another kind", "other classes"
HELD_OUT = "held-out classes"
# Training images to which distances in a layer are taken: more would tell little and take long.
MOST_FITTED = 10_000
HELD_OUT_SHAPES = 600


class Heard(NamedTuple):
    """What a net says of N images: logits (N, C) and the last hidden layer (N, D)."""

    logits: Tensor
    layer: Tensor


class Known(NamedTuple):
    """A net, the images whose classes it knows, and what it says of them.

    train  of at most MOST_FITTED images, as many labels beside them
    """

    run: Trained
    data: Splits
    train: Heard
    train_labels: Tensor
    validation: Heard
    calibration: Heard
    test: Heard

    @property
    def right(self) -> Tensor:
        """Which test images it reads rightly, bool (N,)."""
        return metrics.right(self.test.logits, self.data.test.labels)


def pair_of(train: ImageSet) -> tuple[str, str]:
    """The two classes that stand for the post's: cat and dog, else the two with most images."""
    if {"cat", "dog"} <= set(train.classes):
        return "cat", "dog"
    commonest = counts(train).sort_values(ascending=False, kind="stable").index[:2]
    return tuple(sorted(commonest, key=train.classes.index))


def held_out(classes: Sequence[str], folds: int) -> list[tuple[str, ...]]:
    """Which classes are held out: each time the next fifth of them, at most `folds` times.

    Where there are fewer than four, nothing is held out, once.
    """
    if len(classes) < 4:
        return [()]
    size = len(classes) // 5 or 1
    firsts = range(0, len(classes) - size + 1, size)
    return [tuple(classes[first : first + size]) for first in firsts][:folds]


def strangers(data: Splits, known: Sequence[str], settings: Settings) -> dict[str, Tensor]:
    """Images of no class among `known`, uint8 (M, side, side, 3), by kind, the nearest first.

    Test images of other classes, of the same kind (animals, say) or of another, where it is known;
    then those of `elsewhere`.
    """
    found = _other_classes(data.test, known, _kinds(data.test.classes, settings))
    there = {name: images for name, images in found.items() if len(images)}
    return there | elsewhere(data, settings)


def elsewhere(data: Splits, settings: Settings) -> dict[str, Tensor]:
    """Images of no class of the dataset, uint8 (M, side, side, 3), by kind, the nearest first.

    On scenes shapes that no net has seen; photographs, brought to the files' form, where they are
    at hand; noise and blanks, a tenth as many as there are test images.
    """
    side, few = data.test.images.shape[1], max(20, len(data.test) // 10)
    found = {}
    if settings.dataset == "scenes":
        # Beyond those of the dataset: the same number would give the same scene.
        first = sum(SIZES.values())
        more = scenes(HELD_OUT_SHAPES, size=side, first=first, held_out=True)
        found["held-out shapes"] = more.images
    taken = photographs(data.test, settings, say=quiet)
    if taken is not None:
        found["photographs"] = taken.images
    seed = settings.seed
    return found | {"noise": noise(few, side, seed), "blank": blank(few, side, seed)}


def unknown_to(part: Splits, data: Splits) -> dict[str, Tensor]:
    """Test images of the classes of `data` that `part` lacks, by kind; none where it lacks none."""
    missing = [name not in part.test.classes for name in data.test.classes]
    held = data.test.images[torch.tensor(missing)[data.test.labels]]
    return {HELD_OUT: held} if len(held) else {}


def fold_nets(
    data: Splits, plan: Plan, settings: Settings, say: Callable[[str], None] = print
) -> list[tuple[tuple[str, ...], Splits, list[Trained]]]:
    """For each choice of classes held out: they, the images without them, and a LeNet5 by seed."""
    found = []
    for names in held_out(data.train.classes, plan.folds):
        part = without_classes(data, names) if names else data
        runs = train("LeNet5", "LeNet5, one minute", part, plan, settings, plan.seeds, say=quiet)
        shares = ", ".join(f"{100 * run.card['validation_accuracy']:.1f}" for run in runs)
        say(f"without {' and '.join(names) or 'nothing'}: {shares} % of validation images right")
        found.append((names, part, runs))
    return found


def hear(run: Trained, images: Tensor) -> Heard:
    layer = LAST[run.card["model"]]
    seen = signatures(run.model, images, [layer], say=quiet)
    return Heard(seen.logits.double(), seen.layers[layer].double())


def ask(run: Trained, data: Splits) -> Known:
    """What a net says of all four parts of its images."""
    fitted = some_of(data.train, MOST_FITTED)
    parts = (hear(run, part.images) for part in (fitted, *data[1:]))
    heard = dict(zip(("train", "validation", "calibration", "test"), parts, strict=True))
    return Known(run, data, train_labels=fitted.labels, **heard)


def some_of(imageset: ImageSet, count: int) -> ImageSet:
    """At most `count` of the images, drawn at random, always the same."""
    order = torch.randperm(len(imageset), generator=torch.Generator().manual_seed(0))
    return imageset.subset(order[:count], "some")


def rejection_scores(known: Known, heard: Heard) -> dict[str, Tensor]:
    """Every rejection score (N,) of images that the net of `known` was asked about, by name.

    Densities are fitted on validation images, distances in the layer on training images.
    """
    head = known.run.model.logits
    weight, bias = head.weight.detach().cpu(), head.bias.detach().cpu()
    fitted = (known.train.layer, known.train_labels, known.train.logits)
    return {
        **density_scores(known, heard.logits),
        **from_logits(heard.logits),
        **from_layers(*fitted, heard.layer, heard.logits, weight.double(), bias.double()),
    }


def density_scores(known: Known, logits: Tensor) -> dict[str, Tensor]:
    """Four densities of logits (N, C), as rejection scores: minus their logarithm, (N,).

    The post's, the mean of an image's densities over the classes, without training images and
    without augmentation; by class, the sum over the classes of prior times density of the logits
    given the class, each logit by itself; joint, one density of all logits together; that of the
    largest logit alone. NaN for a density that too few validation images do not give.
    """
    fitted = known.validation.logits
    largest = LogitDensity().fit(fitted.amax(1, keepdim=True))
    return {
        POST: minus_log_density(LogitDensity().fit(fitted), logits),
        BY_CLASS: -_class_evidence(fitted, known.data.validation.labels, logits),
        JOINT: -_joint(fitted, logits),
        LARGEST: -largest.log_density(logits.amax(1, keepdim=True))[:, 0],
    }


def minus_log_density(density: LogitDensity, logits: Tensor) -> Tensor:
    """Minus the logarithm of the post's score, the mean density over the classes, (N,)."""
    return math.log(logits.shape[1]) - density.log_density(logits).logsumexp(1)


def augmented_logits(run: Trained, images: Tensor, spec: Sequence[str], seed: int) -> Tensor:
    """Logits (N, C), in evaluation mode, of images (N, H, W, 3) changed as in training."""
    generator = torch.Generator().manual_seed(seed)
    device = next(run.model.parameters()).device
    with torch.inference_mode():
        parts = images.split(128)
        found = [run.model(augment(to_input(x, device), spec, generator)).cpu() for x in parts]
    return torch.cat(found).double()


def shifted(images: Tensor, seed: int) -> Tensor:
    """Images (N, H, W, 3) at half their brightness, with noise of 20 grey levels."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for some in images.split(1000):
        grain = 20 * torch.randn(some.shape, generator=generator)
        parts.append((some / 2 + grain).clamp(0, 255).byte())
    return torch.cat(parts)


def drifted(run: Trained, imageset: ImageSet, spec: Sequence[str], seed: int) -> nn.Module:
    """A copy of the net after an epoch in training mode without training, on augmented images.

    No weight changes, but batch normalisation follows the batches: what happens to a net of which
    only the last layer is trained, and which is not put in evaluation mode.
    """
    model = copy.deepcopy(run.model).train()
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    order = torch.randperm(len(imageset), generator=generator)
    with torch.no_grad():
        for rows in order.split(128):
            model(augment(to_input(imageset.images[rows], device), spec, generator))
    return model.eval()


def cats_and_dogs(settings: Settings, plan: Plan) -> tuple[Known, dict[str, Tensor]] | None:
    """Our net for photographs of cats and dogs, and photographs of neither, by kind.

    None in the quick profile and where the photographs of either are not at hand.
    """
    data = also("catdog", settings)
    sets = elsewhere(data, replace(settings, dataset="catdog")) if data else {}
    if "photographs" not in sets:
        return None
    return ask(_photograph_net(data, settings, plan), data), sets


def photograph_net(settings: Settings, plan: Plan) -> tuple[Trained, Splits] | None:
    """Our net for photographs of cats and dogs (it ships), and these.

    None in the quick profile and where the photographs are not at hand.
    """
    data = also("catdog", settings)
    return (_photograph_net(data, settings, plan), data) if data else None


def _photograph_net(data: Splits, settings: Settings, plan: Plan) -> Trained:
    asked = replace(settings, dataset="catdog")
    return train("ResNet20x2", "photographs", data, plan, asked, plan.seeds[:1])[0]


def post_b(settings: Settings, plan: Plan) -> tuple[Trained, Splits] | None:
    """The post's ResNet50 and its images, 224 px; None where its claims cannot be judged.

    On `catdog` in the full profile; ImageNet's weights are downloaded where they are not in
    torch's cache.
    """
    if settings.dataset != "catdog" or not settings.full:
        return None
    options = {"weights": "imagenet", "frozen": True}
    data = load(settings, side=224, say=quiet)
    recipe, seed = plan.recipes["ResNet50, post B"], settings.seed
    try:
        return load_or_train("ResNet50", *data[:2], recipe, settings, seed=seed, **options), data
    except RuntimeError as error:
        print(error)
        return None


def _class_evidence(fitted: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """Log of the sum over classes of prior times density; classes of one image are left out."""
    images = labels.bincount()
    there = (images >= 2).nonzero().flatten()
    rows = torch.isin(labels, there)
    compact = torch.searchsorted(there, labels[rows])
    try:
        by_class = class_log_density(fitted[rows], compact, logits)
    except ValueError:
        return logits.new_full((len(logits),), torch.nan)
    return (by_class + (images[there] / images[there].sum()).log()).logsumexp(1)


def _joint(fitted: Tensor, logits: Tensor) -> Tensor:
    try:
        return joint_log_density(fitted, logits)
    except ValueError:
        return logits.new_full((len(logits),), torch.nan)


def _other_classes(
    test: ImageSet, known: Sequence[str], kinds: Mapping[str, str]
) -> dict[str, Tensor]:
    """Test images of classes not in `known`, those of the same kind apart from the others."""
    near = {kinds.get(name) for name in known}
    alike = torch.tensor([kinds.get(name) in near for name in test.classes])
    other = torch.tensor([name not in known for name in test.classes])
    same = test.images[(alike & other)[test.labels]]
    if not kinds:
        return {OTHERS: same}
    return {ALIKE: same, UNLIKE: test.images[(~alike & other)[test.labels]]}


def _kinds(classes: Sequence[str], settings: Settings) -> dict[str, str]:
    """The kind of each class, where it is known."""
    if settings.dataset == "cifar10":
        return {name: "vehicle" if name in VEHICLES else "animal" for name in classes}
    if settings.dataset == "scenes":
        return {shape: family for family, shapes in FAMILIES.items() for shape in shapes}
    return {}
