"""What people answered: the tables that ship, the counts that do not, and how halves are drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from helpers.datasets import people
from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.imageset import ImageSet
from helpers.datasets.load import load
from helpers.settings import ROOT, Settings

steady = given_settings(derandomize=True, deadline=None, database=None, max_examples=40)
FILES = (people.SIMILARITY, people.HALVES)


@pytest.fixture
def forty():
    """The first forty of ten thousand images, last first."""
    return ImageSet(
        images=torch.zeros(40, 4, 4, 3, dtype=torch.uint8),
        labels=(torch.arange(40) % 10).flip(0),
        classes=CLASSES,
        table=pd.DataFrame({"official_index": range(39, -1, -1)}),
        name="forty",
        key="0",
    )


@pytest.fixture
def counts(settings):
    """Counts of ten thousand images, on the disk too: 50 right answers, and one that tells."""
    counts = np.zeros((10_000, 10), dtype=np.int64)
    image = np.arange(10_000)
    counts[image, image % 10] = 50
    counts[image, (image // 10) % 10] += 1
    write(settings, counts)
    return torch.from_numpy(counts)


def write(settings, content):
    settings.data_dir.mkdir(exist_ok=True)
    np.save(settings.data_dir / people.COUNTS, content)


# The tables that ship


def test_rows_are_shares_and_people_are_mostly_right():
    names, similarity = people.human_similarity()
    halves = people.human_halves()
    assert names == CLASSES
    assert similarity.shape == (10, 10)
    assert halves.shape == (20, 2, 10, 10)
    for matrix in (similarity, *halves.flatten(0, 1)):
        assert matrix.dtype == torch.float64
        assert torch.allclose(matrix.sum(1), torch.ones(10).double(), rtol=0, atol=1e-6)
        assert matrix.min() >= 0
        assert matrix.diagonal().min() > 0.9


def test_the_halves_are_of_the_whole_and_differ():
    _, similarity = people.human_similarity()
    halves = people.human_halves()
    assert (halves.mean(1) - similarity).abs().max() < 2e-4
    assert len({float(half[0, 1]) for half in halves.flatten(0, 1)}) == 40
    off = ~torch.eye(10, dtype=torch.bool)
    assert (halves - similarity)[..., off].abs().max() < 3e-3


def test_both_are_small_and_come_with_their_licence():
    assert people.HALVES.stat().st_size < 100_000
    texts = ("human_similarity.LICENSE", "README.md")
    for text in ((ROOT / "data" / name).read_text(encoding="utf-8") for name in texts):
        for part in ("CC BY-NC-SA 4.0", "Peterson", "jcpeterson/cifar-10h"):
            assert part in text
        assert all(place.name in text for place in FILES)


@pytest.mark.real
def test_what_ships_is_what_the_script_makes(cifar10_dir, tmp_path):
    settings = Settings("cifar10", data_dir=cifar10_dir, cache_dir=tmp_path)
    test = load(settings).test
    counts = people.human_answers(test, settings)
    if counts is None:
        pytest.skip(f"no {people.COUNTS} beside CIFAR-10, or no official order")
    assert counts.sum() == 511_000
    made = people.tables(counts, test.labels)
    assert set(made) == set(FILES)
    for place, content in made.items():
        assert place.read_bytes() == content


# The counts


def test_counts_come_in_the_order_of_the_images(forty, counts, settings):
    assert torch.equal(people.human_answers(forty, settings), counts[:40].flip(0))
    part = forty.subset([3, 30, 0], "part")
    assert torch.equal(people.human_answers(part, settings), counts[[36, 9, 39]])
    assert people.human_answers(forty.subset([], "none"), settings).shape == (0, 10)


def test_without_counts_or_order_there_are_no_answers(forty, settings):
    assert people.human_answers(forty, settings) is None
    write(settings, np.zeros((10_000, 10)))
    unordered = replace(forty, table=pd.DataFrame(index=range(40)))
    assert people.human_answers(unordered, settings) is None


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((10_000, 10)),
        np.ones((100, 10), dtype=np.int64),
        np.ones((10_000, 100), dtype=np.int64),
        -np.ones((10_000, 10), dtype=np.int64),
        np.array([{}], dtype=object),
    ],
)
def test_a_file_of_something_else_is_an_error_that_says_what_to_do(wrong, forty, settings):
    write(settings, wrong)
    with pytest.raises(ValueError, match=f"{people.COUNTS}.*delete it, or put"):
        people.human_answers(forty, settings)


@pytest.mark.parametrize("content", [b"", b"index,airplane\n0,1\n", b"\x93NUMPY"])
def test_a_file_that_is_no_array_is_an_error(content, forty, settings):
    settings.data_dir.mkdir()
    (settings.data_dir / people.COUNTS).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        people.human_answers(forty, settings)


def test_counts_in_another_order_are_an_error(forty, counts, settings):
    write(settings, counts.flip(0).numpy())
    with pytest.raises(ValueError, match="not in their order"):
        people.human_answers(forty, settings)
    beyond = replace(forty, table=forty.table + 10_000)
    with pytest.raises(ValueError, match="images beyond the 10,000"):
        people.human_answers(beyond, settings)


# Means and halves


def test_every_image_counts_alike_however_many_answered():
    counts = torch.zeros(4, 10, dtype=torch.int64)
    counts[0, 0], counts[1, 0], counts[1, 3], counts[2, 5] = 90, 1, 1, 7
    means = people.mean_answers(counts, torch.tensor([0, 0, 2, 2]))
    assert means[0, [0, 3]].tolist() == [0.75, 0.25]
    assert means[2, 5] == 1
    assert means[[0, 2]].sum(1).tolist() == [1, 1]
    assert means[[1, *range(3, 10)]].isnan().all()


images = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=6)


@steady
@given(images, st.integers(0, 2**32))
def test_halves_are_a_division_of_every_images_answers(rows, seed):
    counts = torch.tensor(rows)
    first, second = people.halved(counts, torch.Generator().manual_seed(seed))
    assert torch.equal(first + second, counts)
    assert min(first.min(), second.min()) >= 0
    assert torch.equal(first.sum(1), counts.sum(1) // 2)


def test_halves_vary_as_draws_without_replacement_do():
    counts = torch.tensor([[40, 10, 1]]).expand(20_000, 3)
    first, _ = people.halved(counts, torch.Generator().manual_seed(0))
    drawn, share = 25, torch.tensor([40, 10, 1]) / 51
    assert first.double().mean(0).tolist() == pytest.approx((drawn * share).tolist(), rel=0.02)
    variance = drawn * share * (1 - share) * (51 - drawn) / (51 - 1)
    assert first.double().var(0).tolist() == pytest.approx(variance.tolist(), rel=0.05)
    assert first[:, 2].unique().tolist() == [0, 1]


def test_tables_are_the_same_for_the_same_counts(counts, monkeypatch, tmp_path):
    monkeypatch.setattr(people, "HALVINGS", 2)
    labels = torch.arange(10_000) % 10
    made = people.tables(counts, labels)
    assert made == people.tables(counts, labels)
    for place in FILES:
        (tmp_path / place.name).write_bytes(made[place])
    monkeypatch.setattr(people, "SIMILARITY", tmp_path / people.SIMILARITY.name)
    monkeypatch.setattr(people, "HALVES", tmp_path / people.HALVES.name)
    names, similarity = people.human_similarity()
    assert names == CLASSES
    wanted = people.mean_answers(counts, labels)
    assert torch.allclose(similarity, wanted, rtol=0, atol=5e-8)
    assert people.human_halves().shape == (2, 2, 10, 10)
    assert torch.allclose(people.human_halves().mean((0, 1)), wanted, rtol=0, atol=1e-3)
