"""Bicubic resizing against hand-computed weights and against the published low-resolution files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.bicubic import (
    Border,
    cubic_kernel,
    imresize,
    imresize_8bit,
    resize_matrix,
    round_8bit,
)
from densedistill.datasets.sr_degradation import Degradation, degrade


def _data_root() -> Path:
    given = os.environ.get("DENSEDISTILL_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (root / "sr").is_dir():
        pytest.skip(f"no super-resolution data below {root}: set DENSEDISTILL_DATA")
    return root


def test_kernel_values() -> None:
    # Keys' a = -0.5 at 0, 1/2, 1, 3/2, 2, worked out by hand.
    np.testing.assert_allclose(
        cubic_kernel(np.array([0.0, 0.5, -0.5, 1.0, 1.5, 2.0, 3.0])),
        [1.0, 0.5625, 0.5625, 0.0, -0.0625, 0.0, 0.0],
    )


def test_halving_weights_by_hand() -> None:
    # At scale 1/2 the taps lie at distances 1/4, 3/4, 5/4, 7/4 of the kernel: 111, 29, -9, -3 (of 256) either side.
    inner = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256.0
    np.testing.assert_allclose(resize_matrix(16, 8)[3], np.concatenate([np.zeros(3), inner, np.zeros(5)]))


@pytest.mark.parametrize(
    ("border", "expected"),
    # The first result pixel of a halving reaches three pixels beyond the edge: weights -3, -9, 29 of 256.
    [("replicate", [-3 - 9 + 29 + 111, 111, 29, -9, -3]), ("symmetric", [29 + 111, 111 - 9, 29 - 3, -9, -3])],
)
def test_border_weights_by_hand(border: Border, expected: list[int]) -> None:
    row = resize_matrix(16, 8, border)[0]
    np.testing.assert_allclose(row[:5] * 256.0, expected, atol=1e-9)
    assert not row[5:].any()


def test_doubling_weights_by_hand() -> None:
    # At scale 2 a result pixel lies 1/4 pixel from its neighbour: distances 5/4, 1/4, 3/4, 7/4.
    np.testing.assert_allclose(resize_matrix(8, 16)[7, 2:6] * 128.0, [-9, 111, 29, -3])


def test_rounds_halves_upwards_and_clamps() -> None:
    assert round_8bit(np.array([-3.0, 0.5, 1.5, 2.49, 254.5, 260.0])).tolist() == [0, 1, 2, 2, 255, 255]


def test_tensor_and_8bit_versions_agree() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    exact = imresize(torch.from_numpy(pixels).permute(2, 0, 1).double(), (8, 9)).permute(1, 2, 0).numpy()
    # The 8-bit version rounds once more on its way: half a grey level, spread by weights whose sizes sum below 1.4.
    assert np.abs(np.clip(exact, 0, 255) - imresize_8bit(pixels, (8, 9))).max() < 1.3


@pytest.mark.parametrize("size", [(7, 5), (40, 60)])
def test_linear_in_flat_images(size: tuple[int, int]) -> None:
    flat = torch.full((2, 3, 20, 30), 0.25)
    torch.testing.assert_close(imresize(flat, size), torch.full((2, 3, *size), 0.25))


def test_gradient_flows_through_the_tensor_version() -> None:
    images = torch.rand(1, 1, 8, 8, requires_grad=True)
    imresize(images, (4, 4)).sum().backward()
    assert images.grad is not None
    assert images.grad.sum().item() == pytest.approx(16.0, abs=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reproduces_set5_exactly(scale: int) -> None:
    folder = _data_root() / "sr" / "Set5"
    paths = sorted((folder / "HR").iterdir())
    assert len(paths) == 5
    for path in paths:
        high = np.asarray(Image.open(path))
        published = np.asarray(Image.open(folder / f"LR_x{scale}" / path.name))
        np.testing.assert_array_equal(degrade(high, scale, Degradation()), published)


def test_reproduces_b100() -> None:
    root = _data_root()
    rows = [line.split("\t") for line in (root / "sr/B100/B100.tsv").read_text().splitlines()[1:11]]
    assert len(rows) == 10
    for name, identity, width, height in rows:
        high = np.asarray(Image.open(root / f"bsds500/images/val/{identity}.jpg"))[: int(height), : int(width)]
        published = np.asarray(Image.open(root / f"sr/B100/LR_x4/{name}.png")).astype(int)
        assert np.abs(degrade(high, 4, Degradation()) - published).max() <= 1


def test_blur_of_a_point_is_a_gaussian() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 31:33] = 255
    low = degrade(pixels, 2, Degradation(blur_sigma=2.0))[16, :, 0].astype(float)
    offsets = np.arange(64)[:, None] - np.arange(31, 33)[None, :]
    line = 255.0 * np.exp(-(offsets**2) / 8.0).sum(axis=1) / np.exp(-(np.arange(-16, 17) ** 2) / 8.0).sum()
    assert np.abs(low - resize_matrix(64, 32) @ line).max() <= 1.0


def test_degradation_crops_top_left() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (22, 19, 3), dtype=np.uint8)
    np.testing.assert_array_equal(degrade(pixels, 4, Degradation()), degrade(pixels[:20, :16], 4, Degradation()))
