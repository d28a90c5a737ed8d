"""LeNet5 learns CIFAR-10, and not by heart."""

from dataclasses import replace

import pytest

from helpers.datasets.imageset import ImageSet
from helpers.datasets.load import load
from helpers.network.models import build
from helpers.network.training import Recipe, epoch_order, evaluate, fit
from helpers.settings import read_settings

pytestmark = pytest.mark.real

RECIPE = Recipe(
    epochs=5,
    batch=64,
    optimiser="AdamW",
    rate=4e-3,
    schedule="one-cycle",
    precision="bfloat16",
    channels_last=True,
    keep="last",
)


@pytest.fixture(scope="module")
def splits(cifar10_dir):
    return load(replace(read_settings(), dataset="cifar10"))


def some(imageset: ImageSet, count: int) -> ImageSet:
    return imageset.subset(epoch_order(len(imageset), 0, 1)[:count], f"{count} of them")


def test_lenet5_learns_cifar10(splits):
    train, test = some(splits.train, 4000), some(splits.test, 2000)
    trained = fit(build("LeNet5", 10), train, some(splits.validation, 500), RECIPE)
    found = evaluate(trained.model, test)
    # 2,000 images: chance is 10 % give or take 1.3; five standard errors of 40 % are 5.5 points.
    assert found.accuracy > 0.35
    assert found.loss < 1.9


def test_labels_without_meaning_teach_nothing(splits):
    train, test = some(splits.train, 4000), some(splits.test, 2000)
    shuffled = replace(train, labels=train.labels[epoch_order(len(train), 1, 1)], key="shuffled")
    trained = fit(build("LeNet5", 10), shuffled, some(splits.validation, 500), RECIPE)
    assert evaluate(trained.model, test).accuracy < 0.16
