import math

import pytest
import torch

from helpers.series import exercises
from helpers.series.exercises import NotYetError


def size(side, kernel, stride, padding):
    return (side + 2 * padding - kernel) // stride + 1


def by_image(batches):
    right = sum((p == y).sum().item() for p, y in batches)
    return right / sum(len(y) for _, y in batches)


def by_batch(batches):
    return sum((p == y).float().mean().item() for p, y in batches) / len(batches)


def last_only(batches):
    return [(p == y).float().mean().item() for p, y in batches][-1]


def images():
    out = torch.zeros(6, 2, 2, 3, dtype=torch.uint8)
    out[3:] = torch.arange(1, 4, dtype=torch.uint8)[:, None, None, None]
    return out


def hellinger(p, q):
    return (p.sqrt() - q.sqrt()).norm() / math.sqrt(2)


def reordered(matrix, order):
    return matrix[order][:, order]


def cosine(a, b):
    return 1 - a @ b / (a.norm() * b.norm())


def turnover(before, after):
    return 1 - (after[:, :, None] == before[:, None]).any(2).float().mean(1)


def density(at, seen, width):
    return bumps(at, seen, width).mean(1) / (width * math.sqrt(2 * math.pi))


def bumps(at, seen, width):
    return torch.exp(-(((at[:, None] - seen) / width) ** 2) / 2)


def auroc(known, unknown):
    more, equal = unknown[:, None] > known, unknown[:, None] == known
    return (more + equal / 2).mean()


def reach(weights, bias):
    return weights.clamp(min=0).sum() + bias


def one_class(labels):
    same = (labels[:, None] == labels).sum() - len(labels)
    return same / (len(labels) * (len(labels) - 1))


LABELS = torch.tensor([0, 0, 0, 1])


@pytest.mark.parametrize(
    ("check", "answer", "rest"),
    [
        (exercises.check_output_size, size, ()),
        (exercises.check_epoch_accuracy, by_image, ()),
        (exercises.check_images_needed, 0.21 * 196**2, ()),
        (exercises.check_majority_accuracy, 0.75, (LABELS,)),
        (exercises.check_grey, lambda x: x.float().mean((1, 2, 3)), ()),
        (exercises.check_duplicate_count, 2, (images(),)),
        (exercises.check_hellinger, hellinger, ()),
        (exercises.check_reordered, reordered, ()),
        (exercises.check_smallest_p, 1 / 24, ()),
        (exercises.check_cosine, cosine, ()),
        (exercises.check_turnover, turnover, ()),
        (exercises.check_common, 0.10 + 0.25 - 0.28, ()),
        (exercises.check_density, density, ()),
        (exercises.check_density, lambda *a: density(*a).numpy(), ()),
        (exercises.check_density, lambda *a: density(*a).tolist(), ()),
        (exercises.check_auroc, auroc, ()),
        (exercises.check_auroc, lambda a, b: auroc(a, b).item(), ()),
        (exercises.check_fewest, 99, ()),
        (exercises.check_reach, reach, ()),
        (exercises.check_one_class, one_class, ()),
        (exercises.check_fewest_lost, 16, ()),
        (exercises.check_fewest, 99.0, ()),
    ],
)
def test_a_right_answer_passes_and_none_does_not(check, answer, rest):
    check(answer, *rest)
    with pytest.raises(NotYetError, match="no answer yet"):
        check(..., *rest)


@pytest.mark.parametrize(
    ("check", "answer", "rest", "hint"),
    [
        (exercises.check_output_size, lambda side, kernel, s, p: side - kernel + 1, (), "stride 2"),
        (exercises.check_output_size, lambda side, k, s, p: side, (), "it is 3, not 5"),
        (exercises.check_epoch_accuracy, last_only, (), "last batch alone"),
        (exercises.check_epoch_accuracy, by_batch, (), "smaller batch weighs"),
        (exercises.check_epoch_accuracy, lambda b: 9 * by_image(b), (), "a count"),
        (exercises.check_epoch_accuracy, lambda b: 0.5, (), "8 of 9"),
        (exercises.check_images_needed, 50, (), "Far too few"),
        (exercises.check_images_needed, 2100, (), "standard error"),
        (exercises.check_images_needed, 4 * 0.21 * 196**2, (), "one point wide"),
        (exercises.check_images_needed, 5000, (), "equal to 0.01"),
        (exercises.check_majority_accuracy, 75, (LABELS,), "not a percentage"),
        (exercises.check_majority_accuracy, 0.25, (LABELS,), "commonest"),
        (exercises.check_grey, lambda x: x.float().mean(), (), "One number per image"),
        (exercises.check_grey, lambda x: x.sum((1, 2, 3)) / 255, (), "white image"),
        (exercises.check_duplicate_count, 4, (images(),), "left over"),
        (exercises.check_duplicate_count, 3, (images(),), "once or twice"),
        (exercises.check_duplicate_count, 0.5, (images(),), "whole number"),
        (exercises.check_hellinger, lambda p, q: (p * (p / q).log2()).sum(), (), "zeros"),
        (exercises.check_hellinger, lambda p, q: 2**0.5 * hellinger(p, q), (), "root of 2: divide"),
        (exercises.check_hellinger, lambda p, q: hellinger(p, q) ** 2, (), "its square"),
        (exercises.check_hellinger, lambda p, q: (p - q).abs().sum(), (), "not 1.0000"),
        (exercises.check_reordered, lambda m, order: m, (), "third of the old"),
        (exercises.check_reordered, lambda m, order: m[order], (), "columns as the rows"),
        (exercises.check_reordered, lambda m, o: reordered(m, o.argsort()), (), "order\\[i\\]"),
        (exercises.check_smallest_p, 24, (), "a share"),
        (exercises.check_smallest_p, 1 / 6, (), "six|Six"),
        (exercises.check_smallest_p, 0.05, (), "how many orders"),
        (exercises.check_cosine, lambda a, b: 1 - cosine(a, b), (), "1 less it"),
        (exercises.check_cosine, lambda a, b: 1 - a @ b, (), "lengths of both"),
        (exercises.check_cosine, lambda a, b: (a - b).norm(), (), "it is 0.04"),
        (exercises.check_cosine, lambda a, b: 1 - a @ b / a.norm() ** 2, (), "is longer"),
        (exercises.check_turnover, lambda a, b: turnover(a, b).mean(), (), "each image"),
        (exercises.check_turnover, lambda a, b: 1 - turnover(a, b), (), "that stayed"),
        (exercises.check_turnover, lambda a, b: (a != b).float().mean(1), (), "another order"),
        (
            exercises.check_turnover,
            lambda a, b: 1 - torch.isin(b, a).float().mean(1),
            (),
            "its own",
        ),
        (exercises.check_turnover, lambda a, b: 4 * turnover(a, b), (), "0 and 0.75"),
        (exercises.check_common, 7, (), "a share"),
        (exercises.check_common, 0.35, (), "twice"),
        (exercises.check_common, 0.28 - 0.25, (), "colour adds"),
        (exercises.check_common, 0.28 - 0.10, (), "class adds"),
        (exercises.check_common, 0.5, (), "add up to more"),
        (exercises.check_density, lambda at, seen, h: 3 * density(at, seen, h), (), "mean of the"),
        (exercises.check_density, lambda at, seen, h: h * density(at, seen, h), (), "too"),
        (exercises.check_density, lambda *a: bumps(*a).mean(1), (), "not densities yet"),
        (exercises.check_density, lambda *a: bumps(*a).mean(1) / a[2], (), "0.5319 and 0.0721"),
        (exercises.check_density, lambda *a: density(*a).sum(), (), "not \\(\\)"),
        (exercises.check_density, lambda *a: bumps(*a).mean(0), (), "not \\(3,\\)"),
        (exercises.check_density, lambda a, b, h: density(a, b, h**0.5), (), "it is 0.5319"),
        (exercises.check_density, lambda *a: torch.full((2,), math.nan), (), "it is 0.5319"),
        (exercises.check_auroc, lambda a, b: auroc(b, a), (), "the positive"),
        (exercises.check_auroc, lambda a, b: (b[:, None] > a).float().mean(), (), "not nothing"),
        (exercises.check_auroc, lambda a, b: (b[:, None] >= a).float().mean(), (), "not whole"),
        (exercises.check_auroc, lambda a, b: 6 * auroc(a, b), (), "5 of 6 here, not 5.000"),
        (exercises.check_auroc, lambda a, b: 5 / 6, (), "against itself"),
        (exercises.check_fewest, 100, (), "n \\+ 1"),
        (exercises.check_fewest, 19, (), "for 5 %"),
        (exercises.check_fewest, 98, (), "one of the n"),
        (exercises.check_fewest, math.inf, (), "one of the n"),
        (exercises.check_reach, lambda w, b: w.sum() + b, (), "white image"),
        (exercises.check_reach, lambda w, b: reach(w, 0), (), "bias is added to every"),
        (exercises.check_reach, lambda w, b: reach(w, -b), (), "not subtracted"),
        (exercises.check_reach, lambda w, b: reach(w.abs(), b), (), "leave it out"),
        (exercises.check_reach, lambda w, b: w.max() + b, (), "it is 3.75, not 2.00"),
        (exercises.check_one_class, lambda x: (x[:, None] == x).float().mean(), (), "with itself"),
        (exercises.check_one_class, lambda x: 15 * one_class(x), (), "of how many"),
        (exercises.check_one_class, lambda x: one_class(x) / 2, (), "counts once above"),
        (exercises.check_one_class, lambda x: 0.5, (), "4 of 15 pairs, not 0.500"),
        (exercises.check_fewest_lost, 8, (), "for one channel"),
        (exercises.check_fewest_lost, 12, (), "for 64 channels"),
        (exercises.check_fewest_lost, 15, (), "both sides"),
        (exercises.check_fewest_lost, 17, (), "for which n"),
        (exercises.check_pointing, lambda maps, masks: masks.any(-1).any(-1), (), "beside"),
        (exercises.check_pointing, lambda maps, masks: masks, (), "one answer"),
        (exercises.check_pointing, lambda maps, masks: (maps * masks).amax((1, 2)) > 1, (), "zero"),
        (exercises.check_area_holding, lambda map: 0, (), "divided by"),
        (exercises.check_area_holding, lambda map: 0.5, (), "one cell holds"),
        (exercises.check_area_holding, lambda map: 0.25, (), "even map"),
    ],
)
def test_a_wrong_answer_gets_its_hint(check, answer, rest, hint):
    with pytest.raises(NotYetError, match=hint):
        check(answer, *rest)


def test_an_unanswered_function_is_told_so():
    with pytest.raises(NotYetError, match="returns nothing"):
        exercises.check_output_size(lambda *a: None)


def test_hints_do_not_give_the_common_share_away():
    for answer in (7, 0.35, 0.03, 0.18, 0.5):
        with pytest.raises(NotYetError) as told:
            exercises.check_common(answer)
        assert "0.07" not in str(told.value)


def test_hints_do_not_give_the_fewest_images_away():
    for answer in (100, 19, 1):
        with pytest.raises(NotYetError) as told:
            exercises.check_fewest(answer)
        assert "99" not in str(told.value).replace("0.99", "")


@pytest.mark.parametrize(
    ("together", "within", "told"),
    [(0.8, 0.8, "Within a class"), (0.81, 0.0, "smaller"), (0.5, 0.0, "Of which class")],
)
def test_wrong_deltas_get_their_hints(together, within, told):
    with pytest.raises(NotYetError, match=told):
        exercises.check_confounded(together, within)


def test_areas_are_added_from_the_brightest_cell():
    with pytest.raises(NotYetError, match="come first"):
        exercises.check_area_holding(unsorted_area)


def unsorted_area(map):
    held = map.flatten().cumsum(0)
    return ((held < 0.8 * held[-1]).sum() + 1) / len(held)


def test_right_answers_of_notebook_05_are_right(capsys):
    exercises.check_pointing(
        lambda maps, masks: masks.flatten(1).gather(1, maps.flatten(1).argmax(1)[:, None])[:, 0]
    )
    exercises.check_area_holding(
        lambda map: unsorted_area(map.flatten().sort(descending=True).values)
    )
    exercises.check_confounded(0.8, 0.0)
    assert capsys.readouterr().out.count("Right") == 3


def class_map(weights, maps, classes):
    return torch.einsum("nk,nkhw->nhw", weights[classes], maps)


def shared(train, validation):
    known = set(train) - {None}
    return sum(who in known for who in validation) / len(validation)


def test_right_answers_of_notebook_06_are_right(capsys):
    exercises.check_class_map(class_map)
    exercises.check_shared(shared)
    exercises.check_at_sea(0.25 * 0.9 + 0.75 * 0.6)
    assert capsys.readouterr().out.count("Right") == 3


@pytest.mark.parametrize(
    ("check", "answer", "hint"),
    [
        (exercises.check_class_map, ..., "no answer"),
        (exercises.check_class_map, lambda w, m, k: torch.einsum("ck,nkhw->nchw", w, m), "of its"),
        (exercises.check_class_map, lambda w, m, k: m[:, 0, 0], "Shape"),
        (exercises.check_class_map, lambda *a: class_map(*a) / 2, "over places"),
        (exercises.check_class_map, lambda *a: class_map(*a).relu(), "below zero"),
        (exercises.check_class_map, lambda w, m, k: class_map(w, m, k * 0 + 1), "first image"),
        (exercises.check_class_map, lambda w, m, k: m.sum(1), "by its weight"),
        (exercises.check_shared, lambda t, v: sum(x in t for x in v) / len(v), "missing name"),
        (exercises.check_shared, lambda t, v: 2 / 3, "Count images"),
        (exercises.check_shared, lambda t, v: 0.75, "without a name are"),
        (exercises.check_shared, lambda t, v: 0.2, "three of five"),
        (exercises.check_shared, lambda t, v: 0.6, "Nobody knows"),
        (exercises.check_at_sea, 67.5, "a share"),
        (exercises.check_at_sea, 0.9, "random split"),
        (exercises.check_at_sea, 0.75, "half and half"),
        (exercises.check_at_sea, 0.825, "not three quarters"),
        (exercises.check_at_sea, 0.5, "Weigh both"),
    ],
)
def test_wrong_answers_of_notebook_06_get_their_hints(check, answer, hint):
    with pytest.raises(NotYetError, match=hint):
        check(answer)
