"""Batched augmentation against one image at a time: slicing, torchvision's functions and colorsys."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torchvision.transforms.v2 import functional as tv

from densedistill.datasets.augment import (
    ClassificationAugmentation,
    ColorJitter,
    augment,
    jitter_colors,
    random_crop,
    shift_hue,
)
from densedistill.datasets.base import BatchPlan
from densedistill.datasets.views import uniform

SIZE = 9
ALL_ON = ClassificationAugmentation(crop_padding=2, flip=True, color_jitter=ColorJitter(hue=0.2))


def noise(count: int, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def plan_of(images: list[int], view: int = 0) -> BatchPlan:
    return BatchPlan(np.array(images), np.full(len(images), view))


def test_random_crop_is_a_slice_of_the_padded_image() -> None:
    images = noise(4)
    draws = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.99, 0.2], [1.0, 1.0]])
    cropped = random_crop(images, draws, padding=2)
    # Five places per axis: 0.5 is the middle one, 0.99 and 1 the last, 0.2 the second.
    for place, (top, left) in enumerate([(0, 0), (2, 2), (4, 1), (4, 4)]):
        padded = np.pad(images[place].numpy(), ((0, 0), (2, 2), (2, 2)))
        expected = padded[:, top : top + SIZE, left : left + SIZE]
        np.testing.assert_array_equal(cropped[place].numpy(), expected)


def test_flip_mirrors_the_views_whose_draw_is_below_half() -> None:
    images = noise(64)
    plan = plan_of(list(range(64)), view=3)
    result = augment(images, plan, ClassificationAugmentation(crop_padding=0), seed=5)
    mirrored = uniform(5, plan.images, plan.views, "flip")[:, 0] < 0.5
    assert 10 < mirrored.sum() < 54
    for place in range(64):
        expected = images[place].flip(-1) if mirrored[place] else images[place]
        torch.testing.assert_close(result[place], expected / 255)


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("strength", ["brightness", "contrast", "saturation", "hue"])
def test_each_jitter_equals_torchvision(strength: str, draw: float) -> None:
    images = noise(3) / 255
    only = ColorJitter(**{"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, strength: 0.4})
    result = jitter_colors(images, torch.full((3, 4), draw), only)
    shift = 0.4 * (2 * draw - 1)
    adjust = getattr(tv, f"adjust_{strength}")
    expected = adjust(images, shift if strength == "hue" else 1 + shift)
    # Torchvision's gray weights have four decimals, ours three: up to 1e-3 of the sum.
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


def test_strengths_are_per_image() -> None:
    image = (noise(1) / 255).clamp(0.2, 0.8)
    pair = image.repeat(2, 1, 1, 1)
    draws = torch.tensor([[0.0, 0.5, 0.5, 0.5], [1.0, 0.5, 0.5, 0.5]])
    result = jitter_colors(pair, draws, ColorJitter(brightness=0.25, contrast=0, saturation=0))
    torch.testing.assert_close(result[:1], image * 0.75)
    torch.testing.assert_close(result[1:], (image * 1.25).clamp(0, 1))


def test_hue_equals_colorsys() -> None:
    images = noise(2, size=4) / 255
    images[0, :, 0, 0] = 0.5  # gray has no hue
    shifted = shift_hue(images, torch.tensor([0.3, -0.45]).view(2, 1, 1, 1))
    for place, turns in enumerate([0.3, -0.45]):
        for row in range(4):
            for column in range(4):
                hue, saturation, value = colorsys.rgb_to_hsv(*images[place, :, row, column].tolist())
                expected = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
                torch.testing.assert_close(shifted[place, :, row, column], torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [SIZE, 190])
def test_a_view_does_not_depend_on_its_batch(size: int) -> None:
    images = noise(7, size=size)
    together = augment(images, plan_of(list(range(7)), view=4), ALL_ON, seed=1)
    for place in (0, 3, 6):
        alone = augment(images[place : place + 1], plan_of([place], view=4), ALL_ON, seed=1)
        assert torch.equal(together[place], alone[0])
    turned = augment(images.flip(0), plan_of(list(range(6, -1, -1)), view=4), ALL_ON, seed=1)
    assert torch.equal(together, turned.flip(0))


def test_views_seeds_and_images_differ() -> None:
    same = noise(1).repeat(2, 1, 1, 1)
    base = augment(same, plan_of([0, 1]), ALL_ON, seed=0)
    assert not torch.equal(base[0], base[1])
    assert not torch.equal(base, augment(same, plan_of([0, 1], view=1), ALL_ON, seed=0))
    assert not torch.equal(base, augment(same, plan_of([0, 1]), ALL_ON, seed=1))


def test_nothing_asked_for_leaves_the_pixels() -> None:
    images = noise(3)
    plain = ClassificationAugmentation(crop_padding=0, flip=False)
    assert torch.equal(augment(images, plan_of([0, 1, 2]), plain, seed=0), images.float() / 255)


def test_result_is_in_range() -> None:
    strong = ClassificationAugmentation(color_jitter=ColorJitter(brightness=1, contrast=1, saturation=1, hue=0.5))
    result = augment(noise(32), plan_of(list(range(32))), strong, seed=0)
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("bad", [{"crop_padding": -1}, {"mix_probability": 1.1}, {"cutout": True}])
def test_impossible_options_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ClassificationAugmentation.model_validate(bad)
