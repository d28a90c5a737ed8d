import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.metrics import accuracy, class_intervals, confusion_matrix, right
from helpers.methods.statistics import wilson_interval

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def draw(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator)
    return logits, torch.randint(classes, (count,), generator=generator)


def test_accuracy_by_hand():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 0])).item() == 0.75


def test_a_net_that_diverged_is_wrong():
    logits = torch.tensor([[math.nan, math.nan], [1.0, 0.0]])
    assert right(logits, torch.tensor([0, 0])).tolist() == [False, True]
    assert accuracy(logits, torch.tensor([0, 0])).item() == 0.5


def test_confusion_matrix_has_the_true_class_in_rows():
    matrix = confusion_matrix(torch.tensor([1, 1, 2, 0]), torch.tensor([0, 0, 2, 0]), 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert matrix.dtype == torch.int64


def test_class_intervals_by_hand():
    matrix = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 2]])
    found = class_intervals(matrix)
    assert [interval.n for interval in found] == [2, 0, 2]
    assert (found[0], found[2]) == (wilson_interval(1, 2), wilson_interval(2, 2))
    assert all(math.isnan(number) for number in found[1][:3])


@steady
@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 2**31))
def test_the_three_agree(count, classes, seed):
    logits, labels = draw(count, classes, seed)
    predicted = logits.argmax(1)
    matrix = confusion_matrix(predicted, labels, classes)
    assert matrix.sum() == count
    assert torch.equal(matrix.sum(1), labels.bincount(minlength=classes))
    assert matrix.trace() / count == pytest.approx(accuracy(logits, labels).item())
    rights = [interval.value * interval.n for interval in class_intervals(matrix) if interval.n]
    assert sum(rights) / count == pytest.approx(accuracy(logits, labels).item(), abs=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_they_stay_on_the_device(device):
    logits, labels = (tensor.to(device) for tensor in draw(20, 3, seed=0))
    predicted = logits.argmax(1)
    found = [accuracy(logits, labels), confusion_matrix(predicted, labels, 3)]
    assert all(each.device == logits.device for each in found)


def test_no_images():
    none = torch.zeros(0, dtype=torch.long)
    assert confusion_matrix(none, none, 2).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="at least one"):
        accuracy(torch.zeros(0, 3), none)


@pytest.mark.parametrize(
    ("predicted", "labels"),
    [([0, 3], [0, 1]), ([0, 0], [0, -1]), ([0], []), ([0.9, 1], [0, 1]), ([0, 1], [0.0, 1])],
)
def test_confusion_matrix_refuses(predicted, labels):
    with pytest.raises(ValueError, match=r"labels|predicted"):
        confusion_matrix(torch.tensor(predicted), torch.tensor(labels), 3)


def test_accuracy_wants_a_label_for_each_row():
    with pytest.raises(ValueError, match="4 rows, 1 labels"):
        accuracy(torch.zeros(4, 2), torch.zeros(1, dtype=torch.long))
