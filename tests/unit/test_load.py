"""From the settings to four sets of different images."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from helpers.datasets import rendered
from helpers.datasets.imageset import ImageSet, counts
from helpers.datasets.known import digits
from helpers.datasets.load import SHARES, divided, load
from helpers.settings import Settings


def draw(root: Path, *names: str) -> None:
    """Small images, each different."""
    generator = np.random.default_rng(len(names))
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(root / name)


def silent(_):
    pass


def loaded(settings: Settings, dataset: str, **options):
    return load(replace(settings, dataset=dataset), silent, **options)


def images_of(splits) -> list[bytes]:
    return [bytes(image.numpy()) for part in splits for image in part.images]


def test_digits_are_the_real_ones_in_four_parts(settings):
    splits = loaded(settings, "digits")
    assert [len(part) for part in splits] == [1078, 180, 180, 359]
    rows = torch.cat([torch.tensor(part.table["row"]) for part in splits])
    assert rows.sort().values.tolist() == list(range(1797))
    for part in splits:
        assert part.images.shape[1:] == (32, 32, 3)
        assert min(counts(part)) >= 0.9 * len(part) / 10
    assert splits.test.name == "digits, test"


def test_digits_keep_their_pixels():
    from sklearn.datasets import load_digits

    small = digits().images.float().view(-1, 8, 4, 8, 4, 3).mean((2, 4))
    assert small[..., 0].equal(small[..., 2])
    official = load_digits().images * 255 / 16
    # Bilinear interpolation blurs edges, so the means of the 4x4 blocks are near, not equal.
    assert np.corrcoef(small[..., 0].ravel(), official.ravel())[0, 1] > 0.95


def test_every_seed_and_profile_has_the_same_data(settings):
    first = loaded(settings, "digits")
    other = loaded(replace(settings, seed=7, profile="full"), "digits")
    assert [part.key for part in first] == [part.key for part in other]
    assert len({part.key for part in first}) == 4


def test_scenes_are_four_sets_of_different_images_kept_on_disk(settings, monkeypatch):
    sizes = {"train": 60, "validation": 10, "calibration": 10, "test": 20}
    monkeypatch.setattr(rendered, "SIZES", sizes)
    monkeypatch.setattr(rendered, "_BLOCK", 20)
    splits = loaded(settings, "scenes")
    assert {tag: len(part) for tag, part in splits._asdict().items()} == sizes
    assert len(set(images_of(splits))) == 100
    whole = rendered.scenes(100, size=32, seed=0)
    assert splits.test.images.equal(whole.images[80:])
    assert splits.test.masks.equal(whole.masks[80:])
    assert splits.train.labels.equal(whole.labels[:60])
    monkeypatch.setattr(rendered, "scenes", None)  # read from the disk from now on
    again = loaded(settings, "scenes")
    assert [part.key for part in again] == [part.key for part in splits]
    assert again.train.images.equal(splits.train.images)


def test_scenes_without_families_are_kept_apart_from_the_others(settings, monkeypatch):
    sizes = {"train": 60, "validation": 20, "calibration": 20, "test": 20}
    monkeypatch.setattr(rendered, "SIZES", sizes)
    monkeypatch.setattr(rendered, "_BLOCK", 20)
    plain, tiles = loaded(settings, "scenes"), loaded(settings, "scenes:no-families")
    assert tiles.test.classes != plain.test.classes
    assert tiles.test.name == "scenes, no-families, test"
    assert not set(images_of(plain)) & set(images_of(tiles))


def test_the_side_can_be_chosen(settings):
    assert loaded(settings, "digits", side=16).train.images.shape[1:3] == (16, 16)
    with pytest.raises(ValueError, match="32x32 cannot be shrunk to 64x64"):
        loaded(settings, "digits", side=64)


def test_a_folder_is_divided_by_class(settings, tmp_path):
    root = tmp_path / "zoo"
    draw(root, *(f"ant/{i}.png" for i in range(20)), *(f"cat/{i}.png" for i in range(30)))
    splits = loaded(settings, f"folder:{root}")
    assert [counts(part).tolist() for part in splits] == [[12, 18], [2, 3], [2, 3], [4, 6]]
    assert len(set(images_of(splits))) == 50
    assert splits.train.images.shape[1:3] == (64, 64)
    assert splits.train.name == "zoo, train"


def test_a_test_folder_of_its_own_is_kept(settings, tmp_path):
    root = tmp_path / "zoo"
    draw(root, *(f"train/{name}/{i}.png" for name in ("ant", "cat") for i in range(16)))
    draw(root, *(f"test/{name}/{i}.png" for name in ("ant", "cat") for i in range(3)))
    splits = loaded(settings, f"folder:{root}", side=8)
    assert [len(part) for part in splits] == [24, 4, 4, 6]
    assert set(splits.test.table["part"]) == {"test"}


def test_a_class_too_small_to_cut_is_told_whatever_its_own_test_part_has(settings, tmp_path):
    root = tmp_path / "zoo"
    draw(root, *(f"train/{name}/{i}.png" for name in ("ant", "cat") for i in range(16)))
    draw(root, "train/emu/1.png", *(f"test/emu/{i}.png" for i in range(9)))
    splits = loaded(settings, f"folder:{root}", side=8)
    assert splits.train.notes == ("too few to be divided, all in train: emu (1)",)


def test_a_class_without_training_images_is_refused(settings, tmp_path):
    root = tmp_path / "zoo"
    draw(root, *(f"train/{name}/{i}.png" for name in ("Cat", "dog") for i in range(16)))
    draw(root, *(f"test/{name}/1.png" for name in ("cat", "dog", "unlabelled")))
    with pytest.raises(ValueError, match="to train on for cat, unlabelled: put some into train"):
        loaded(settings, f"folder:{root}", side=8)


def test_a_csv_keeps_individuals_together(settings, tmp_path):
    root = tmp_path / "zoo"
    names = [f"{i}.png" for i in range(80)]
    draw(root, *names)
    lines = [
        f"{name},{'ant' if i % 2 else 'cat'},{'' if i < 40 else i // 8}"
        for i, name in enumerate(names)
    ]
    (root / "list.csv").write_text("\n".join(["image,class,individual", *lines]))
    splits = loaded(settings, f"csv:{root / 'list.csv'}", side=8)
    homes = [set(part.table["individual"].dropna()) for part in splits]
    assert sum(map(len, homes)) == len(set.union(*homes)) == 5
    assert all(part.table["individual"].isna().any() for part in splits)
    assert sum(map(len, splits)) == 80


def test_only_test_images_cannot_be_divided(settings, tmp_path):
    root = tmp_path / "zoo"
    draw(root, "1.png", "2.png")
    (root / "list.csv").write_text("image,class,split\n1.png,ant,test\n2.png,cat,test\n")
    with pytest.raises(ValueError, match="none is left for train and validation and calibration"):
        loaded(settings, f"csv:{root / 'list.csv'}")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("ant/1.png", "ant/2.png"), r"zoo has one class only \(ant\)"),
        (("ant/1.png", "cat/1.png"), "zoo has only 2 images: none is left for validation"),
        (("test/ant/1.png", "train/x.png", "train/ant/1.png"), "one class only"),
    ],
)
def test_what_cannot_be_divided_is_refused(settings, tmp_path, names, says):
    draw(tmp_path / "zoo", *names)
    with pytest.raises(ValueError, match=says):
        loaded(settings, f"folder:{tmp_path / 'zoo'}")


def test_a_dataset_that_is_none_is_refused(settings):
    with pytest.raises(ValueError, match="there is no dataset 'zoo'"):
        loaded(settings, "zoo")


@pytest.mark.parametrize("layout", ["kaggle", "catdog", "zip"])
def test_cats_and_dogs_in_every_layout(settings, layout):
    root = settings.data_dir if layout == "kaggle" else settings.data_dir / "catdog"
    pair = (
        ("training_set/training_set", "test_set/test_set")
        if layout == "kaggle"
        else ("train", "test")
    )
    for part, number in zip(pair, (16, 4), strict=True):
        draw(
            root,
            *(
                f"{part}/{name}/{name[:-1]}.{i}.jpg"
                for name in ("cats", "dogs")
                for i in range(number)
            ),
        )
    if layout == "zip":
        shutil.make_archive(str(root), "zip", root)
        shutil.rmtree(root)
    splits = loaded(settings, "catdog", side=8)
    assert [counts(part).tolist() for part in splits] == [[12, 12], [2, 2], [2, 2], [4, 4]]
    assert splits.train.classes == ("cats", "dogs")
    assert splits.train.notes == ()


WHALES = [
    *((f"b{i}", "bottlenose_dolphin", "") for i in range(20)),
    *((f"p{i}", "bottlenose_dolpin", f"p{i // 3}") for i in range(6)),
    *((f"k{i}", "kiler_whale", "") for i in range(16)),
    ("m0", "minke_whale", "m"),
]


@pytest.mark.parametrize("layout", ["kaggle", "kaggle, large", "folder", "zip"])
def test_whales_in_every_layout(settings, layout):
    root = settings.data_dir
    folder, images = {
        "kaggle": (
            "happy-whale-and-dolphin",
            "jpeg-happywhale-128x128/" + "train_images-128-128/" * 2,
        ),
        "kaggle, large": ("happy-whale-and-dolphin", "happy-whale-and-dolphin/train_images/"),
    }.get(layout, ("whales", "whales/images/"))
    draw(root, *(f"{images}{name}.jpg" for name, _, _ in WHALES))
    lines = [
        "image,species,individual_id",
        *(f"{name}.jpg,{kind},{who}" for name, kind, who in WHALES),
    ]
    (root / folder).mkdir(exist_ok=True)
    (root / folder / "train.csv").write_text("\n".join(lines))
    if layout == "zip":
        shutil.make_archive(str(root / "whales"), "zip", root / "whales")
        shutil.rmtree(root / "whales")
    splits = loaded(settings, "whales", side=8)
    assert splits.train.classes == ("bottlenose_dolphin", "killer_whale", "minke_whale")
    assert sum(counts(part) for part in splits).tolist() == [26, 16, 1]
    assert splits.train.notes == (
        "bottlenose_dolpin merged with bottlenose_dolphin: 6 images",
        "kiler_whale merged with killer_whale: 16 images",
        "too few to be divided, all in train: minke_whale (1)",
    )
    homes = [set(part.table["individual"].dropna()) for part in splits]
    assert sum(map(len, homes)) == len(set.union(*homes)) == 3


def test_a_table_of_whales_without_its_columns_is_named_as_it_lies(settings):
    root = settings.data_dir / "happy-whale-and-dolphin"
    draw(root / "train_images", "1.jpg")
    (root / "train.csv").write_text("image,kind\n1.jpg,orca\n")
    with pytest.raises(ValueError, match=r"dolphin.train\.csv has no column class"):
        loaded(settings, "whales")


@pytest.mark.parametrize("dataset", ["catdog", "whales"])
def test_a_missing_dataset_says_where_it_should_be(settings, dataset):
    with pytest.raises(FileNotFoundError, match="SECOND_LOOK_DATA_DIR") as caught:
        loaded(settings, dataset)
    assert str(settings.data_dir) in str(caught.value)


def test_guessed_individuals_stay_together_too():
    count = 60
    known = [f"w{i // 4}" if i < 20 else None for i in range(count)]
    guess = [None if i < 20 else f"w{i // 6}" if i < 50 else None for i in range(count)]
    whole = ImageSet(
        images=torch.zeros(count, 2, 2, 3, dtype=torch.uint8),
        labels=torch.arange(count) % 2,
        classes=("a", "b"),
        table=pd.DataFrame({"individual": known, "individual_guess": guess}),
        name="whales",
        key="k",
    )
    homes = {}
    for tag, part in divided(whole, SHARES)._asdict().items():
        for who in part.table["individual"].fillna(part.table["individual_guess"]).dropna():
            homes.setdefault(who, set()).add(tag)
    assert len(homes) >= 8
    assert all(len(tags) == 1 for tags in homes.values())


@pytest.mark.real
@pytest.mark.parametrize(
    ("dataset", "images", "classes"), [("catdog", 10_000, 2), ("whales", 1_712, 15)]
)
def test_the_real_photographs_are_read_whole(settings, cifar10_dir, dataset, images, classes):
    if not (cifar10_dir / f"{dataset}.zip").exists():
        pytest.skip(f"no {dataset}.zip beside CIFAR-10")
    splits = loaded(replace(settings, data_dir=cifar10_dir), dataset)
    assert sum(map(len, splits)) == images
    assert len(splits.train.classes) == classes
    assert not any("unreadable" in note for note in splits.train.notes)
