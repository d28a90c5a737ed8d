"""Class folders and CSVs, plain and zipped."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.datasets.files import Files, files_in, stamp
from helpers.datasets.folders import class_folders
from helpers.datasets.imageset import counts
from helpers.datasets.readers import csv_images, folder_images


def draw(root: Path, *names: str) -> None:
    """Small grey images, each of a level of its own."""
    for level, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8), 10 * level + 5, np.uint8)).save(root / name)


def zipped(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", root))


def silent(_):
    pass


def described(imageset):
    """The path, class and part of each image."""
    names = [imageset.classes[label] for label in imageset.labels]
    parts = imageset.table.get("part", [""] * len(imageset))
    return list(zip(imageset.table["path"], names, parts, strict=True))


def from_folder(place, cache="cache"):
    return folder_images(place, 4, place.parent / cache, silent)


def test_a_folder_for_each_class_at_any_depth(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "cat/10.png", "cat/2.png", "cat/old/deeper/1.png", "ant/a.jpg", "ant/b.JPEG")
    found = from_folder(root)
    assert described(found) == [
        ("ant/a.jpg", "ant", ""),
        ("ant/b.JPEG", "ant", ""),
        ("cat/2.png", "cat", ""),
        ("cat/10.png", "cat", ""),
        ("cat/old/deeper/1.png", "cat", ""),
    ]
    assert [int(image[0, 0, 0]) for image in found.images[2:]] == [15, 5, 25]
    assert found.table[["width", "height"]].to_numpy().tolist() == [[8, 6]] * 5
    assert found.name == "zoo"
    assert found.notes == ()


def test_a_zip_gives_what_the_folder_gives(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "cat/1.png", "cat/2.png", "ant/1.png")
    plain, packed = from_folder(root), from_folder(zipped(root))
    assert described(plain) == described(packed)
    assert plain.images.equal(packed.images)
    assert plain.key == packed.key


def test_the_key_follows_content_and_labels_not_names_or_times(tmp_path):
    draw(tmp_path / "one", "ant/1.png", "cat/1.png")
    draw(tmp_path / "two", "ant/first.png", "cat/second.png")
    draw(tmp_path / "three", "ant/1.png", "bee/1.png")
    draw(tmp_path / "four", "cat/1.png", "ant/1.png")
    keys = [from_folder(tmp_path / name).key for name in ("one", "two", "three", "four")]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert folder_images(tmp_path / "one", 5, tmp_path / "cache", silent).key != keys[0]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train/", "test/"),
        ("Training/", "val/"),
        ("training_set/training_set/", "test_set/test_set/"),
        ("archive/train/", "archive/test/"),
    ],
)
def test_parts_are_found_in_every_layout(tmp_path, train, test):
    draw(tmp_path / "zoo", f"{train}ant/1.png", f"{train}cat/1.png", f"{test}cat/9.png")
    part = "validation" if test == "val/" else "test"
    assert sorted((name, tag) for _, name, tag in described(from_folder(tmp_path / "zoo"))) == (
        sorted([("ant", "train"), ("cat", "train"), ("cat", part)])
    )


def test_a_class_may_be_called_train(tmp_path):
    draw(tmp_path / "zoo", "train/1.png", "bus/1.png", "car/1.png")
    assert from_folder(tmp_path / "zoo").classes == ("bus", "car", "train")


def test_what_is_no_image_or_in_no_class_is_left_out_with_a_note(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "ant/1.png", "cat/1.png", "loose.png", "__MACOSX/ant/._1.png", ".git/cat/2.png")
    draw(root, "ant/.hidden.png")
    for name in ("readme.txt", "ant/Thumbs.db", "cat/.DS_Store"):
        (root / name).write_text("x")
    for place in (root, zipped(root)):
        found = from_folder(place)
        assert [path for path, _, _ in described(found)] == ["ant/1.png", "cat/1.png"]
        assert found.notes == (
            "other files, left out: 2 (ant/Thumbs.db, readme.txt)",
            "images in no class folder, left out: 1 (loose.png)",
        )


def test_unreadable_images_are_listed_counted_and_said(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "ant/1.png", "cat/1.png", "cat/2.png")
    for name in ("ant/0.png", "cat/3.jpg"):
        (root / name).write_bytes(b"\xff\xd8 no image")
    said = []
    found = folder_images(root, 4, tmp_path / "cache", said.append)
    note = "unreadable files, left out: 2 (ant/0.png (not an image), cat/3.jpg (not an image))"
    assert found.notes == (note,)
    assert said == [f"zoo: {note}"]
    assert counts(found).to_dict() == {"ant": 1, "cat": 2}
    assert from_folder(root).notes == (note,)


def test_a_folder_without_images_is_named(tmp_path):
    root = tmp_path / "zoo"
    (root / "ant").mkdir(parents=True)
    (root / "ant" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"zoo holds no images in class folders.*1 other files"):
        from_folder(root)
    draw(root, "loose.png")
    with pytest.raises(ValueError, match="it has 1 images"):
        from_folder(root)
    (root / "cat").mkdir()
    (root / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 1 images in .*zoo can be read.*cat/1.png"):
        from_folder(root)


def test_a_folder_with_a_dot_keeps_its_whole_name(tmp_path):
    root = tmp_path / "birds.v2"
    draw(root, "ant/1.png", "cat/1.png")
    assert from_folder(root).name == from_folder(zipped(root)).name == "birds.v2"


def test_a_name_that_is_not_utf_8_is_refused_early(tmp_path):
    files = Files(tmp_path, ("ant/1.png", "caf\udce9/1.png"), lambda name: b"")
    with pytest.raises(ValueError, match=r"not UTF-8, 'caf\\udce9/1.png': rename it"):
        class_folders(files)


def test_a_place_that_is_not_there_or_no_zip_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*zoo"):
        from_folder(tmp_path / "zoo")
    (tmp_path / "zoo.rar").write_text("x")
    with pytest.raises(ValueError, match=r"zoo.rar is neither a folder nor a zip"):
        from_folder(tmp_path / "zoo.rar")


def test_a_changed_folder_is_read_again_and_an_unchanged_one_is_not(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "ant/1.png", "cat/1.png")
    first = folder_images(root, 4, root / "cache", silent)  # a cache among the images is no data
    before = stamp(root)
    assert folder_images(root, 4, root / "cache", silent).key == first.key
    assert len([place for place in (root / "cache").iterdir() if place.is_dir()]) == 1
    draw(root, "cat/2.png")
    assert stamp(root) != before
    assert len(folder_images(root, 4, root / "cache", silent)) == 3


def write(place: Path, *lines: str, encoding="utf-8") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(lines) + "\n", encoding=encoding)
    return place


def from_csv(place, root):
    return csv_images(place, 4, root.parent / "cache", silent)


@pytest.mark.parametrize(
    ("lines", "classes"),
    [
        (("path,class", "a/1.png,ant", "2.png,cat"), ("ant", "cat")),
        (("file,label", "./a/1.png,1", "2.png,0"), ("0", "1")),
        (("id,Image , SPECIES", "1,1.png,ant", "2,2.png,cat"), ("ant", "cat")),
        (("image,label_name,label", "a\\1,ant,5", "2,cat,4"), ("ant", "cat")),
    ],
)
def test_a_csv_names_images_and_classes(tmp_path, lines, classes):
    root = tmp_path / "zoo"
    draw(root, "a/1.png", "2.png")
    place = write(root / "list.csv", *lines, encoding="utf-8-sig")
    for found in (from_csv(place, root), from_csv(zipped(root), root)):
        assert found.classes == classes
        assert list(found.table["path"]) == ["a/1.png", "2.png"]
        assert [int(image[0, 0, 0]) for image in found.images] == [5, 15]


def test_a_csv_gives_parts_and_individuals(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "images/1.png", "images/2.png", "images/3.png", "large/1.png")
    place = write(
        root / "list.csv",
        "image,class,split,individual_id",
        "1.png,ant,Train,007",
        "2.png,cat,val,",
        "3.png,cat,test,8",
    )
    found = from_csv(place, root)
    assert list(found.table["path"]) == [f"images/{i}.png" for i in (1, 2, 3)]
    assert list(found.table["part"]) == ["train", "validation", "test"]
    assert found.table["individual"].isna().tolist() == [False, True, False]
    assert found.table["individual"][0] == "007"


def test_rows_that_cannot_be_used_are_left_out_with_a_note(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "1.png", "2.png", "a/5.png", "b/5.png")
    place = write(root / "list.csv", "path,class", "1.png,ant", "2.png,", "3.png,ant", "5.png,ant")
    found = from_csv(place, root)
    assert described(found) == [("1.png", "ant", "")]
    assert found.notes == (
        "named but not there: 2 (3.png, 5.png)",
        "without a class, left out: 1 (2.png)",
    )


def test_a_file_named_in_several_rows_is_one_image(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "1.png", "2.png")
    rows = ("1.png,,train", "1.png,ant,train", "./1.png,bee,test", "2.png,cat,test", "1,ant,test")
    found = from_csv(write(root / "list.csv", "path,class,split", *rows), root)
    assert described(found) == [("1.png", "ant", "train"), ("2.png", "cat", "test")]
    assert found.notes[-1] == "named more than once, the first row kept: 1 (1.png)"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("path,kind", "1.png,ant"), "no column class, species, .*: it has path, kind"),
        (("url,class", "1.png,ant"), "no column image, path, .*: it has url, class"),
        (("path;class", "1.png;ant"), "it has path;class"),
        (("path,class",), "names no image"),
        (("path,class", "9.png,ant"), r"named but not there: 1 \(9.png\)"),
        (("path,class,split", "1.png,ant,holdout"), "the split 'holdout'"),
        (("path,class", '1.png,ant,"'), "cannot be read as a CSV"),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(tmp_path, lines, says):
    root = tmp_path / "zoo"
    draw(root, "1.png")
    place = write(root / "list.csv", *lines)
    for found in (place, zipped(root)):
        with pytest.raises(ValueError, match=says) as caught:
            from_csv(found, root)
        assert "list.csv" in str(caught.value)


def test_an_empty_or_missing_csv_is_named(tmp_path):
    place = tmp_path / "zoo" / "list.csv"
    with pytest.raises(FileNotFoundError, match=r"there is no .*list.csv"):
        from_csv(place, tmp_path / "zoo")
    place.parent.mkdir()
    place.touch()
    with pytest.raises(ValueError, match=r"list.csv cannot be read as a CSV"):
        from_csv(place, tmp_path / "zoo")
    place.unlink()
    draw(tmp_path / "zoo", "1.png")
    with pytest.raises(ValueError, match=r"zoo.zip holds no CSV file"):
        from_csv(zipped(tmp_path / "zoo"), tmp_path / "zoo")


def test_only_some_folders_of_a_place_are_listed(tmp_path):
    root = tmp_path / "zoo"
    draw(root, "train/ant/1.png", "test/ant/1.png", "else/ant/1.png")
    for place in (root, zipped(root)):
        assert files_in(place, ("train", "test")).names == ("test/ant/1.png", "train/ant/1.png")
