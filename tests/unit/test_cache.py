"""Sets kept on disk come back as they were, or are made again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pandas as pd
import pytest
import torch

from helpers.datasets.cache import cached
from helpers.datasets.imageset import ImageSet


@pytest.fixture
def made():
    images = torch.arange(3 * 4 * 4 * 3).reshape(3, 4, 4, 3).byte()
    return ImageSet(
        images=images,
        labels=torch.tensor([1, 0, 1]),
        classes=("ant", "bée"),
        table=pd.DataFrame({"path": ["a", "b", "ç"], "individual": ["007", None, "8"]}),
        name="some",
        key="k",
        masks=images[..., 0] > 40,
        notes=("one", "two"),
    )


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_dtype=False)
    assert one.images.equal(other.images)
    assert one.labels.equal(other.labels)
    assert (one.classes, one.name, one.key, one.notes) == (
        (other.classes, other.name, other.key, other.notes)
    )


def never():
    raise AssertionError("this should have been read from the disk")


def test_what_is_kept_comes_back(tmp_path, made):
    same(cached(tmp_path, "some", lambda: made), made)
    again = cached(tmp_path, "some", never)
    same(again, made)
    assert again.masks.equal(made.masks)
    assert again.table["individual"].isna().tolist() == [False, True, False]


def test_masks_are_optional(tmp_path, made):
    cached(tmp_path, "bare", lambda: replace(made, masks=None))
    assert cached(tmp_path, "bare", never).masks is None


def test_changing_what_was_read_changes_nothing_on_the_disk(tmp_path, made):
    cached(tmp_path, "some", lambda: made).images.fill_(9)
    same(cached(tmp_path, "some", never), made)


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda place: flip_a_bit(place / "images.npy"), id="a pixel"),
        pytest.param(lambda place: flip_a_bit(place / "labels.npy"), id="a label"),
        pytest.param(lambda place: (place / "images.npy").write_bytes(b"short"), id="truncated"),
        pytest.param(lambda place: (place / "labels.npy").write_bytes(b""), id="empty"),
        pytest.param(lambda place: (place / "masks.npy").unlink(), id="missing"),
        pytest.param(lambda place: flip_a_bit(place / "table.parquet"), id="the table"),
        pytest.param(lambda place: (place / "card.json").write_text("{"), id="half a card"),
        pytest.param(lambda place: (place / "card.json").write_text("{}"), id="an empty card"),
        pytest.param(lambda place: (place / "card.json").unlink(), id="no card"),
    ],
)
def test_a_damaged_copy_is_made_again(tmp_path, made, damage):
    cached(tmp_path, "some", lambda: made)
    damage(tmp_path / "some")
    fresh = replace(made, name="made again")
    same(cached(tmp_path, "some", lambda: fresh), fresh)
    same(cached(tmp_path, "some", never), fresh)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["CACHEDIR.TAG", "some"]


def test_an_interrupted_making_leaves_nothing(tmp_path, made):
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "some", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    same(cached(tmp_path, "some", lambda: made), made)


def test_two_at_once_both_get_it(tmp_path, made):
    both = Barrier(2)

    def make():
        both.wait(timeout=10)
        return made

    with ThreadPoolExecutor(2) as pool:
        for found in [pool.submit(cached, tmp_path, "some", make) for _ in range(2)]:
            same(found.result(), made)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["CACHEDIR.TAG", "some"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, made):
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(OSError, match=r"cache cannot be written .*: make room there"):
        cached(tmp_path / "cache", "some", lambda: made)
