"""Fixtures that every test may use."""

from pathlib import Path

import pytest

from helpers.settings import Settings, read_settings

CIFAR10 = ("cifar10.zip", "cifar10", "cifar-10-batches-py", "cifar-10-python.tar.gz")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of the embedded dataset, with folders that are this test's own."""
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """The folder in which CIFAR-10 lies; the test is skipped where there is none."""
    folder = read_settings().data_dir
    if not any((folder / name).exists() for name in CIFAR10):
        pytest.skip(f"no CIFAR-10: set SECOND_LOOK_DATA_DIR to a folder with {CIFAR10[0]}")
    return folder
