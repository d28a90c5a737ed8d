"""What a run does in each profile: seeds, images, epochs, recipes, and how long it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from helpers.datasets.imageset import ImageSet, Splits
from helpers.network.training import Recipe, every_epoch

QUESTIONS = {
    "00_start_here": "What data have I got, does everything work, where does each notebook lead?",
    "01_training": "How good is the net, and is the number true?",
    "02_class_divergence": "Which classes does the net confuse, and is that stable, human, and any "
    "better than t-SNE?",
    "03_image_signatures": "What kinds of image are inside a class, how did they form, and why was "
    "this one misread?",
    "04_logit_density": "Can I tell when not to trust the net?",
    "05_grad_cam": "Where does the net look when it errs?",
    "06_cam_with_fastai": "Is it looking at the animal or the sea?",
    "07_feature_maps": "What does each layer keep?",
}

# Minutes after set-up on two cores without a GPU: (quick on scenes, full on CIFAR-10 with nothing
# trained yet).
MINUTES = {
    "00_start_here": (0.5, 0.5),
    "01_training": (1, 45),
    "02_class_divergence": (1, 30),
    "03_image_signatures": (0.5, 25),
    "04_logit_density": (1, 30),
    "05_grad_cam": (0.5, 20),
    "06_cam_with_fastai": (1, 25),
    "07_feature_maps": (1, 20),
}

QUICK_IMAGES = 4_000
QUICK_TEST_IMAGES = 2_000


class Plan(NamedTuple):
    """What each profile uses.

    seeds        training seeds where a net is dear
    many_seeds   training seeds where it is cheap; the first are those above
    recipes      by name
    sea_seeds    training seeds of the small nets that learn scenes in notebook 06
    folds        how many times classes are held out, others each time
    loop_epochs  how long post A's loop is run
    resamples    of a bootstrap within one net
    map_images   how many images a t-SNE map shows at most
    map_nets     how many of the five nets are mapped
    map_seeds    seeds of t-SNE where it starts at random
    draws        halvings by which the stability of groups of images is judged
    pairs        pairs of images by which distances are explained
    explored     how many images the explorer in a notebook shows
    looked       images by which attention maps are judged where many passes are needed
    score_cams   images for which Score-CAM is made, which needs a pass for each channel
    """

    seeds: tuple[int, ...]
    many_seeds: tuple[int, ...]
    sea_seeds: tuple[int, ...]
    folds: int
    recipes: dict[str, Recipe]
    loop_epochs: int
    resamples: int
    map_images: int
    map_nets: int
    map_seeds: tuple[int, ...]
    draws: int
    pairs: int
    explored: int
    looked: int
    score_cams: int


def plan_for(settings) -> Plan:
    """The plan for these settings; training seeds are counted up from the one asked for."""
    five = tuple(range(settings.seed, settings.seed + 5))
    recipes = full_recipes(augmentation(settings.dataset))
    if settings.full:
        return Plan(
            five[:3],
            five,
            sea_seeds=five,
            folds=5,
            recipes=recipes,
            loop_epochs=5,
            resamples=1000,
            map_images=10_000,
            map_nets=5,
            map_seeds=five[:3],
            draws=10,
            pairs=200_000,
            explored=240,
            looked=500,
            score_cams=500,
        )
    recipes = {name: shorter(name, recipe) for name, recipe in recipes.items()}
    return Plan(
        five[:3],
        five[:3],
        sea_seeds=five[:3],
        folds=2,
        recipes=recipes,
        loop_epochs=2,
        resamples=200,
        map_images=500,
        map_nets=3,
        map_seeds=five[:2],
        draws=3,
        pairs=20_000,
        explored=200,
        looked=16,
        score_cams=8,
    )


def augmentation(dataset: str) -> tuple[str, ...]:
    # A mirrored 2 is no 2.
    return ("shift2",) if dataset == "digits" else ("flip", "shift2")


RESIDUAL = Recipe(
    epochs=100,
    batch=128,
    optimiser="SGD",
    rate=0.15,
    options=(("momentum", 0.9), ("nesterov", True), ("weight_decay", 5e-4)),
    schedule="one-cycle",
    precision="bfloat16",
    channels_last=True,
    keep="last",
)
RESIDUAL_POINTS = (0, 1 / 8, 1 / 2, 1, 2, 5, 10, 20, 40, 60)

# Of cats and dogs, whatever the run's own images are.
PHOTOGRAPHS = replace(
    RESIDUAL,
    epochs=120,
    batch=64,
    rate=0.1,
    augment=("flip", "crop25", "light30"),
    keep="best",
)

# 20 epochs were planned and the weights of the sixth were used.
POST_B = Recipe(
    epochs=6,
    batch=32,
    optimiser="Adam",
    rate=1e-3,
    augment=("rotate20", "crop80", "flip", "shear10"),
    keep="last",
)

# Of scenes, whatever the run's own images are, and of whales. Nothing is chosen, so the last
# weights are kept.
SEA = Recipe(
    epochs=12,
    batch=32,
    optimiser="AdamW",
    rate=3e-3,
    schedule="one-cycle",
    augment=("flip",),
    precision="bfloat16",
    channels_last=True,
    keep="last",
)


def full_recipes(augment: tuple[str, ...]) -> dict[str, Recipe]:
    wider = tuple("shift4" if name == "shift2" else name for name in augment)
    ours = Recipe(
        epochs=40,
        batch=256,
        optimiser="AdamW",
        rate=4e-3,
        schedule="one-cycle",
        augment=augment,
        precision="bfloat16",
        channels_last=True,
        keep="best",
    )
    return {
        "LeNet5, post A": Recipe(epochs=100, batch=128, optimiser="Adam", rate=1e-3, keep="last"),
        "LeNet5, ours": replace(ours, points=every_epoch(40)),
        "LeNet5, one minute": replace(ours, epochs=18),
        "SmallCNN, post E": Recipe(
            epochs=200, batch=32, optimiser="NAdam", rate=1e-3, patience=3, keep="last"
        ),
        "SmallCNN, ours": replace(ours, epochs=20),
        "LeNet5, scenes": replace(ours, epochs=8, batch=128, augment=("flip", "shift2")),
        "linear": replace(ours, epochs=10, precision="float32", channels_last=False),
        "ResNet20": replace(RESIDUAL, epochs=60, augment=wider, points=RESIDUAL_POINTS),
        "ResNet20, scenes": replace(RESIDUAL, epochs=3, augment=("flip", "shift4")),
        "ResNet20, two classes": replace(RESIDUAL, epochs=10, augment=wider),
        "SmallCNN, two classes": replace(
            ours, epochs=30, batch=128, augment=POST_B.augment, points=(1, 2, 5, 10, 30)
        ),
        "photographs": PHOTOGRAPHS,
        "ResNet50, post B": POST_B,
        "SmallCNN, sea": SEA,
        "SmallCNN, sea, erasing": replace(SEA, augment=(*SEA.augment, "cutout16")),
    }


QUICK_EPOCHS = {
    "LeNet5, post A": 6,
    "LeNet5, ours": 6,
    "LeNet5, one minute": 3,
    "SmallCNN, post E": 3,
    "SmallCNN, ours": 3,
    "LeNet5, scenes": 6,
    "linear": 4,
    "ResNet20": 6,
    "ResNet20, scenes": 2,
    "ResNet20, two classes": 3,
    "SmallCNN, two classes": 6,
    "photographs": 2,
    "ResNet50, post B": 1,
    "SmallCNN, sea": 5,
    "SmallCNN, sea, erasing": 5,
}


# So deep a net needs more steps than few images in large batches give.
QUICK_BATCH = {"ResNet20": 32}


def shorter(name: str, recipe: Recipe) -> Recipe:
    epochs, batch = QUICK_EPOCHS[name], QUICK_BATCH.get(name, recipe.batch)
    points = ()
    if recipe.points == every_epoch(recipe.epochs):
        points = every_epoch(epochs)
    elif recipe.points:
        points = (*(point for point in recipe.points if point < epochs), epochs)
    rate = recipe.rate * batch / recipe.batch
    short = replace(recipe, epochs=epochs, points=points, batch=batch, rate=rate)
    # Up to twice as fast. It rounds differently, so nets that ship keep the layout they had.
    return replace(short, channels_last=True)


def images_of(splits: Splits, settings) -> Splits:
    """The images that the profile uses: all, or in the quick profile a stratified few."""
    if settings.full:
        return splits
    few = (QUICK_IMAGES, QUICK_TEST_IMAGES, QUICK_TEST_IMAGES, QUICK_TEST_IMAGES)
    return Splits(*(some(part, count) for part, count in zip(splits, few, strict=True)))


def some(part: ImageSet, count: int) -> ImageSet:
    """The first images of each class, in equal shares of the set's own make-up, at most `count`."""
    if count >= len(part):
        return part
    share = count / len(part)
    rows = []
    for label in part.labels.unique():
        of_class = (part.labels == label).nonzero().flatten()
        rows.append(of_class[: max(1, int(share * len(of_class)))])
    return part.subset(torch.cat(rows).sort().values, f"first {count:,}")


def notebooks_table() -> str:
    """The notebooks beside a page, what they ask and how long they take, in Markdown."""
    head = "| notebook | asks | minutes, quick | minutes, full |\n| --- | --- | --- | --- |"
    rows = [
        f"| [`{name}`]({name}.ipynb) | {QUESTIONS[name]} | {quick:g} | {full:g} |"
        for name, (quick, full) in MINUTES.items()
    ]
    return "\n".join([head, *rows])
