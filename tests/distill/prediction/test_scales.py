"""Views of an image at several sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from densedistill.distill.prediction.scales import FACTORS, scales
from densedistill.distill.prediction.views import averaged


def through(images: Tensor) -> Tensor:
    """The mean over sizes of what a network that repeats its input says."""
    return averaged(lambda image: image, images, scales, lambda run, image: run(image), lambda raw: raw)


def test_sizes_are_the_published_ones_and_predictions_come_back_in_the_image_s() -> None:
    images = torch.rand(2, 3, 21, 34)
    views = scales(images)
    assert [tuple(view.images.shape[-2:]) for view in views] == [(10, 17), (21, 34), (32, 51)]
    assert len(views) == len(FACTORS)
    for view in views:
        assert view.undo(view.images[:, :1]).shape == (2, 1, 21, 34)
    assert views[1].images is images


def test_what_every_size_shows_alike_is_kept() -> None:
    flat = torch.full((1, 1, 15, 22), 0.3)
    torch.testing.assert_close(through(flat), flat)
    ramp = torch.arange(64.0).expand(1, 1, 8, 64) / 64
    torch.testing.assert_close(through(ramp)[..., 4:-4], ramp[..., 4:-4], atol=1e-3, rtol=0)


def test_the_mean_is_over_predictions() -> None:
    images = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    parts = [view.undo(view.images) for view in scales(images)]
    torch.testing.assert_close(through(images), torch.stack(parts).mean(dim=0))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_tiny_images_keep_a_pixel(side: int) -> None:
    assert through(torch.rand(1, 1, side, side)).shape == (1, 1, side, side)
