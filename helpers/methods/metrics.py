"""How often a net is right, in all and by class."""

import torch
from torch import Tensor

from .statistics import Interval, check_classes, wilson_interval


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Which rows of `logits` (N, C), or scores, are largest at `labels` (N,): (N,) bool.

    A row that holds a NaN is wrong, so that a net that diverged is not taken for one that guesses.
    """
    return (logits.argmax(1) == labels) & ~logits.isnan().any(1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows of `logits` (N, C), or scores, that are `right` by `labels` (N,): a scalar.

    Raises ValueError where there are no rows or not as many labels.
    """
    if len(logits) == 0 or len(logits) != len(labels):
        raise ValueError(f"{len(logits)} rows, {len(labels)} labels: give one each, at least one")
    return right(logits, labels).float().mean()


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts (C, C), int64: rows are the true class, columns the predicted one.

    All zeros where there are no images. Raises ValueError where `predicted` and `labels` (N,)
    differ in length or hold something other than whole numbers 0..C-1.
    """
    if predicted.shape != labels.shape or labels.ndim != 1:
        shapes = f"{tuple(predicted.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"predicted and labels have shapes {shapes}: give one number per image")
    check_classes(labels, classes)
    check_classes(predicted, classes, "predicted")
    cells = labels.long() * classes + predicted.long()
    return torch.bincount(cells, minlength=classes**2).view(classes, classes)


def class_intervals(matrix: Tensor) -> list[Interval]:
    """Share of each class's images that are predicted as that class (recall), Wilson's interval.

    matrix: (C, C) counts, rows the true class. All NaN, n = 0, for a class without images.
    """
    nan = float("nan")
    rights, totals = matrix.diagonal().tolist(), matrix.sum(1).tolist()
    pairs = zip(rights, totals, strict=True)
    return [wilson_interval(right, n) if n else Interval(nan, nan, nan, 0) for right, n in pairs]
