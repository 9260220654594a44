"""What super-resolution networks share: their ends, a bicubic skip to start from, and the names of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

Scale = Literal[2, 3, 4]


class ShuffleSteps(nn.Sequential):
    """Enlarge in steps: 3x3 convolution and pixel shuffle, by 2 once or twice, or by 3 once.

    Shape: (B, width, H, W) to (B, width, scale*H, scale*W).
    """

    def __init__(self, width: int, scale: Scale) -> None:
        factors = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
        steps: list[nn.Module] = []
        for factor in factors:
            steps += [nn.Conv2d(width, factor**2 * width, 3, padding=1), nn.PixelShuffle(factor)]
        super().__init__(*steps)


class ShuffleOnce(nn.Sequential):
    """Enlarge in one step to an image: 3x3 convolution and pixel shuffle (Shi et al. 2016).

    Shape: (B, width, H, W) to (B, channels, scale*H, scale*W).
    """

    def __init__(self, width: int, channels: int, scale: Scale) -> None:
        super().__init__(nn.Conv2d(width, scale**2 * channels, 3, padding=1), nn.PixelShuffle(scale))

    def zero(self) -> None:
        """Set the convolution to zero: behind a bicubic skip the network then starts as bicubic interpolation."""
        convolution = cast(nn.Conv2d, self[0])
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(cast(Tensor, convolution.bias))


def bicubic(images_BCHW: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement with half-pixel centres; (B, C, H, W) to (B, C, scale*H, scale*W)."""
    return F.interpolate(images_BCHW, scale_factor=scale, mode="bicubic", align_corners=False)


def body_info(paths: Sequence[str], width: int, *, channels_last: Sequence[str] = ()) -> list[dict[str, str | int]]:
    """`feature_info`, as timm's networks have it: the features along a body at the input's resolution.

    Args:
        paths: modules from shallow to deep, the body's last features last.
        width: channels of each.
        channels_last: those of them that give (B, H, W, C).
    """
    return [
        {"module": path, "num_chs": width, "reduction": 1, "layout": "NHWC" if path in channels_last else "NCHW"}
        for path in paths
    ]
