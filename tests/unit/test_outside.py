"""Images of no trained class: whether their files look like those of the known ones."""

import io
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from helpers.datasets import outside
from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.decode import decode
from helpers.datasets.files import files_in
from helpers.datasets.imageset import ImageSet
from helpers.datasets.load import load
from helpers.datasets.outside import Form
from helpers.datasets.readers import folder_images


def silent(_):
    pass


def picture(width=48, height=36, shift=0) -> Image.Image:
    """A smooth colour gradient with a grating."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    red = 255 * x / width
    green = 255 * y / height
    blue = 127 + 100 * np.sin((x + y + shift) / 9)
    return Image.fromarray(np.stack([red, green, blue], 2).astype(np.uint8))


def save(root: Path, sizes: dict[str, tuple[int, int]], **options) -> None:
    for shift, (name, size) in enumerate(sizes.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(*size, shift=shift).save(root / name, **options)


def remade(data: bytes, form: Form) -> Image.Image:
    return Image.open(io.BytesIO(outside._remade(data, form)))


def jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


KNOWN = {
    f"{part}/{animal}/{number}.jpg": size
    for part in ("train", "test")
    for animal in ("cats", "dogs")
    for number, size in enumerate([(60, 40), (40, 50), (40, 40), (70, 40), (30, 24)])
}
UNKNOWN = {"apples/1.jpg": (90, 60), "apples/2.jpg": (36, 30), "other/1.jpg": (33, 66)}


@pytest.fixture
def cats_and_dogs(settings):
    """Settings of photographs with a shorter side of 40 px mostly, at quality 80, and others."""
    save(settings.data_dir / "catdog", KNOWN, quality=80)
    save(settings.data_dir / "unknown", UNKNOWN, quality=95)
    return replace(settings, dataset="catdog")


def known_of(settings, side=16) -> ImageSet:
    return load(settings, silent, side).train


# The form of a set


@pytest.mark.parametrize("quality", [1, 30, 75, 80, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality, mode):
    assert outside.jpeg_quality(jpeg(picture().convert(mode), quality=quality)) == quality


def test_other_tables_are_of_the_nearest_quality_and_other_files_of_none():
    tables = Image.open(io.BytesIO(jpeg(picture(), quality=60))).quantization
    nudged = [[value + (i == 5) for i, value in enumerate(tables[k])] for k in (0, 1)]
    assert outside.jpeg_quality(jpeg(picture(), qtables=nudged)) == 60
    file = io.BytesIO()
    picture().save(file, "PNG")
    assert outside.jpeg_quality(file.getvalue()) is None


def test_the_form_is_that_of_most_files(cats_and_dogs):
    assert outside.form_of(known_of(cats_and_dogs), cats_and_dogs) == Form(40, False, 80)


LAYOUTS = {
    # where it lies, the folders of its two parts, and what asks for it
    "folder": ("mine", "train", "test", "folder:{root}"),
    "zip": ("mine", "train", "test", "folder:{root}.zip"),
    "csv": ("mine", "train", "test", "csv:{root}/train.csv"),
    "csv by another name": ("mine", "train", "test", "csv:{root}/train.txt"),
    "zipped csv": ("mine", "train", "test", "csv:{root}.zip"),
    "kaggle": ("", "training_set/training_set", "test_set/test_set", "catdog"),
    "whales": ("whales", "images/a", "images/b", "whales"),
    "cifar10": ("cifar10", "train", "test", "cifar10"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_are_found_however_they_lie(settings, layout):
    place, *parts, dataset = LAYOUTS[layout]
    root = settings.data_dir / place
    classes = CLASSES if layout == "cifar10" else ("cats", "dogs")
    names = [f"{part}/{name}/{n}.jpg" for part in parts for name in classes for n in range(4)]
    save(root, dict.fromkeys(names, (32, 32)), quality=90)
    if "csv" in layout or layout == "whales":
        rows = [f"{name.removeprefix('images/')},{name.split('/')[-2]}," for name in names]
        table = "train.txt" if "another" in layout else "train.csv"
        (root / table).write_text("\n".join(["image,species,individual_id", *rows]))
    if ".zip" in dataset:
        shutil.make_archive(str(root), "zip", root)
        shutil.rmtree(root)
    here = replace(settings, dataset=dataset.format(root=root))
    assert outside.form_of(known_of(here, None), here) == Form(32, True, 90)


def test_of_many_files_some_are_looked_at(monkeypatch, cats_and_dogs):
    read = []
    real = outside.jpeg_quality
    monkeypatch.setattr(outside, "jpeg_quality", lambda data: read.append(1) or real(data))
    monkeypatch.setattr(outside, "_SAMPLE", 4)
    assert outside.form_of(known_of(cats_and_dogs), cats_and_dogs).quality == 80
    assert 2 <= len(read) <= 4


def test_what_has_no_files_is_lossless_and_square(settings):
    digits = replace(settings, dataset="digits")
    assert outside.form_of(load(digits, silent).test, digits) == Form(32, True, None)


def test_lossless_files_make_a_lossless_form(settings):
    save(settings.data_dir / "catdog", {f"{n[:-4]}.png": size for n, size in KNOWN.items()})
    here = replace(settings, dataset="catdog")
    assert outside.form_of(known_of(here), here) == Form(40, False, None)


# Brought to the form


@pytest.mark.parametrize(
    ("size", "square", "becomes"),
    [
        ((90, 60), False, (60, 40)),
        ((33, 66), False, (40, 80)),
        ((36, 30), False, (48, 40)),  # enlarged
        ((901, 20), False, (1802, 40)),
        ((90, 60), True, (40, 40)),
    ],
)
def test_an_image_is_brought_to_size_and_encoded_alike(size, square, becomes):
    found = remade(jpeg(picture(*size), quality=95), Form(40, square, 80))
    assert found.size == becomes
    assert found.format == "JPEG"
    like = Image.open(io.BytesIO(jpeg(picture(), quality=80, subsampling=2)))
    assert found.quantization == like.quantization
    assert found.layer == like.layer  # colour at half resolution


def test_the_picture_stays_what_it_was():
    whole = np.asarray(picture(80, 60), dtype=float)
    found = np.asarray(remade(jpeg(picture(80, 60), quality=98), Form(60, False, 95)), dtype=float)
    assert np.abs(found - whole).mean() < 4
    middle = np.asarray(remade(jpeg(picture(80, 60), quality=98), Form(60, True, None)))
    assert np.abs(middle - whole[:, 10:70]).mean() < 4


def test_a_lossless_form_adds_no_loss():
    data = jpeg(picture(40, 40), quality=90)
    found = remade(data, Form(40, True, None))
    assert found.format == "PNG"
    assert np.array_equal(np.asarray(found), np.asarray(Image.open(io.BytesIO(data))))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_every_mode_becomes_rgb_as_it_does_among_the_known():
    whole = picture(32, 32)
    half = whole.copy()
    half.putalpha(Image.fromarray((np.indices((32, 32))[1] * 8).astype(np.uint8)))
    deep = Image.fromarray(np.asarray(whole)[..., 2].astype(np.uint16) * 257)
    for image in (half, deep):
        again = np.asarray(remade(png(image), Form(32, True, None)))
        np.testing.assert_array_equal(again, decode(png(image), 32)[0].numpy())


def test_a_camera_held_sideways_is_heeded():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert remade(jpeg(picture(80, 40), exif=exif), Form(20, False, 80)).size == (20, 40)


# The photographs


def test_without_photographs_there_are_none(cats_and_dogs):
    shutil.rmtree(cats_and_dogs.data_dir / "unknown")
    assert outside.photographs(known_of(cats_and_dogs), cats_and_dogs) is None


def test_photographs_come_as_the_known_ones_would(cats_and_dogs):
    known = known_of(cats_and_dogs)
    found = outside.photographs(known, cats_and_dogs, silent)
    assert found.name == outside.NAME
    assert found.classes == ("apples", "other")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.images.shape == (3, *known.images.shape[1:])
    assert found.table[["width", "height"]].to_numpy().tolist() == [[60, 40], [48, 40], [40, 80]]
    assert found.notes == ("all brought to: shorter side 40 px, JPEG of quality 80",)
    # By way of files that were made so, the same pixels come out.
    files = files_in(cats_and_dogs.data_dir / "unknown")
    there = cats_and_dogs.data_dir / "again"
    for name in files.names:
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(outside._remade(files.read(name), Form(40, False, 80)))
    again = folder_images(there, 16, cats_and_dogs.cache_dir, silent)
    assert found.images.equal(again.images)
    assert found.key == again.key


def test_a_zip_gives_what_the_folder_gives_and_comes_first(cats_and_dogs):
    known, root = known_of(cats_and_dogs), cats_and_dogs.data_dir / "unknown"
    plain = outside.photographs(known, cats_and_dogs, silent)
    shutil.make_archive(str(root), "zip", root)
    (root / "apples" / "3.jpg").write_bytes(jpeg(picture()))
    packed = outside.photographs(known, cats_and_dogs, silent)
    assert packed.key == plain.key
    assert packed.images.equal(plain.images)


def test_another_form_or_size_is_decoded_anew_and_the_same_is_not(cats_and_dogs):
    known = known_of(cats_and_dogs)
    first = outside.photographs(known, cats_and_dogs, silent)
    kept = sorted(os.listdir(cats_and_dogs.cache_dir))
    assert outside.photographs(known, cats_and_dogs, silent).images.equal(first.images)
    assert sorted(os.listdir(cats_and_dogs.cache_dir)) == kept
    save(cats_and_dogs.data_dir / "catdog", KNOWN, quality=20)
    coarse = outside.photographs(known_of(cats_and_dogs), cats_and_dogs, silent)
    assert coarse.key != first.key
    assert outside.photographs(known_of(cats_and_dogs, 12), cats_and_dogs).images.shape[1] == 12


def test_the_data_folder_is_only_read(cats_and_dogs):
    known = known_of(cats_and_dogs)
    before = {path: path.stat().st_mtime_ns for path in cats_and_dogs.data_dir.rglob("*")}
    outside.photographs(known, cats_and_dogs, silent)
    assert {p: p.stat().st_mtime_ns for p in cats_and_dogs.data_dir.rglob("*")} == before


def test_what_cannot_be_read_is_left_out_with_a_note(cats_and_dogs):
    (cats_and_dogs.data_dir / "unknown" / "other" / "2.jpg").write_bytes(b"\xff\xd8 no image")
    found = outside.photographs(known_of(cats_and_dogs), cats_and_dogs, silent)
    assert len(found) == 3
    assert found.notes[-1] == "unreadable files, left out: 1 (other/2.jpg (not an image))"


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "short", "quality"), [("cifar10.zip", 32, 75), ("catdog.zip", 160, 80)]
)
def test_the_real_files_are_what_was_measured(name, short, quality, cifar10_dir):
    if not (cifar10_dir / name).exists():
        pytest.skip(f"no {name} in SECOND_LOOK_DATA_DIR")
    with zipfile.ZipFile(cifar10_dir / name) as archive:
        images = [path for path in archive.namelist() if path.endswith(".jpg")]
        found = [archive.read(path) for path in images[:: len(images) // 20]]
    assert {outside.jpeg_quality(data) for data in found} == {quality}
    sizes = [min(Image.open(io.BytesIO(data)).size) for data in found]
    assert np.median(sizes) == max(sizes) == short


# What ships, noise and blanks


def test_five_photographs_are_installed():
    found = outside.shipped(24)
    assert list(found) == ["astronaut", "coffee", "cat", "China", "flower"]
    for pixels in found.values():
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (24, 24, 3)
        assert pixels.is_contiguous()
        assert pixels.float().std() > 20
    middle = torch.tensor(load_sample_image("china.jpg")[:, 106:533]).float().mean((0, 1))
    assert torch.allclose(found["China"].float().mean((0, 1)), middle, atol=1.5)


def test_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setitem(outside._SHIPPED, "coffee", ("skimage", "data", "tea.png"))
    assert "coffee" not in outside.shipped(8)
    assert len(outside.shipped(8)) == 4


def test_noise_is_uniform_and_a_blank_has_one_colour():
    noise, blank = outside.noise(40, 16), outside.blank(400, 4)
    assert noise.dtype == blank.dtype == torch.uint8
    assert noise.shape == (40, 16, 16, 3)
    assert blank.shape == (400, 4, 4, 3)
    assert noise.float().mean().item() == pytest.approx(127.5, abs=2)
    assert noise.float().std().item() == pytest.approx(256 / 12**0.5, abs=2)
    assert (noise.min(), noise.max()) == (0, 255)
    assert (blank == blank[:, :1, :1]).all()
    assert len(blank[:, 0, 0].unique(dim=0)) > 390
    assert blank[:, 0, 0].float().std(0).tolist() == pytest.approx([73.9] * 3, abs=8)


@pytest.mark.parametrize("make", [outside.noise, outside.blank])
def test_the_seed_decides(make):
    assert make(3, 4, 1).equal(make(3, 4, 1))
    assert not make(3, 4, 1).equal(make(3, 4, 2))
