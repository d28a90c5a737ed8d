"""What a user of fastai needs: images and a table on disk, a quiet learner, a number for a map."""

import ast
import io
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.imageset import Splits
from helpers.datasets.scenes import scenes
from helpers.series import fastai_way
from helpers.series.fastai_way import (
    ANIMALS,
    course_for,
    fastai_pictures,
    import_fastai,
    in_colour,
    look,
    missed,
    plain,
    written_out,
)
from helpers.settings import ROOT, Settings


def splits(images):
    # Not a stride of ten: the classes of scenes take turns.
    return Splits(*(images.subset(range(k, len(images), 7), str(k)) for k in range(4)))


@pytest.fixture(scope="module")
def fastai():
    import_fastai()
    import fastai.vision.all as fastai

    return fastai


def test_fastai_is_imported_inside_functions_only():
    for path in (ROOT / "helpers").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "fastai." not in f"{ast.unparse(node)}.".replace("fastai_way", ""), path


def test_the_quick_course_is_shorter():
    quick, full = course_for(Settings()), course_for(Settings(profile="full"))
    assert quick.images < full.images
    assert quick.side < full.side < full.resize
    assert full.epochs == 2


def test_scenes_are_written_as_the_contest_has_its_whales(tmp_path):
    settings = Settings(cache_dir=tmp_path)
    folder, table_at = written_out(splits(scenes(20)), settings)
    table = pd.read_csv(table_at, dtype=str)
    assert list(table.columns) == ["image", "species", "individual_id"]
    assert len(table) == course_for(settings).images
    assert set(table.groupby("individual_id").size()) == {fastai_way.VIEWS}
    assert (table.groupby("individual_id")["species"].nunique() == 1).all()
    first = np.asarray(Image.open(folder / table["image"][0])).astype(float)
    side = fastai_way.SCENE_SIDE
    true = scenes(1, size=side, views=fastai_way.VIEWS).images[0].numpy()
    assert np.abs(first - true).mean() < 4


def test_they_are_written_once(tmp_path, monkeypatch):
    settings = Settings(cache_dir=tmp_path)
    first = written_out(splits(scenes(20)), settings)
    monkeypatch.setattr(fastai_way, "_write", lambda *anything: pytest.fail("written again"))
    assert written_out(splits(scenes(20)), settings) == first


def test_a_writing_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(images, draft):
        (draft / "train.csv").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(fastai_way, "_write", fail)
    with pytest.raises(OSError, match="disk full"):
        written_out(splits(scenes(20)), Settings(cache_dir=tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_of_cifar10_there_are_the_six_animals(tmp_path):
    images = replace(scenes(210), classes=CLASSES)
    images = replace(images, table=images.table.drop(columns="individual"))
    written = written_out(splits(images), Settings(dataset="cifar10", cache_dir=tmp_path))
    table = pd.read_csv(written.table)
    assert set(table["species"]) == set(ANIMALS)
    assert list(table.columns) == ["image", "species"]


def test_of_other_images_each_class_has_its_share(tmp_path):
    images = scenes(2_000, size=16)
    written = written_out(splits(images), Settings(dataset="digits", cache_dir=tmp_path))
    counts = pd.read_csv(written.table)["species"].value_counts()
    assert len(counts) == 10
    assert counts.max() - counts.min() <= 1
    assert counts.sum() <= course_for(Settings()).images


def jpeg():
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    return out.getvalue()


def test_whales_in_a_zip_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "whales.zip", "w") as out:
        out.writestr("images/a.jpg", jpeg())
        out.writestr("train.csv", "image,species,individual_id\na.jpg,beluga,\n")
        out.writestr("provenance.csv", "not needed")
    settings = Settings(dataset="whales", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    folder, table = written_out(None, settings)
    assert (folder / "a.jpg").read_bytes() == jpeg()
    assert table.read_text().startswith("image,species,individual_id")


def test_whales_as_on_kaggle_are_left_where_they_are(tmp_path):
    name = "train_images-128-128"
    images = tmp_path / "jpeg-happywhale-128x128" / name / name
    contest = tmp_path / "happy-whale-and-dolphin"
    for folder in (images, contest):
        folder.mkdir(parents=True)
    (contest / "train.csv").write_text("image,species\n")
    settings = Settings(dataset="whales", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert written_out(None, settings) == (images, contest / "train.csv")
    assert not (tmp_path / "cache").exists()


def test_whales_in_a_folder_are_left_where_they_are(tmp_path):
    (tmp_path / "whales" / "images").mkdir(parents=True)
    (tmp_path / "whales" / "train.csv").write_text("image,species\n")
    written = written_out(None, Settings(dataset="whales", data_dir=tmp_path))
    assert written == (tmp_path / "whales" / "images", tmp_path / "whales" / "train.csv")


def test_what_a_map_misses():
    logits = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert missed(logits, logits) == 0
    assert missed(logits, torch.full((4,), 3.0)) == pytest.approx(1)
    assert missed(logits, logits + 10) > 1


@pytest.fixture
def learner(fastai):
    """A learner of two classes whose body is one convolution."""
    images = scenes(24, size=16).images.permute(0, 3, 1, 2).float() / 255
    labels = torch.arange(24) % 2
    fastai.set_seed(0)
    sets = [fastai.TfmdLists(range(n), lambda k: (images[k], labels[k])) for n in (16, 8)]
    dls = fastai.DataLoaders.from_dsets(*sets, bs=4, val_bs=4, num_workers=0, device="cpu")
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = nn.Sequential(body, head)
    loss = fastai.CrossEntropyLossFlat()
    return fastai.Learner(dls, model, loss_func=loss, metrics=fastai.accuracy)


def test_a_learner_says_a_plain_line_per_epoch_and_nothing_else(learner, capsys):
    lines = []
    plain(learner, lines.append).fit(2, 1e-3)
    assert [line.partition(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert "train loss" in lines[0]
    assert "accuracy" in lines[0]
    learner.get_preds()
    assert len(lines) == 2
    assert capsys.readouterr().out == ""
    learner.fit(1, 1e-3)
    assert len(lines) == 3


def test_looking_gives_maps_from_which_the_logits_follow(learner):
    learner.model.train()
    seen = look(learner)
    assert seen.images.shape == (8, 3, 16, 16)
    assert seen.labels.tolist() == [0, 1] * 4
    assert torch.allclose(learner.model[1](seen.maps), seen.logits, atol=1e-6)
    assert learner.model.training
    assert type(seen.images) is torch.Tensor


def test_looking_stops_after_the_batch_that_is_enough(learner):
    size = len(next(iter(learner.dls.valid))[1])
    assert size < 8
    assert len(look(learner, most=size).labels) == size
    assert len(look(learner, most=size + 1).labels) == min(8, 2 * size)


def test_pixels_come_back_as_they_went_in(fastai):
    pixels = scenes(3, size=16).images
    scale = fastai.Normalize.from_stats([0.5, 0.4, 0.3], [0.2, 0.3, 0.4], cuda=False)
    steps = type("Dls", (), {"after_batch": type("Steps", (), {"fs": [scale]})})
    taken = (pixels.permute(0, 3, 1, 2).float() / 255 - scale.mean) / scale.std
    assert torch.equal(in_colour(steps, taken), pixels)


def test_the_look_of_figures_is_put_back():
    import matplotlib

    before = matplotlib.rcParams["axes.titlelocation"]
    with fastai_pictures():
        assert matplotlib.rcParams["axes.titlelocation"] == "center"
    assert matplotlib.rcParams["axes.titlelocation"] == before
