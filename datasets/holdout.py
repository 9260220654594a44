"""Splits made once and recorded: which images are held out, and a fingerprint of all a figure depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.views import uniform

Item = TypeVar("Item")


def hold_out(items: Sequence[Item], count: int, seed: int, *, stream: str) -> tuple[list[Item], list[Item]]:
    """Split `items` into (kept, held out), `count` of them held out; both keep their order.

    A pure function of the number of items, `count`, `seed` and `stream`. A different `stream` ("val", "test")
    draws other items.

    Raises:
        DataError: nothing would be left to train on.
    """
    if not 0 <= count < len(items):
        raise DataError(
            f"cannot hold {count} of {len(items)} images out for {stream}: hold out fewer, or give more images"
        )
    places = np.arange(len(items))
    draws = uniform(seed, places, np.zeros_like(places), f"hold-out {stream}")[:, 0]
    chosen = set(np.argsort(draws, kind="stable")[:count].tolist())
    kept = [item for place, item in enumerate(items) if place not in chosen]
    held = [item for place, item in enumerate(items) if place in chosen]
    return kept, held


def fingerprint(parts: Mapping[str, Iterable[tuple[str, bytes]]]) -> str:
    """`sha256:...` over a split: names of its parts and images in order, and each image's bytes or digest."""
    digest = hashlib.sha256()
    for part, entries in parts.items():
        digest.update(_framed(part.encode()))
        for name, payload in entries:
            digest.update(_framed(name.encode()) + _framed(payload))
    return f"sha256:{digest.hexdigest()}"


def _framed(payload: bytes) -> bytes:
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    return len(payload).to_bytes(8, "little") + payload
