"""The policies' operations against torchvision, tensor by tensor, and against Pillow, which they repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import AutoAugmentPolicy
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from torchvision.transforms.v2 import AutoAugment, RandAugment

from densedistill.datasets.operations import OPERATIONS

LEVELS = 10
POLICY = AutoAugment(AutoAugmentPolicy.CIFAR10)
EXACT = {"Identity", "TranslateX", "TranslateY", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert"}
"""Equal to torchvision's tensor operation in every pixel."""
AS_PILLOW = {"Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Equalize", "Invert"}
"""Equal to the operation on a PIL image in every pixel; the tensor operation rounds the gray otherwise: one level."""


def pictures(height: int = 16, width: int = 21) -> torch.Tensor:
    """Noise, a smooth image, one of few levels, and a constant one."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    coarse = torch.rand(1, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    flat = torch.full_like(noise, 77)
    return torch.stack([noise, (smooth * 180 + 30).to(torch.uint8), noise // 64 * 64, flat])


def magnitudes(name: str, height: int = 16, width: int = 21) -> list[float]:
    """Every magnitude the policy can take, in float32 as torchvision has them."""
    operation = OPERATIONS[name]
    levels = np.unique(operation.levels(LEVELS, height, width)).astype(np.float32).tolist()
    return [sign * level for level in levels for sign in ((1, -1) if operation.signed else (1,))]


def theirs(image: torch.Tensor, name: str, magnitude: float, *, pil: bool = False) -> torch.Tensor:
    given = to_pil_image(image) if pil else image
    found = POLICY._apply_image_or_video_transform(
        given, name, magnitude, interpolation=POLICY.interpolation, fill=POLICY._fill
    )
    return pil_to_tensor(found) if pil else found


def difference(ours: torch.Tensor, other: torch.Tensor) -> int:
    return int((ours.int() - other.int()).abs().max())


@pytest.mark.parametrize("name", sorted(EXACT | AS_PILLOW))
def test_operation_equals_torchvision(name: str) -> None:
    images = pictures()
    for magnitude in magnitudes(name):
        ours = OPERATIONS[name].apply(images, torch.full((len(images),), magnitude))
        assert ours.dtype == torch.uint8
        for image, result in zip(images, ours, strict=True):
            assert difference(result, theirs(image, name, magnitude)) <= (0 if name in EXACT else 1)
            if name in AS_PILLOW:
                assert torch.equal(result, theirs(image, name, magnitude, pil=True)), magnitude


def sources(name: str, magnitude: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel's centre comes from, in float64, by the definition of each operation."""
    y, x = np.mgrid[:height, :width] + 0.5
    if name == "ShearX":
        return x + magnitude * y, y
    if name == "ShearY":
        return x, y + magnitude * x
    turn = math.radians(magnitude)
    across, down = x - width / 2, y - height / 2
    return (
        math.cos(turn) * across - math.sin(turn) * down + width / 2,
        math.sin(turn) * across + math.cos(turn) * down + height / 2,
    )


@pytest.mark.parametrize("name", ["ShearX", "ShearY", "Rotate"])
def test_turned_and_sheared_pixels_are_their_source_and_torchvision_s(name: str) -> None:
    """Where a source lies within 1e-4 of the edge of a pixel, either neighbour is right."""
    images = pictures()
    height, width = images.shape[-2:]
    for magnitude in magnitudes(name):
        ours = OPERATIONS[name].apply(images, torch.full((len(images),), magnitude))
        x, y = sources(name, magnitude, height, width)
        clear = torch.from_numpy((np.abs(x - np.round(x)) > 1e-4) & (np.abs(y - np.round(y)) > 1e-4))
        assert clear.float().mean() > 0.6
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        wanted = images[:, :, row.clip(0, height - 1), column.clip(0, width - 1)] * torch.from_numpy(inside)
        assert torch.equal(ours[..., clear], wanted[..., clear])
        for image, result in zip(images, ours, strict=True):
            assert torch.equal(result[:, clear], theirs(image, name, magnitude)[:, clear])


@pytest.mark.parametrize("bins", [10, 31])
def test_levels_are_torchvision_s(bins: int) -> None:
    spaces = {**RandAugment._AUGMENTATION_SPACE, **AutoAugment._AUGMENTATION_SPACE}
    assert set(spaces) == set(OPERATIONS)
    for name, (levels, signed) in spaces.items():
        wanted = levels(bins, 32, 48)
        assert OPERATIONS[name].signed == signed
        found = OPERATIONS[name].levels(bins, 32, 48)
        np.testing.assert_allclose(found, np.zeros(bins) if wanted is None else wanted.numpy(), atol=2e-6)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_image_has_its_own_magnitude(name: str) -> None:
    """A batch of 27 odd-sized images is the same as each alone: no rounding depends on the place in memory."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (27, 3, 13, 11), generator=generator, dtype=torch.uint8)
    choices = magnitudes(name, 13, 11)
    given = torch.tensor([choices[place % len(choices)] for place in range(27)])
    together = OPERATIONS[name].apply(images, given)
    for place in range(27):
        alone = OPERATIONS[name].apply(images[place : place + 1], given[place : place + 1])
        assert torch.equal(together[place : place + 1], alone)
