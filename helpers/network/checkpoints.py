"""What training leaves on disk: a state to resume from, and the folder of a finished training.

`python -m helpers.network.checkpoints FOLDER [EPOCH ...]` puts a finished training among those that
ship, with all its points or with those of these epochs.
"""

import hashlib
import json
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from helpers.datasets.download import sha256_of
from helpers.network.signatures import halved, read_tensors, save_tensors, write_whole
from helpers.settings import ROOT

SHIPPED = ROOT / "data" / "checkpoints"

STATE = "state.pt"
WEIGHTS = "weights.safetensors"
CARD = "weights.json"
POINTS = "points"


def key_of(facts: Mapping) -> str:
    """Short hex digest of plain values: equal for equal values, in any order of their names."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def point_file(folder: Path, epoch: float) -> Path:
    """Where the weights at `epoch` lie; the names sort as the epochs do."""
    return folder / POINTS / f"epoch-{epoch:010.5f}.safetensors"


def write_state(folder: Path, state: Mapping) -> None:
    """Replace the state in `folder` in one step: an interruption leaves the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / STATE, lambda part: torch.save(state, part))


def read_state(folder: Path) -> dict | None:
    """The state in `folder`, on the CPU; None where there is none that can be read."""
    # Not safetensors: it drops memory layouts, which decide how the fused optimisers round.
    try:
        return torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):
        return None


def save_finished(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    card: Mapping,
    tables: Mapping[str, pd.DataFrame],
    points: list[tuple[float, Path]],
) -> None:
    """Make `folder`, whole or not at all: weights, card, tables as parquet, weights at points.

    Where another process has finished the same training meanwhile, its folder is left.
    """
    if _is_whole(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as made:
        draft = Path(made) / folder.name
        (draft / POINTS).mkdir(parents=True)
        for name, table in tables.items():
            table.to_parquet(draft / f"{name}.parquet")
        for _, file in points:
            shutil.copy(file, draft / POINTS)
            shutil.copy(file.with_suffix(".json"), draft / POINTS)
        kept_at = [epoch for epoch, _ in points]
        save_tensors(draft / WEIGHTS, weights, {**card, "points": kept_at, "files": _sums(draft)})
        try:
            os.rename(draft, folder)
        except OSError:
            if not _is_whole(folder):
                raise


def read_finished(
    folder: Path,
) -> tuple[dict, dict[str, pd.DataFrame], list[tuple[float, Path]]]:
    """Card, tables and points of the finished training in `folder`, each file checked.

    Raises FileNotFoundError where there is none, ValueError where it is damaged or incomplete.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no finished training in {folder}")
    try:
        card = json.loads((folder / CARD).read_text())
        files = {WEIGHTS: card["sha256"], **card["files"]}
        broken = [name for name, found in files.items() if sha256_of(folder / name) != found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder.name} is incomplete or damaged: {error!r}") from error
    if broken:
        raise ValueError(f"{folder.name} is damaged: {broken[0]} is not as it was written")
    tables = {file.stem: pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}
    return card, tables, [(epoch, point_file(folder, epoch)) for epoch in card["points"]]


def ship(folder: Path, to: Path = SHIPPED, epochs: Sequence[float] = ()) -> Path:
    """Copy a finished training into `to`, weights as `halved` makes them; returns its folder.

    Its card says so in `stored`; what it says of accuracy was measured before. Of its points come
    along those of `epochs`, or all where none is named. Raises what `read_finished` raises, and
    ValueError for an epoch that is no point.
    """
    card, tables, points = read_finished(folder)
    if missing := set(epochs) - {epoch for epoch, _ in points}:
        raise ValueError(f"{folder.name} kept no weights at epoch {sorted(missing)}")
    points = [(epoch, file) for epoch, file in points if not epochs or epoch in epochs]
    card = {name: value for name, value in card.items() if name not in ("files", "sha256")}
    card["stored"] = "float16"
    with tempfile.TemporaryDirectory() as made:
        small = [(epoch, Path(made) / file.name) for epoch, file in points]
        for (epoch, file), (_, copy) in zip(points, small, strict=True):
            save_tensors(copy, halved(read_tensors(file)[0]), {"epoch": epoch})
        weights, _ = read_tensors(folder / WEIGHTS)
        save_finished(to / folder.name, halved(weights), card, tables, small)
    return to / folder.name


def _is_whole(folder):
    try:
        read_finished(folder)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _sums(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), epochs=[float(epoch) for epoch in sys.argv[2:]]))
