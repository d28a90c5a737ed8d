"""The container, and how it is divided."""

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.datasets.dividing import divide
from helpers.datasets.imageset import (
    ImageSet,
    Splits,
    counts,
    digest,
    of_classes,
    shrink,
    split,
    without_classes,
)

CLASSES = ("ant", "bee", "cat")


def some(count=6, classes=CLASSES, **other):
    """A set in which every image is filled with its own row number."""
    rows = torch.arange(count)
    fields = {
        "images": rows.byte()[:, None, None, None].expand(count, 4, 4, 3).clone(),
        "labels": rows % len(classes),
        "classes": classes,
        "table": pd.DataFrame({"row": range(count)}),
        "name": "some",
        "key": "k",
    }
    return ImageSet(**fields | other)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"images": torch.zeros(6, 4, 4, 3)}, "uint8"),
        ({"images": torch.zeros(6, 3, 4, 4, dtype=torch.uint8)}, r"\(6, 3, 4, 4\)"),
        ({"labels": torch.zeros(6)}, "int64"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"\(5,\)"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0, 1])}, "0..3"),
        ({"labels": torch.tensor([0, 1, 2, -1, 0, 1])}, "-1..2"),
        ({"classes": ("ant", "ant", "bee")}, "ant, ant, bee"),
        ({"table": pd.DataFrame({"row": range(7)})}, "7 rows for 6 images"),
        ({"masks": torch.zeros(6, 4, 4)}, "bool"),
        ({"masks": torch.zeros(6, 2, 2, dtype=torch.bool)}, r"\(6, 2, 2\)"),
    ],
)
def test_what_disagrees_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        some(**wrong)


def test_subset_keeps_images_labels_table_and_masks_together():
    masks = torch.arange(6)[:, None, None].expand(6, 4, 4) % 2 == 1
    part = some(masks=masks).subset([5, 1, 2], "three")
    assert part.images[:, 0, 0, 0].tolist() == part.table["row"].tolist() == [5, 1, 2]
    assert part.labels.tolist() == [2, 1, 2]
    assert part.masks[:, 0, 0].tolist() == [True, True, False]
    assert list(part.table.index) == [0, 1, 2]
    assert part.name == "some, three"


def test_the_key_follows_the_rows_and_their_order():
    whole = some()
    keys = [whole.subset(rows, "").key for rows in ([0, 1], [1, 0], [0, 2], [0, 1, 2])]
    assert len({whole.key, *keys}) == 5
    assert whole.subset([0, 1], "under another name").key == keys[0]


def test_digest_is_the_same_everywhere_and_sees_values_shapes_and_types():
    assert digest("scenes", 3, torch.arange(4)) == "2fcf0ee36df2715e"
    others = [torch.arange(4).int(), torch.arange(4)[None], torch.arange(1, 5)]
    assert len({digest(one) for one in [torch.arange(4), *others]}) == 4


def test_counts_include_classes_without_images():
    assert counts(some(2)).to_dict() == {"ant": 1, "bee": 1, "cat": 0}


def test_shrink_averages_areas():
    images = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    images[0, :2, :2] = torch.tensor([10, 20, 40], dtype=torch.uint8)
    images[0, 0, 0] = 0
    masks = images[..., 0] > 0
    small = shrink(some(1, images=images, masks=masks), 2)
    assert small.images[0, 0, 0].tolist() == [8, 15, 30]  # three quarters
    assert small.images[0, 1:].sum() == 0
    assert small.masks.tolist() == [[[True, False], [False, False]]]
    assert small.key != "k"


@given(st.permutations(CLASSES), st.integers(1, 3), st.integers(0, 9))
def test_a_choice_of_classes_keeps_images_in_order_and_labels_them_anew(names, number, count):
    names, whole = names[:number], some(count)
    part = of_classes(whole, names)
    here = [CLASSES[row % 3] in names for row in range(count)]
    assert part.classes == tuple(names)
    assert part.table["row"].tolist() == [row for row in range(count) if here[row]]
    assert part.images[:, 0, 0, 0].tolist() == part.table["row"].tolist()
    named = [names[label] for label in part.labels]
    assert named == [CLASSES[row % 3] for row in part.table["row"]]


def test_a_choice_of_classes_keeps_masks_and_notes_and_says_what_it_is():
    masks = torch.arange(6)[:, None, None].expand(6, 4, 4) > 3
    pair = of_classes(some(masks=masks, notes=("a note",)), ("cat", "bee"))
    assert pair.labels.tolist() == [1, 0, 1, 0]
    assert pair.masks[:, 0, 0].tolist() == [False, False, True, True]
    assert pair.notes == ("a note",)
    assert pair.name == "some, cat and bee"
    eight = of_classes(some(classes=tuple("abcdefghij")), "cdefghij")
    assert eight.name == "some, 8 of 10 classes"


def test_the_key_follows_the_classes_and_their_order():
    chosen = [("cat", "bee"), ("bee", "cat"), ("cat",), ("cat", "ant"), CLASSES]
    assert len({some().key, *(of_classes(some(), names).key for names in chosen)}) == 6
    # Without an image the rows are the same, and still the labels mean something else.
    empty = some(0)
    assert of_classes(empty, ("cat",)).key != of_classes(empty, ("bee",)).key
    assert of_classes(some(), ["cat"]).key == of_classes(some(), ("cat",)).key


def test_all_four_parts_are_chosen_from_alike():
    whole = Splits(some(6), some(3), some(4), some(5))
    pair, rest = of_classes(whole, ("cat", "ant")), without_classes(whole, ("bee",))
    assert [part.labels.tolist() for part in pair] == [[1, 0, 1, 0], [1, 0], [1, 0, 1], [1, 0, 1]]
    assert isinstance(rest, Splits)
    assert {part.classes for part in rest} == {("ant", "cat")}
    assert [len(part) for part in rest] == [len(part) for part in pair]
    assert without_classes(whole.test, ("ant", "cat")).table["row"].tolist() == [1, 4]


@pytest.mark.parametrize("choose", [of_classes, without_classes])
@pytest.mark.parametrize("names", [(), ("eel",), ("ant", "ant"), ("ant", "eel"), "ant"])
def test_a_choice_that_there_is_not_names_the_classes(choose, names):
    for images in (some(), Splits(some(), some(), some(), some())):
        with pytest.raises(ValueError, match="give some of ant, bee, cat, each once"):
            choose(images, names)


def test_some_class_must_be_left():
    with pytest.raises(ValueError, match="choice of classes as none"):
        without_classes(some(), CLASSES)


@pytest.mark.parametrize("side", [0, 5])
def test_shrink_only_shrinks(side):
    with pytest.raises(ValueError, match="4x4 cannot be shrunk"):
        shrink(some(), side)


def test_sizes_that_add_up_are_met_exactly_and_every_class_is_shared_out():
    labels = torch.tensor([0] * 31 + [1] * 53 + [2] * 16)
    sizes = {"train": 61, "validation": 17, "test": 22}
    rows = divide(labels, sizes, seed=3)
    assert {tag: len(found) for tag, found in rows.items()} == sizes
    assert torch.cat(list(rows.values())).sort().values.tolist() == list(range(100))
    for tag, size in sizes.items():
        for label, total in enumerate(labels.bincount().tolist()):
            share = (labels[rows[tag]] == label).sum().item()
            assert abs(share - total * size / 100) < 1


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_parts_are_disjoint_complete_and_hold_every_class_they_can(per_class, shares, seed):
    labels = torch.repeat_interleave(torch.arange(len(per_class)), torch.tensor(per_class))
    rows = list(divide(labels, dict(enumerate(shares)), seed).values())
    assert torch.cat(rows).sort().values.tolist() == list(range(len(labels)))
    for label, total in enumerate(per_class):
        held = [int((labels[found] == label).sum()) for found in rows]
        if total >= len(shares):
            assert min(held) > 0
        else:
            assert held[0] == total


def test_the_seed_decides():
    labels = torch.arange(60) % 3
    first, again, other = (divide(labels, {"a": 1, "b": 1}, seed)["a"] for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_same_seed_divides_alike_under_every_version():
    found = divide(torch.arange(20) % 2, {"a": 1, "b": 1}, seed=0)
    assert found["a"].tolist() == [2, 3, 4, 5, 7, 8, 9, 12, 14, 17]


def test_how_classes_are_interleaved_changes_nothing():
    mixed = torch.arange(60) % 3
    by_class = mixed.argsort(stable=True)
    there = divide(mixed, {"a": 2, "b": 1}, seed=5)["b"]
    here = by_class[divide(mixed[by_class], {"a": 2, "b": 1}, seed=5)["b"]]
    assert here.sort().values.equal(there)


def test_groups_stay_together_and_missing_ones_are_no_group():
    labels = torch.arange(90) % 3
    groups = [
        f"animal {row // 9}" if row < 45 else (None, "", float("nan"))[row % 3] for row in range(90)
    ]
    rows = divide(labels, {"a": 6, "b": 2, "c": 2}, seed=1, groups=groups)
    homes = {}
    for tag, found in rows.items():
        for row in found[found < 45].tolist():
            homes.setdefault(groups[row], set()).add(tag)
    assert all(len(tags) == 1 for tags in homes.values())
    lone = {tag: int((found >= 45).sum()) for tag, found in rows.items()}
    assert min(lone.values()) > 0  # the 45 without an individual are shared out
    assert sum(map(len, rows.values())) == 90


def test_small_classes_stay_whole_with_a_note():
    labels = torch.tensor([0] * 20 + [1] * 3 + [2] * 4)
    whole = some(27, labels=labels)
    parts = split(whole, {"train": 6, "validation": 1, "calibration": 1, "test": 2})
    assert [counts(part)["bee"] for part in parts.values()] == [3, 0, 0, 0]
    assert [counts(part)["cat"] for part in parts.values()] == [1, 1, 1, 1]
    assert parts["test"].notes == ("too few to be divided, all in train: bee (3)",)
    assert parts["validation"].name == "some, validation"


@pytest.mark.parametrize("parts", [{}, {"a": 1, "b": 0}, {"a": -1}])
def test_parts_need_sizes(parts):
    with pytest.raises(ValueError, match="sizes above 0"):
        split(some(), parts)


def test_groups_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="2 groups were given for 6 images"):
        split(some(), {"a": 1}, groups=["x", "y"])
