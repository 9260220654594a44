"""Thinning as a compiled loop over the pixels that may change."""

from __future__ import annotations

import numpy as np

from densedistill.distill.boundaries.compiled import compiled


@compiled
def thin_in_place(mask: np.ndarray, pixels: np.ndarray, stride: int, removable: np.ndarray) -> int:
    """Delete from `mask` what thinning deletes; the number of pixels that stay, listed first in `pixels`.

    A pixel's fate follows from its eight neighbours, so after the first two passes a pass looks again only at the
    neighbours of what the last two deleted: any other pixel was judged before by the same rule on the same neighbours.

    Args:
        mask: (pixels,) uint8 0/1, a picture row by row with a border of at least one empty pixel.
        pixels: (N,) int64 places of all ones.
        stride: pixels in a row of the picture, border included.
        removable: (2, 256) uint8, whether a pixel goes, by pass and neighbours; bit k is neighbour k, counted
            counter-clockwise from the east.
    """
    around = np.array([1, 1 - stride, -stride, -stride - 1, -1, stride - 1, stride, stride + 1])
    seen = np.zeros(len(mask), np.int32)
    queue = pixels.copy()
    length = len(pixels)
    doomed = np.empty(len(pixels), np.int64)
    before, now, turn = 0, 0, 0
    # `doomed` holds all deleted pixels in order: [before, now) by the last pass, from `now` on by this one.
    while True:
        stop = now
        for place in range(length):
            pixel = queue[place]
            if mask[pixel] == 0:
                continue
            code = 0
            for bit in range(8):
                code |= mask[pixel + around[bit]] << bit
            if removable[turn & 1, code]:
                doomed[stop] = pixel
                stop += 1
        for place in range(now, stop):
            mask[doomed[place]] = 0
        turn += 1
        first, before, now = before, now, stop
        if turn == 1:
            continue
        length = 0
        for place in range(first, now):
            for bit in range(8):
                pixel = doomed[place] + around[bit]
                if mask[pixel] and seen[pixel] != turn:
                    seen[pixel] = turn
                    queue[length] = pixel
                    length += 1
        if length == 0:
            break
    left = 0
    for place in range(len(pixels)):
        if mask[pixels[place]]:
            pixels[left] = pixels[place]
            left += 1
    return left
