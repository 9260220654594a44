"""A fixed grid of patches in place of random views: every pixel of every image, and the least that a teacher answers.

A teacher cache keeps one answer for each (image, view). Of random views it takes many until every pixel was seen;
of the grid's patches, one each. So a patch is what the training set counts as an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densedistill.datasets.dense import Size


def grid_cells(sizes: Sequence[Size], side: int) -> np.ndarray:
    """Patches that cover every image, as few as can be, at even distances.

    Args:
        sizes: of the images, no side shorter than `side`.
        side: height and width of a patch in pixels.

    Returns:
        (P, 3) int64: image, top, left; by image, then row by row. An image of H by W pixels has ceil(H / side) times
        ceil(W / side) of them: less than (1 + side / H) (1 + side / W) times its pixels.
    """
    cells = [
        (image, top, left)
        for image, (height, width) in enumerate(sizes)
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]
    return np.array(cells, np.int64).reshape(-1, 3)


def grid_notes(patches: int, side: int) -> tuple[str, ...]:
    """What a reader of a figure must know."""
    return (f"training views: the {patches} patches of a fixed grid of {side} pixels, which count as its images",)


def _starts(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [round(place * (length - side) / max(count - 1, 1)) for place in range(count)]
