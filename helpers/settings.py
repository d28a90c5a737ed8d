"""What this run uses: dataset, profile, seed, device and folders.

Everything comes from `SECOND_LOOK_*` in the environment, and only this module reads it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("scenes", "scenes:no-families", "digits", "cifar10", "catdog", "whales")
DATASETS_AT = ("folder", "csv")  # these are followed by ":" and a path
PROFILES = ("quick", "full")
DEVICES = ("auto", "cpu", "cuda", "mps")
CPU = torch.device("cpu")
LARGEST_SEED = 2**32 - 1  # the largest that NumPy and scikit-learn take as well

PREFIX = "SECOND_LOOK_"
DEFAULTS = {
    "SECOND_LOOK_DATASET": "scenes",
    "SECOND_LOOK_PROFILE": "quick",
    "SECOND_LOOK_SEED": "0",
    "SECOND_LOOK_DEVICE": "auto",
    "SECOND_LOOK_DATA_DIR": str(ROOT / "data"),
    "SECOND_LOOK_CACHE_DIR": str(ROOT / "data" / "cache"),
}


@dataclass(frozen=True)
class Settings:
    """What a run uses. Paths are absolute when they come from `read_settings`."""

    dataset: str = "scenes"
    profile: str = "quick"
    seed: int = 0
    device: torch.device = CPU
    data_dir: Path = ROOT / "data"
    cache_dir: Path = ROOT / "data" / "cache"

    @property
    def full(self) -> bool:
        """Whether this is the full profile, which measures what the quick one shows."""
        return self.profile == "full"

    def environment(self) -> dict[str, str]:
        """Return the variables that give these settings in another process."""
        return {
            "SECOND_LOOK_DATASET": self.dataset,
            "SECOND_LOOK_PROFILE": self.profile,
            "SECOND_LOOK_SEED": str(self.seed),
            "SECOND_LOOK_DEVICE": str(self.device),
            "SECOND_LOOK_DATA_DIR": str(self.data_dir),
            "SECOND_LOOK_CACHE_DIR": str(self.cache_dir),
        }


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from `SECOND_LOOK_*`; a variable unset or empty has its default.

    Relative paths are taken from the current folder. Raises ValueError for a value that is
    none of the choices and for a variable that does not exist.
    """
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in DEFAULTS)
    if unknown:
        raise ValueError(f"{unknown[0]} is not a setting; there are {', '.join(DEFAULTS)}.")
    chosen = {name: environ.get(name, "").strip() or DEFAULTS[name] for name in DEFAULTS}
    return Settings(
        dataset=_dataset(chosen["SECOND_LOOK_DATASET"]),
        profile=_profile(chosen["SECOND_LOOK_PROFILE"]),
        seed=_seed(chosen["SECOND_LOOK_SEED"]),
        device=_device(chosen["SECOND_LOOK_DEVICE"]),
        data_dir=_absolute(chosen["SECOND_LOOK_DATA_DIR"]),
        cache_dir=_absolute(chosen["SECOND_LOOK_CACHE_DIR"]),
    )


def _dataset(text: str) -> str:
    kind, _, path = text.partition(":")
    if kind in DATASETS_AT and path:
        return f"{kind}:{_absolute(path)}"
    if text not in DATASETS:
        choices = ", ".join([*DATASETS, *(f"{kind}:PATH" for kind in DATASETS_AT)])
        raise ValueError(f"SECOND_LOOK_DATASET is {text!r}; choose one of {choices}.")
    return text


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise ValueError(f"SECOND_LOOK_PROFILE is {text!r}; choose one of {', '.join(PROFILES)}.")
    return text


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= LARGEST_SEED):
        raise ValueError(
            f"SECOND_LOOK_SEED is {text!r}; give a whole number from 0 to {LARGEST_SEED}."
        )
    return int(text)


def _device(text: str) -> torch.device:
    there = _devices_here()
    if text == "auto":
        return torch.device(there[0])
    kind = text.partition(":")[0]
    if not re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", text):
        raise ValueError(f"SECOND_LOOK_DEVICE is {text!r}; choose one of {', '.join(DEVICES)}.")
    if kind not in there:
        raise ValueError(f"SECOND_LOOK_DEVICE is {text!r}; here torch has {', '.join(there)} only.")
    return torch.device(text)


def _devices_here() -> list[str]:
    """Return the kinds of device torch can use here, the fastest first."""
    kinds = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return [kind for kind, there in kinds.items() if there]


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))
