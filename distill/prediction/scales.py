"""Test-time augmentation over sizes, for answers that are maps of the image's own size."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import interpolate

from densedistill.distill.prediction.views import View

FACTORS = (0.5, 1.0, 1.5)


def scales(images: Tensor) -> list[View]:
    """The images (B, C, H, W) at half, full and one and a half times their size; predictions are resized back.

    The multi-scale test of Liu et al., "Richer Convolutional Features for Edge Detection", CVPR 2017, section 3.4, with
    its factors; linear between pixels both ways, and antialiased where an image shrinks.
    """
    height, width = images.shape[-2:]
    views = []
    for factor in FACTORS:
        size = max(round(height * factor), 1), max(round(width * factor), 1)
        views.append(View(images) if factor == 1 else View(_resized(images, size), undo=_back_to((height, width))))
    return views


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)


def _back_to(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    return lambda prediction: _resized(prediction, size)
