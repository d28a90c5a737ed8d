"""CIFAR-10 in its forms: the same images in the same order."""

import csv
import hashlib
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.datasets import cifar10 as module
from helpers.datasets.cifar10 import BATCHES, CLASSES, cifar10
from helpers.datasets.imageset import counts
from helpers.datasets.load import load
from helpers.settings import Settings

EACH = 20  # images in each of the five training batches and in the test batch


@pytest.fixture
def pixels():
    """A small CIFAR-10: (6, EACH, 32, 32, 3) and labels (6, EACH), in official order."""
    generator = np.random.default_rng(0)
    labels = np.stack([generator.permutation(np.arange(EACH) % 10) for _ in range(6)])
    return generator.integers(0, 256, (6, EACH, 32, 32, 3), dtype=np.uint8), labels


def write_batches(root, pixels):
    folder = root / BATCHES
    folder.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name, images, labels in zip(names, *pixels, strict=True):
        rows = images.transpose(0, 3, 1, 2).reshape(EACH, -1)
        content = {b"data": rows, b"labels": labels.tolist(), b"batch_label": b"some"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def write_archive(root, pixels, monkeypatch):
    folder = write_batches(root / "made", pixels)
    root.mkdir(exist_ok=True)
    with tarfile.open(root / module.ARCHIVE, "w:gz") as archive:
        archive.add(folder, BATCHES)
    shutil.rmtree(root / "made")
    found = hashlib.sha256((root / module.ARCHIVE).read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", found)


def write_images(root, pixels):
    """As PNG, in folders by class, each numbered in the official order; gives the index's rows."""
    rows, seen = [], {}
    for batch, (images, labels) in enumerate(zip(*pixels, strict=True)):
        part = "test" if batch == 5 else "train"
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            number = seen[part, label] = seen.get((part, label), -1) + 1
            path = f"{part}/{CLASSES[label]}/{number:04}.png"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / path)
            rows.append((path, part, i + EACH * (batch % 5), label, CLASSES[label]))
    return rows


def write_index(root, rows):
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "split", "official_index", "label", "label_name"))
        writer.writerows(sorted(rows))  # by path: the order in the file must not matter


def found_in(data_dir, tmp_path):
    return cifar10(data_dir, tmp_path / "cache", lambda _: None)


def test_every_form_gives_the_same(tmp_path, pixels, monkeypatch):
    write_batches(tmp_path / "folder", pixels)
    write_archive(tmp_path / "archive", pixels, monkeypatch)
    write_index(tmp_path / "images", write_images(tmp_path / "images", pixels))
    (tmp_path / "zip").mkdir()
    shutil.make_archive(str(tmp_path / "zip" / "cifar10"), "zip", tmp_path / "images")
    (tmp_path / "plain").mkdir()
    shutil.copytree(tmp_path / "images", tmp_path / "plain" / "cifar10")
    official = torch.from_numpy(pixels[0].reshape(-1, 32, 32, 3))
    for form in ("folder", "archive", "zip", "plain"):
        found = found_in(tmp_path / form, tmp_path)
        assert found.images.equal(official)
        assert found.labels.tolist() == pixels[1].ravel().tolist()
        assert found.classes == CLASSES
        assert list(found.table["part"]) == ["train"] * 5 * EACH + ["test"] * EACH
        assert list(found.table["official_index"]) == [*range(5 * EACH), *range(EACH)]
        assert found.name == "CIFAR-10"


def test_class_folders_without_an_index_are_divided_alike(tmp_path, pixels):
    write_images(tmp_path / "images", pixels)
    write_batches(tmp_path / "folder", pixels)
    plain, official = (
        load(Settings("cifar10", data_dir=tmp_path / form, cache_dir=tmp_path / "cache"))
        for form in ("images", "folder")
    )
    for here, there in zip(plain, official, strict=True):
        assert len(here) == len(there)
        assert {bytes(image.numpy()) for image in here.images} == (
            {bytes(image.numpy()) for image in there.images}
        )
    assert "official_index" not in plain.train.table
    assert "class folders do not tell the official order of the images" in plain.train.notes


def test_jpegs_are_called_a_copy(tmp_path, pixels):
    rows = write_images(tmp_path / "cifar10", pixels)
    for path, *_ in rows:
        file = tmp_path / "cifar10" / path
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    assert found_in(tmp_path, tmp_path).name == "CIFAR-10 (JPEG copy)"


def test_class_folders_that_are_not_cifar10_are_refused(tmp_path, pixels):
    write_images(tmp_path / "cifar10", pixels)
    shutil.rmtree(tmp_path / "cifar10" / "train" / "frog")
    shutil.rmtree(tmp_path / "cifar10" / "test" / "frog")
    with pytest.raises(ValueError, match=r"cifar10 is no CIFAR-10: it needs train and test"):
        found_in(tmp_path, tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, pixels):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "trace"), "w"))

    folder = write_batches(tmp_path, pixels)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}, protocol=2))
    with pytest.raises(ValueError, match=r"test_batch cannot be read \(it asks for"):
        found_in(tmp_path, tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_a_damaged_batch_is_named(tmp_path, pixels, damage):
    batch = write_batches(tmp_path, pixels) / "data_batch_3"
    if damage == "missing":
        batch.unlink()
    else:
        other = batch.read_bytes()[:5000] if damage == "truncated" else pickle.dumps([1, 2])
        batch.write_bytes(other)
    with pytest.raises(ValueError, match=r"holds no CIFAR-10: data_batch_3 cannot be read"):
        found_in(tmp_path, tmp_path)


def test_an_archive_with_another_hash_is_refused(tmp_path, pixels, monkeypatch):
    write_archive(tmp_path, pixels, monkeypatch)
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"cifar-10-python.tar.gz is not the official"):
        found_in(tmp_path, tmp_path)


def test_where_it_cannot_be_had_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "MIRRORS", ("http://127.0.0.1:9/cifar",))
    with pytest.raises(FileNotFoundError) as caught:
        found_in(tmp_path / "data", tmp_path)
    for part in (str(tmp_path / "data"), "http://127.0.0.1:9/cifar", "SECOND_LOOK_DATA_DIR"):
        assert part in str(caught.value)


@pytest.fixture(scope="module")
def real(cifar10_dir, tmp_path_factory):
    return load(
        Settings("cifar10", data_dir=cifar10_dir, cache_dir=tmp_path_factory.mktemp("cache"))
    )


@pytest.mark.real
def test_the_real_one_is_divided_as_the_series_says(real):
    assert [len(part) for part in real] == [40_000, 5_000, 5_000, 10_000]
    for part, each in zip(real, (4_000, 500, 500, 1_000), strict=True):
        assert part.classes == CLASSES
        assert part.images.shape[1:] == (32, 32, 3)
        assert set(counts(part)) == {each}
    own = [set(part.table["official_index"]) for part in real[:3]]
    assert len(set.union(*own)) == 50_000


@pytest.mark.real
def test_the_real_one_is_in_the_official_order(real):
    if "official_index" not in real.test.table:
        pytest.skip("these class folders do not tell the official order")
    assert list(real.test.table["official_index"]) == list(range(10_000))
    # The first labels of the official test batch and of data_batch_1.
    assert real.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    first = dict.fromkeys(range(10))
    for part in real[:3]:
        for index, label in zip(part.table["official_index"][:20], part.labels[:20], strict=True):
            if index in first:
                first[index] = int(label)
    assert list(first.values()) == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
