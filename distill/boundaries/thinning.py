"""Morphological thinning, by which the benchmark brings boundaries of any thickness to one pixel.

Guo and Hall, "Parallel Thinning with Two-Subiteration Algorithms", Communications of the ACM, 1989, algorithm A1, until
nothing changes: MATLAB's `bwmorph(mask, 'thin', Inf)`.
"""

from __future__ import annotations

from functools import cache

import numpy as np


def thin(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool, true on boundaries, to the same thinned; outside of the picture nothing is true."""
    from densedistill.distill.boundaries.thinning_kernel import thin_in_place

    padded = np.pad(mask != 0, 1).astype(np.uint8)
    thin_in_place(padded.reshape(-1), np.flatnonzero(padded), padded.shape[1], removable())
    return padded[1:-1, 1:-1].astype(bool)


@cache
def removable() -> np.ndarray:
    """(2, 256) uint8: whether a pixel with these neighbours is deleted by the first pass, and by the second.

    Bit k of the column is neighbour k, counted counter-clockwise from the east.
    """
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1
    odd, even, following = x[:, 0::2], x[:, 1::2], np.roll(x[:, 0::2], -1, axis=1)
    crossings = ((odd == 0) & ((even | following) == 1)).sum(axis=1)
    fewest = np.minimum((odd | even).sum(axis=1), (even | following).sum(axis=1))
    ends_and_inner = (crossings == 1) & (fewest >= 2) & (fewest <= 3)
    east = ((x[:, 1] | x[:, 2] | (1 - x[:, 7])) & x[:, 0]) == 0
    west = ((x[:, 5] | x[:, 6] | (1 - x[:, 3])) & x[:, 4]) == 0
    return np.stack((ends_and_inner & east, ends_and_inner & west)).astype(np.uint8)
