"""torchcam as the referee of deletion and insertion."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torchcam.metrics import DeletionInsertionMetric

from helpers.methods.faithfulness import blurred, deletion, insertion
from helpers.network.models import build


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Given:
    """Stands in for their extractor: the maps are given."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, class_idx, scores):
        return [self.maps]

    def fuse_cams(self, maps):
        return maps[0]

    def _hooks_off(self):
        return nullcontext()


@pytest.mark.parametrize("steps", [1, 8, 16])
@pytest.mark.parametrize("baseline", [0.0, 0.5, "blurred"])
def test_areas_of_curves(steps, baseline):
    model, images = build("SmallCNN", 6, side=16).eval(), draw(4, 3, 16, 16)
    maps, targets = draw(4, 16, 16, seed=1) - 0.5, torch.tensor([0, 5, 2, 3])
    blank = blurred(images, 2) if baseline == "blurred" else torch.tensor(baseline)
    softmax = partial(torch.softmax, dim=-1)
    referee = DeletionInsertionMetric(Given(model, maps), softmax, steps=steps, baseline=blank)
    referee.update(images, targets.tolist())
    expected = referee.summary()
    gone, come = (run(model, images, maps, targets, steps, blank) for run in (deletion, insertion))
    assert gone.areas.mean().item() == pytest.approx(expected["deletion_auc"], abs=1e-6)
    assert come.areas.mean().item() == pytest.approx(expected["insertion_auc"], abs=1e-6)
