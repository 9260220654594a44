"""Non-maximum suppression: crests stay, and each step is the published one written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from densedistill.distill.boundaries import suppress


def ridge(angle: float, side: int = 61, width: float = 3.0) -> np.ndarray:
    """A straight boundary through the middle, its normal at `angle` from the x axis."""
    rows, columns = np.indices((side, side)) - side // 2
    distance = columns * math.cos(angle) + rows * math.sin(angle)
    return np.exp(-np.square(distance / width))


@pytest.mark.parametrize("degrees", [0, 30, 45, 88, 120, 165])
def test_of_a_ridge_its_crest_is_kept(degrees: int) -> None:
    angle = math.radians(degrees)
    kept = suppress(ridge(angle))
    rows, columns = np.nonzero(kept[8:-8, 8:-8] > 0.05)
    distance = (columns - 22) * math.cos(angle) + (rows - 22) * math.sin(angle)
    assert np.abs(distance).max() < 1.0
    assert 40 <= len(rows) <= 120


def test_values_that_stay_are_those_of_the_smoothed_map() -> None:
    kept = suppress(ridge(0.0))
    # (1, 2, 1) / 4 over the crest, where the map is 1 and exp(-1/9) beside it.
    assert kept[30, 30] == pytest.approx(0.5 + 0.5 * math.exp(-1 / 9))
    assert kept[30, 28] == 0.0


def test_the_border_fades() -> None:
    flat = suppress(np.full((40, 50), 0.8))
    np.testing.assert_allclose(flat[20, :8], 0.8 * np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1]))
    np.testing.assert_allclose(flat[-6:, 25], 0.8 * np.array([1, 0.8, 0.6, 0.4, 0.2, 0]))
    assert flat[1, 1] == pytest.approx(0.8 * 0.04)


def triangle(plane: np.ndarray, radius: int) -> np.ndarray:
    weights = np.array([radius + 1 - abs(step) for step in range(-radius, radius + 1)]) / (radius + 1) ** 2
    padded = np.pad(plane, radius, mode="symmetric")
    height, width = plane.shape
    return sum(
        (
            down * right * padded[y : y + height, x : x + width]
            for y, down in enumerate(weights)
            for x, right in enumerate(weights)
        ),
        np.zeros_like(plane),
    )


def test_the_published_steps_written_as_loops() -> None:
    plane = np.random.default_rng(3).random((24, 31))
    strength = triangle(plane, 1)
    down, right = np.gradient(triangle(strength, 4))
    curve = np.gradient(right, axis=1)
    mixed, steep = np.gradient(down, axis=1), np.gradient(down, axis=0)
    expected = strength.copy()
    for y in range(24):
        for x in range(31):
            angle = math.atan(steep[y, x] * np.sign(-mixed[y, x]) / (curve[y, x] + 1e-5)) % math.pi
            for step in (-1, 1):
                there_x = min(max(x + step * math.cos(angle), 0), 31 - 1.001)
                there_y = min(max(y + step * math.sin(angle), 0), 24 - 1.001)
                left, top = int(there_x), int(there_y)
                a, b = there_x - left, there_y - top
                near = strength[top : top + 2, left : left + 2]
                other = (near * np.outer([1 - b, b], [1 - a, a])).sum()
                if 1.01 * strength[y, x] < other:
                    expected[y, x] = 0
            expected[y, x] *= min(x / 5, (30 - x) / 5, 1) * min(y / 5, (23 - y) / 5, 1)
    np.testing.assert_allclose(suppress(plane), expected, atol=1e-12)
