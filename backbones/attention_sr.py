"""AttentionSRNet: a small convolutional super-resolution student, whose blocks weigh channels and pixels.

Our own design, from published parts: residual blocks without batch-norm (Lim et al. 2017, EDSR), channel attention by
squeeze and excitation (Zhang et al. 2018, RCAN, section 3.3), a gate for each pixel (Zhao et al. 2020, PAN,
section 3.1, here of one channel), pixel shuffle (Shi et al. 2016).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt
from densedistill.backbones.upsampling import Scale, ShuffleOnce, bicubic, body_info

_CHANNEL_REDUCTION = 16
_LEAST_HIDDEN = 4
"""Narrower than this, a squeeze may die altogether behind its ReLU."""
_PIXEL_REDUCTION = 4


class ChannelAttention(nn.Sequential):
    """A weight in (0, 1) for each channel, from the channel means; (B, C, H, W) to (B, C, 1, 1)."""

    def __init__(self, width: int) -> None:
        hidden = max(width // _CHANNEL_REDUCTION, _LEAST_HIDDEN)
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, width, 1),
            nn.Sigmoid(),
        )


class PixelAttention(nn.Sequential):
    """A weight in (0, 1) for each pixel, from its channels; (B, C, H, W) to (B, 1, H, W)."""

    def __init__(self, width: int) -> None:
        hidden = max(width // _PIXEL_REDUCTION, _LEAST_HIDDEN)
        super().__init__(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1), nn.Sigmoid())


class AttentionBlock(nn.Module):
    """Two 3x3 convolutions, weighed by channel and by pixel, beside a skip; (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.channel_attention = ChannelAttention(width)
        self.pixel_attention = PixelAttention(width)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        residual: Tensor = self.body(features_BCHW)
        residual = residual * self.channel_attention(residual)
        gated: Tensor = residual * self.pixel_attention(residual)
        return features_BCHW + gated


class AttentionSRNet(nn.Module):
    """Attention blocks at the input's resolution, pixel shuffle, and the bicubic enlargement as a skip.

    The last convolution starts at zero, so the untrained network is bicubic interpolation.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 3, scale*H, scale*W), not clamped.
    Tap `body_end` for the body's last features, (B, width, H, W); `feature_info` names the blocks before it too.
    """

    def __init__(self, *, scale: Scale, width: int, blocks: int) -> None:
        super().__init__()
        self.scale = scale
        self.feature_info = body_info([*(f"blocks.{place}" for place in range(blocks)), "body_end"], width)
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(AttentionBlock(width) for _ in range(blocks)))
        self.body_end = nn.Conv2d(width, width, 3, padding=1)
        self.upsample = ShuffleOnce(width, 3, scale)
        self.upsample.zero()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Super-resolve; see the class for shapes."""
        shallow = self.conv_first(images_BCHW)
        deep = self.body_end(self.blocks(shallow)) + shallow
        details: Tensor = self.upsample(deep)
        return bicubic(images_BCHW, self.scale) + details


@register_network(
    "attention-sr", summary="AttentionSRNet: 12 attention blocks, pixel shuffle (0.97 M parameters at x4)"
)
def attention_sr(
    *, scale: Scale = 4, width: Annotated[int, Field(ge=4)] = 64, blocks: PositiveInt = 12
) -> AttentionSRNet:
    """An AttentionSRNet of `blocks` blocks of `width` channels."""
    return AttentionSRNet(scale=scale, width=width, blocks=blocks)
