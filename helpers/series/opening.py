"""The first cell of every notebook: settings, images, plan, and what they mean, in a few lines."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pandas as pd
import torch

from helpers.datasets.imageset import Splits
from helpers.datasets.load import load
from helpers.network.memory import keep_freed_memory
from helpers.series.plan import MINUTES, QUICK_IMAGES, QUICK_TEST_IMAGES, Plan, images_of, plan_for
from helpers.settings import Settings, read_settings
from helpers.show.style import apply_style


def open_notebook(number: str, side: int | None = None) -> tuple[Settings, Splits, Plan]:
    """Settings from the environment, the images they ask for, and the plan; all three are shown.

    `side` makes images smaller or larger (side x side pixels) where their reader allows it.
    Raises what `read_settings` and `load` raise: a dataset that cannot be had is an error.
    """
    keep_freed_memory()
    apply_style()
    # The claims are sentences, and pandas would cut them off.
    pd.options.display.max_colwidth = None
    settings = read_settings()
    data = images_of(load(settings, side=side), settings)
    plan = plan_for(settings)
    print(described(number, settings, data, plan))
    return settings, data, plan


def described(number: str, settings: Settings, data: Splits, plan: Plan) -> str:
    name = next(name for name in MINUTES if name.startswith(number))
    minutes = MINUTES[name][settings.full]
    measured_on = "as measured on " + ("CIFAR-10" if settings.full else "scenes")
    counts = ", ".join(
        f"{len(part):,} {use}"
        for part, use in zip(data, ("training", "validation", "calibration", "test"), strict=True)
    )
    side = f"{data.test.images.shape[1]} x {data.test.images.shape[2]}"
    lines = [
        ("dataset", f"{data.test.name}: {len(data.test.classes)} classes, {side} pixels"),
        ("images", counts),
        ("profile", f"{settings.profile}: {profile_line(number, settings, plan)}"),
        ("other", other_profile(number, settings)),
        ("device", device_line(settings.device)),
        (
            "minutes",
            f"about {minutes:g} on two cores with nothing trained yet, {measured_on}",
        ),
    ]
    for text in dict.fromkeys(note for part in data for note in part.notes):
        lines.append(("note", text))
    return "\n".join(indented(name, text) for name, text in lines)


def indented(name: str, text: str) -> str:
    """A line of the settings cell, broken where a page of the book would cut it."""
    return textwrap.fill(f"{name:9}{text}", width=78, subsequent_indent=" " * 9)


def profile_line(number: str, settings: Settings, plan: Plan) -> str:
    few = f"at most {QUICK_IMAGES:,} training and {QUICK_TEST_IMAGES:,} other images each"
    images = "all images" if settings.full else few
    return DONE.get(number, trainings)(plan, images)


def trainings(plan: Plan, images: str) -> str:
    """What notebooks 00 and 01 do with the plan."""
    epochs = ", ".join(str(plan.recipes[name].epochs) for name in TRAINED_IN_01)
    return (
        f"seeds {numbers(plan.seeds)}; {images}; post A's loop for {plan.loop_epochs} epochs; "
        f"recipes for at most {epochs} epochs; our LeNet5's weights kept at "
        f"{len(plan.recipes['LeNet5, ours'].points)} points"
    )


def comparisons(plan: Plan, images: str) -> str:
    """What notebook 02 does with the plan."""
    return (
        f"{five_nets(plan, images)}; {plan.resamples:,} resamples; t-SNE of at most "
        f"{plan.map_images:,} images for {plan.map_nets} nets"
    )


def explorations(plan: Plan, images: str) -> str:
    """What notebook 03 does with the plan."""
    return (
        f"{five_nets(plan, images)}; stability from {plan.draws} halvings; {plan.pairs:,} pairs of "
        f"images; t-SNE of at most {plan.map_images:,} images; {plan.explored} images to walk "
        "through"
    )


def rejections(plan: Plan, images: str) -> str:
    """What notebook 04 does with the plan."""
    names = ("SmallCNN, two classes", "LeNet5, one minute", "LeNet5, ours")
    two, fold, ours = (plan.recipes[name].epochs for name in names)
    return (
        f"seeds {numbers(plan.many_seeds)}; {images}; two classes for {two} epochs; LeNet5 for "
        f"{ours} epochs, and for {fold} without some classes, {plan.folds} times; "
        f"{plan.resamples:,} resamples"
    )


def layers_kept(plan: Plan, images: str) -> str:
    """What notebook 07 does with the plan."""
    epochs = plan.recipes["SmallCNN, post E"].epochs
    return (
        f"seeds {numbers(plan.seeds)}; {images}; SmallCNN for at most {epochs} epochs, without "
        f"dropout and with; ResNet20, seeds {numbers(plan.seeds)}; "
        f"{plan.resamples:,} resamples"
    )


def attention(plan: Plan, images: str) -> str:
    """What notebook 05 does with the plan."""
    whole, scenes = (plan.recipes[name].epochs for name in ("ResNet20", "ResNet20, scenes"))
    return (
        f"seeds {numbers(plan.seeds)}; {images}; ResNet20 for {whole} epochs, on scenes for "
        f"{scenes}, where none ships; many passes for {plan.looked} images, Score-CAM for "
        f"{plan.score_cams}"
    )


def animals(plan: Plan, images: str) -> str:
    """What notebook 06 does with the plan."""
    return (
        f"seeds {numbers(plan.sea_seeds)}; {images}; SmallCNN for "
        f"{plan.recipes['SmallCNN, sea'].epochs} epochs on scenes of eight kinds; fastai's "
        "ResNet18 twice, on a few of the images"
    )


def five_nets(plan: Plan, images: str) -> str:
    ours, scenes = (plan.recipes[name].epochs for name in ("LeNet5, ours", "LeNet5, scenes"))
    return (
        f"seeds {numbers(plan.many_seeds)}; {images}; LeNet5 for {ours} epochs, on scenes for "
        f"{scenes}"
    )


TRAINED_IN_01 = (
    "LeNet5, post A",
    "LeNet5, ours",
    "LeNet5, one minute",
    "SmallCNN, post E",
    "SmallCNN, ours",
)
DONE = {
    "02": comparisons,
    "03": explorations,
    "04": rejections,
    "05": attention,
    "06": animals,
    "07": layers_kept,
}


def numbers(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))


def other_profile(number: str, settings: Settings) -> str:
    other = replace(settings, profile="quick" if settings.full else "full")
    how = f"SECOND_LOOK_PROFILE={other.profile}"
    return f"{how}: {profile_line(number, other, plan_for(other))}"


def device_line(device: torch.device) -> str:
    if device.type == "cpu":
        return f"CPU, threads: {torch.get_num_threads()}"
    return (
        f"{device.type}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "MPS"
    )


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    import platform
    from importlib.metadata import version

    names = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "fastai")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
