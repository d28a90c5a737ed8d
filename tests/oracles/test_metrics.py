"""scikit-learn as the referee."""

import pytest
import torch
from sklearn import metrics

from helpers.methods.metrics import accuracy, class_intervals, confusion_matrix


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (50, 10), (4000, 7)])
def test_against_scikit_learn(count, classes):
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(count, classes, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    predicted, names = logits.argmax(1), range(classes)
    matrix = metrics.confusion_matrix(labels, predicted, labels=names)
    assert confusion_matrix(predicted, labels, classes).tolist() == matrix.tolist()
    share = metrics.accuracy_score(labels, predicted)
    assert accuracy(logits, labels).item() == pytest.approx(share)
    recall = metrics.recall_score(
        labels, predicted, labels=names, average=None, zero_division=float("nan")
    )
    intervals = class_intervals(confusion_matrix(predicted, labels, classes))
    found = [interval.value for interval in intervals]
    assert found == pytest.approx(recall.tolist(), nan_ok=True)
