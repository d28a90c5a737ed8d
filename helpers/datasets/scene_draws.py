"""Randomness for generated scenes: a hash of (seed, stream, index, position).

A counter-based generator in place of a sequential one: any image's draws can be made alone, in any
order, on any device, and are the same integers everywhere. So a subset of scenes is a subset, and
adding a draw at the end of a list changes none before it. A `torch.Generator` per image would not
do: on the CPU it keeps only 32 bits of its seed, so that (seed, index) pairs collide.

The mixing functions are SplitMix64's (Steele, Lea and Flood 2014) and MurmurHash3's (Appleby 2011).
"""

import torch

STREAMS = ("identity", "view", "code", "backdrop", "clutter", "grain")
_GOLDEN = -0x61C8864680B583EB  # 2**64 / golden ratio, as a signed integer


def _mix(z: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on int64; the masks make torch's signed shifts logical ones."""
    z = (z ^ ((z >> 30) & (1 << 34) - 1)) * -0x40A7B892E31B1A47
    z = (z ^ ((z >> 27) & (1 << 37) - 1)) * -0x6B2FB644ECCEEE15
    return z ^ ((z >> 31) & (1 << 33) - 1)


def keys(seed: int, stream: str, index: torch.Tensor) -> torch.Tensor:
    """One int64 per index, well mixed: what all draws of one image start from."""
    start = _mix(torch.tensor(seed, dtype=torch.int64) + _GOLDEN)
    return _mix(_mix(start + STREAMS.index(stream)) + _GOLDEN * (index + 1))


def uniform(key: torch.Tensor, width: int, start: int = 0) -> torch.Tensor:
    """(N,) keys to draws `start` up to `start + width`: (N, width) float32, uniform on [0, 1)."""
    counter = torch.arange(start + 1, start + width + 1, device=key.device)
    bits = _mix(key[:, None] + _GOLDEN * counter) >> 40
    return (bits & 0xFFFFFF).float() / (1 << 24)


def named(key: torch.Tensor, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """One uniform draw per image for each name, in the order of the names."""
    return dict(zip(names, uniform(key, len(names)).unbind(1), strict=True))


class Dealer:
    """Deals each image its next draws, as (N, 1, 1) tensors that broadcast over pixels."""

    def __init__(self, key: torch.Tensor):
        self.key, self.dealt = key, 0

    def __call__(self, low: float = 0, high: float = 1) -> torch.Tensor:
        """One draw per image, uniform on [low, high)."""
        return self.several(1, low, high)[:, 0]

    def several(self, number: int, low: float = 0, high: float = 1) -> torch.Tensor:
        """(N, number, 1, 1) draws, uniform on [low, high)."""
        draws = uniform(self.key, number, self.dealt)
        self.dealt += number
        return (low + (high - low) * draws)[:, :, None, None]


def pixel_noise(key: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N,) keys to (N, height, width) triangular noise on (-1, 1), mean 0, variance 1/6.

    Hashed in 32 bits (MurmurHash3's finaliser), which a CPU multiplies eight at a time.
    """
    pixel = torch.arange(height * width, dtype=torch.int32, device=key.device)
    h = (key >> 32).int()[:, None] ^ (pixel * -0x61C8864F)
    h = (h ^ ((h >> 16) & 0xFFFF)) * -0x7A143595
    h = (h ^ ((h >> 13) & 0x7FFFF)) * -0x3D4D51CB
    h = h ^ ((h >> 16) & 0xFFFF)
    noise = ((h & 0xFFFF) + ((h >> 16) & 0xFFFF)).float() / (1 << 16) - 1
    return noise.reshape(-1, height, width)
