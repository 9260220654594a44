"""Non-maximum suppression of boundary maps: of a thick boundary its crest is kept.

Dollár and Zitnick, "Fast Edge Detection Using Structured Forests", TPAMI 2015, as the field applies it to the maps of
networks before the benchmark, with the same constants: the map is smoothed, its direction is that of the largest
curvature of a stronger smoothed one, and a pixel goes whose neighbour across the boundary is stronger.
"""

from __future__ import annotations

import numpy as np

_FINE, _COARSE = 1, 4
"""Radii of the triangle filters in pixels."""
_TOLERANCE = 1.01
"""How many times larger than a pixel its neighbour has to be."""
_MARGIN = 5
"""Pixels from the border within which values are lowered: there directions are unreliable."""


def suppress(prediction: np.ndarray) -> np.ndarray:
    """(H, W) strengths in [0, 1], two pixels a side at least, to (H, W) float64: smoothed on crests, 0 elsewhere."""
    strength = _smooth(prediction.astype(np.float64), _FINE)
    angle = _across(strength)
    strongest = np.maximum(_shifted(strength, angle, 1), _shifted(strength, angle, -1))
    crests: np.ndarray = np.where(_TOLERANCE * strength < strongest, 0.0, strength) * _fade(strength.shape)
    return crests


def _across(strength: np.ndarray) -> np.ndarray:
    """(H, W) the angle across the boundary at each pixel, in [0, pi) from the x axis towards increasing y."""
    down, right = np.gradient(_smooth(strength, _COARSE))
    curve_right = np.gradient(right, axis=1)
    curve_down, curve_mixed = np.gradient(down)
    # The original divides and takes the arctangent, which has no value where both are 0; modulo pi the two agree.
    angle: np.ndarray = np.arctan2(curve_down * np.sign(-curve_mixed), curve_right + 1e-5) % np.pi
    return angle


def _smooth(plane: np.ndarray, radius: int) -> np.ndarray:
    """A triangle filter in both directions; the picture is mirrored at its border, which counts twice."""
    from scipy.ndimage import convolve1d

    weights = np.concatenate((np.arange(1, radius + 2), np.arange(radius, 0, -1))) / (radius + 1) ** 2
    smooth: np.ndarray = convolve1d(convolve1d(plane, weights, axis=0, mode="reflect"), weights, axis=1, mode="reflect")
    return smooth


def _shifted(plane: np.ndarray, angle: np.ndarray, distance: int) -> np.ndarray:
    """The value `distance` pixels along `angle` from each pixel, linear between pixels; the border's beyond it."""
    height, width = plane.shape
    rows, columns = np.indices(plane.shape)
    y = np.clip(rows + distance * np.sin(angle), 0, height - 1.001)
    x = np.clip(columns + distance * np.cos(angle), 0, width - 1.001)
    top, left = y.astype(np.int64), x.astype(np.int64)
    down, right = y - top, x - left
    upper = plane[top, left] * (1 - right) + plane[top, left + 1] * right
    lower = plane[top + 1, left] * (1 - right) + plane[top + 1, left + 1] * right
    value: np.ndarray = upper * (1 - down) + lower * down
    return value


def _fade(shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) factors: 0 on the outermost line, and 1 from `_MARGIN` lines inwards."""

    def ramp(length: int) -> np.ndarray:
        margin = min(_MARGIN, length // 2)
        place = np.arange(length)
        distance: np.ndarray = np.minimum(place, length - 1 - place)
        return np.minimum(distance / max(margin, 1), 1.0)

    return np.outer(ramp(shape[0]), ramp(shape[1]))
