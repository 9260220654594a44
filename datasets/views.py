"""Random numbers that belong to a view of an image, not to a moment of a run.

Each number is a pure function of (seed, image, view, stream): a batch can be made again after a restart, on
another process or with other neighbours, and its augmentation is the same. That is what makes resuming exact and lets a
teacher's output for a view be kept.
"""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014): a bijection on uint64 with full avalanche."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed


def stream_key(stream: str) -> np.uint64:
    """A fixed 64-bit key for a named stream (`crop`, `flip`): independent of Python's hash seed."""
    key = np.uint64(0xCBF29CE484222325)
    with np.errstate(over="ignore"):
        for byte in stream.encode():
            key = (key ^ np.uint64(byte)) * np.uint64(0x100000001B3)
    return key


def uniform(seed: int, images: np.ndarray, views: np.ndarray, stream: str, count: int = 1) -> np.ndarray:
    """(B, count) float64 in [0, 1): `count` numbers for each (image, view) of the named stream."""
    with np.errstate(over="ignore"):
        state = _mix(np.array(seed & (2**64 - 1), dtype=np.uint64) + _GOLDEN) ^ stream_key(stream)
        state = _mix(state + _GOLDEN * (images.astype(np.uint64) + np.uint64(1)))
        state = _mix(state + _GOLDEN * (views.astype(np.uint64) + np.uint64(1)))
        draws = _mix(state[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)[None, :])
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
