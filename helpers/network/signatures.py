"""What a network says about images: logits, scores and layer outputs, in one pass, and on disk.

A file of tensors is safetensors with a JSON card beside it that holds its sha256; nothing is ever
unpickled.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from helpers.datasets.progress import progress
from helpers.methods.layers import capture, eval_mode

# Names of tensors in a file of signatures; a layer may be called "logits" too.
_LOGITS = "logits"
_LAYER = "layer "


class Signatures(NamedTuple):
    """What a network says about N images, on the CPU as float32.

    logits (N, C), scores (N, C) their softmax, layers name → output (N, ...) in its own shape.
    """

    logits: Tensor
    scores: Tensor
    layers: dict[str, Tensor]


def to_input(images: Tensor, device: torch.device | str | None = None) -> Tensor:
    """Images, uint8 (N, H, W, 3), as a network takes them: float32 (N, 3, H, W) in 0..1.

    They travel to `device` as bytes. Raises ValueError for any other type or shape.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are uint8 (N, H, W, 3), not {images.dtype} {tuple(images.shape)}")
    pixels = images.to(device or images.device).permute(0, 3, 1, 2).contiguous()
    return pixels.to(torch.float32).div_(255)


def signatures(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[str] = (),
    batch: int = 128,
    device: torch.device | str | None = None,
    say: Callable[[str], None] = print,
) -> Signatures:
    """Logits, scores and the outputs of `layers` for uint8 images (N, H, W, 3), in one pass.

    The model runs in evaluation mode where it is, or on `device`, to which it is then moved; its
    modes are restored. Beyond the outputs, memory does not grow with N; on a CPU, batches much
    beyond 128 leave its cache and take up to twice as long.
    Raises ValueError where there are no images, and for a layer that the model lacks, that does
    not run, or that has not a row for each image.
    """
    if len(images) == 0:
        raise ValueError("there are no images to pass through the network")
    if device is not None:
        model.to(device)
    kept: dict[str, Tensor] = {}
    advance = progress("signatures", len(images), say=say)
    with eval_mode(model), capture(model, layers) as outputs:
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            logits = _forward(model, part)
            _check_ran(layers, outputs)
            _put(kept, slice(first, first + len(part)), len(images), _named(logits, outputs))
            advance(len(part))
    return _signatures(kept)


def logits_of(
    model: nn.Module, images: Tensor, batch: int = 128, say: Callable[[str], None] = print
) -> Tensor:
    """The logits (N, C) of uint8 images (N, H, W, 3), as `signatures` gives them."""
    return signatures(model, images, batch=batch, say=say).logits


def signatures_over_training(
    model: nn.Module,
    points: Iterable[tuple[float, Path]],
    images: Tensor,
    layers: Sequence[str],
    folder: Path,
    key: str,
    say: Callable[[str], None] = print,
) -> None:
    """Keep the signatures of `images` at several points of training, one file each in `folder`.

    points  (epoch, file of weights) pairs; 0 is the untrained network, 0.125 within epoch 1
    key     the images' own key; a point already on disk for the same key, weights and layers is
            left as it is, so that an interrupted call can be called again
    Logits are kept as float32, layers as float16 where they fit. `read_signatures` reads a point.
    The model ends with the weights that it came with. Raises what `load_weights` raises.
    """
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        for epoch, weights in points:
            file = _point_file(folder, epoch)
            card = {"epoch": float(epoch), "images": key, "layers": list(layers)}
            card["weights"] = _read_card(weights)["sha256"]
            if not _holds(file, card):
                load_weights(model, weights)
                say(f"epoch {epoch:g}: signatures of {len(images):,} images")
                seen = signatures(model, images, layers, say=say)
                save_tensors(file, _named(seen.logits, halved(seen.layers)), card)
    finally:
        model.load_state_dict(own)


def read_signatures(folder: Path, epoch: float) -> Signatures:
    """The signatures that `signatures_over_training` kept for one epoch.

    Raises FileNotFoundError, naming the epochs there are, where this one is not among them, and
    ValueError for a damaged file.
    """
    file = _point_file(folder, epoch)
    if not file.exists():
        there = ", ".join(f"{epoch:g}" for epoch in _epochs(folder)) or "none"
        raise FileNotFoundError(f"no signatures of epoch {epoch:g} in {folder}; epochs: {there}")
    return _signatures(read_tensors(file)[0])


def save_tensors(file: Path, tensors: Mapping[str, Tensor], card: Mapping) -> None:
    """Write named tensors to `file` (.safetensors) and `card` to the .json file beside it.

    The card also gets the file's sha256. Each of the two is written whole or not at all, the card
    last; where only the first got there, reading says so.
    """
    # Safetensors refuses tensors that share memory or are not laid out row by row.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    data = safetensors.torch.save(plain)
    written = dict(card) | {"sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(written, indent=1, sort_keys=True) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda part: part.write_bytes(data))
    write_whole(_card_file(file), lambda part: part.write_bytes(text.encode()))


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors, on the CPU, and the card that `save_tensors` wrote.

    Raises FileNotFoundError where one of the two files is missing, ValueError where they do not
    belong together or are damaged.
    """
    card = _read_card(file)
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise ValueError(f"{file} is damaged: its sha256 is not the one in {_card_file(file).name}")
    return safetensors.torch.load(data), card


def load_weights(model: nn.Module, file: Path) -> dict:
    """Give `model` the weights in `file`, on the device it is on; returns the file's card.

    Raises what `read_tensors` raises, and ValueError where the weights are another network's.
    """
    tensors, card = read_tensors(file)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{file} holds the weights of another network: {error}") from error
    return card


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as float16, but those that hold no fractions, or numbers too large for it."""
    halves = {name: x.half() for name, x in tensors.items() if x.is_floating_point()}
    return {**tensors, **{name: x for name, x in halves.items() if x.isfinite().all()}}


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `file`, then put it in its place: nobody sees half of it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


@torch.inference_mode()
def _forward(model, images):
    return model(to_input(images, next(model.parameters()).device))


def _check_ran(layers, outputs):
    for name in layers:
        if name not in outputs:
            raise ValueError(f"layer {name!r} did not run")


def _put(kept, rows, count, outputs):
    """Copy a batch of outputs into their rows of `count`, made when the first shows their shapes.

    Outside inference mode, so that what is kept can take part in autograd (temperature scaling).
    """
    images = rows.stop - rows.start
    for name, output in outputs.items():
        if output.shape[:1] != (images,):
            shape = tuple(output.shape)
            raise ValueError(f"{name} has shape {shape}, not a row for each of {images} images")
        if name not in kept:
            kept[name] = torch.empty(count, *output.shape[1:], dtype=torch.float32)
        kept[name][rows] = output


def _named(logits, layers):
    """Logits and layer outputs in one dictionary, under the names they have on disk."""
    return {_LOGITS: logits} | {_LAYER + name: output for name, output in layers.items()}


def _signatures(tensors):
    """The inverse of `_named`."""
    layers = dict(tensors)
    logits = layers.pop(_LOGITS)
    named = {name.removeprefix(_LAYER): output.float() for name, output in layers.items()}
    return Signatures(logits, logits.softmax(1), named)


def _point_file(folder, epoch):
    # Padded, so that names in alphabetical order are in the order of training.
    return folder / f"epoch-{epoch:09.4f}.safetensors"


def _epochs(folder):
    files = sorted(folder.glob("epoch-*.safetensors"))
    return [float(file.stem.removeprefix("epoch-")) for file in files]


def _holds(file, card):
    """Whether `file` is whole and was written with this card."""
    try:
        _, written = read_tensors(file)
    except (FileNotFoundError, ValueError):
        return False
    return written == card | {"sha256": written["sha256"]}


def _card_file(file):
    return file.with_suffix(".json")


def _read_card(file):
    for part in (file, _card_file(file)):
        if not part.exists():
            raise FileNotFoundError(f"{part} is missing; make {file.name} again")
    try:
        card = json.loads(_card_file(file).read_bytes())
        card["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{_card_file(file)} is damaged; make {file.name} again") from error
    return card
