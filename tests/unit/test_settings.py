"""Settings: what the environment says, and what it must not say."""

import re
from pathlib import Path

import pytest
import torch

from helpers.settings import DEFAULTS, PREFIX, ROOT, Settings, read_settings


def test_an_empty_environment_gives_the_defaults():
    expected = Settings(device=read_settings({}).device)
    assert read_settings({}) == expected
    assert read_settings(dict.fromkeys(DEFAULTS, "")) == expected
    assert (expected.dataset, expected.profile, expected.seed) == ("scenes", "quick", 0)
    assert expected.data_dir == ROOT / "data"


def test_settings_go_through_the_environment_unchanged(tmp_path: Path):
    settings = Settings(
        dataset=f"folder:{tmp_path / 'my images'}",
        profile="full",
        seed=7,
        data_dir=tmp_path / "data",
        cache_dir=tmp_path / "cache",
    )
    assert read_settings(settings.environment()) == settings
    assert set(settings.environment()) == set(DEFAULTS)


def test_only_the_full_profile_is_full():
    assert read_settings({"SECOND_LOOK_PROFILE": "full"}).full
    assert not read_settings({"SECOND_LOOK_PROFILE": "quick"}).full


def test_paths_are_taken_from_the_current_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    settings = read_settings(
        {
            "SECOND_LOOK_DATASET": "csv:tables/a.csv",
            "SECOND_LOOK_DATA_DIR": "../elsewhere",
            "SECOND_LOOK_CACHE_DIR": "~/cache",
        }
    )
    assert settings.dataset == f"csv:{here / 'tables' / 'a.csv'}"
    assert settings.data_dir == here.parent / "elsewhere"
    assert settings.cache_dir == Path("~/cache").expanduser()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SECOND_LOOK_DATASET", "scene", "scenes, scenes:no-families, digits, cifar10"),
        ("SECOND_LOOK_DATASET", "folder:", "csv:PATH"),
        ("SECOND_LOOK_DATASET", "zip:images", "folder:PATH"),
        ("SECOND_LOOK_PROFILE", "fast", "quick, full"),
        ("SECOND_LOOK_SEED", "-1", "whole number from 0 to 4294967295"),
        ("SECOND_LOOK_SEED", "1.5", "whole number"),
        ("SECOND_LOOK_SEED", "4294967296", "whole number"),
        ("SECOND_LOOK_DEVICE", "gpu", "auto, cpu, cuda, mps"),
        ("SECOND_LOOK_DEVICE", "cuda:", "auto, cpu, cuda, mps"),
        ("SECOND_LOOK_DATSET", "digits", "SECOND_LOOK_DATASET"),
    ],
)
def test_a_mistake_is_named_with_the_choices(name: str, value: str, says: str):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        read_settings({name: value})
    assert str(error.value).startswith(name)


def test_other_variables_are_none_of_its_business():
    assert read_settings({"SECOND_LOOKS": "2", "HOME": "/"}) == read_settings({})


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_device_there_is(monkeypatch, cuda: bool, mps: bool, best: str):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert read_settings({}).device == torch.device(best)
    assert read_settings({"SECOND_LOOK_DEVICE": "cpu"}).device == torch.device("cpu")


def test_a_device_that_is_not_here_is_no_silent_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="here torch has cpu only"):
        read_settings({"SECOND_LOOK_DEVICE": "cuda:0"})


def test_the_readme_lists_the_settings_and_their_defaults():
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(rf"^\| `({PREFIX}\w+)` \| `([^`]+)` \|", readme, re.MULTILINE)
    folders = {"data": str(ROOT / "data"), "data/cache": str(ROOT / "data" / "cache")}
    assert {name: folders.get(default, default) for name, default in rows} == DEFAULTS
