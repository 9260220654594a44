"""PAN (Zhao et al. 2020, "Efficient Image Super-Resolution Using Pixel Attention").

Module names are the authors', so that their published files load strictly.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt
from densedistill.backbones.upsampling import Scale, body_info

_SLOPE = 0.2


class PixelGate(nn.Module):
    """Pixel attention: a weight in (0, 1) for each channel of each pixel; (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Weigh; see the class for shapes."""
        weighted: Tensor = features_BCHW * self.conv(features_BCHW).sigmoid()
        return weighted


class GatedConvolution(nn.Module):
    """Two 3x3 convolutions with a pixel gate between them, of the input; (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k2 = nn.Conv2d(width, width, 1)
        self.k3 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.k4 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        transformed: Tensor = self.k4(self.k3(features_BCHW) * self.k2(features_BCHW).sigmoid())
        return transformed


class SelfCalibrated(nn.Module):
    """SC-PA block: a plain and a gated half, joined, beside a skip; (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1_a = nn.Conv2d(width, half, 1, bias=False)
        self.conv1_b = nn.Conv2d(width, half, 1, bias=False)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, 3, padding=1, bias=False))
        self.PAConv = GatedConvolution(half)
        self.conv3 = nn.Conv2d(2 * half, width, 1, bias=False)
        self.act = nn.LeakyReLU(_SLOPE)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        plain = self.act(self.k1(self.act(self.conv1_a(features_BCHW))))
        gated = self.act(self.PAConv(self.act(self.conv1_b(features_BCHW))))
        joined: Tensor = self.conv3(torch.cat([plain, gated], dim=1))
        return joined + features_BCHW


class PAN(nn.Module):
    """Self-calibrated blocks, enlargement by nearest neighbours with gated convolutions, and a bilinear skip.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 3, scale*H, scale*W), not clamped.
    Tap `trunk_conv` for the body's last features, (B, width, H, W); `feature_info` names the blocks before it too.
    """

    def __init__(self, *, scale: Scale, width: int, upsampling_width: int, blocks: int) -> None:
        super().__init__()
        self.scale = scale
        self.feature_info = body_info([*(f"SCPA_trunk.{place}" for place in range(blocks)), "trunk_conv"], width)
        self.factors = (2, 2) if scale == 4 else (scale,)
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.SCPA_trunk = nn.Sequential(*(SelfCalibrated(width) for _ in range(blocks)))
        self.trunk_conv = nn.Conv2d(width, width, 3, padding=1)
        for step in range(1, len(self.factors) + 1):
            given = width if step == 1 else upsampling_width
            self.add_module(f"upconv{step}", nn.Conv2d(given, upsampling_width, 3, padding=1))
            self.add_module(f"att{step}", PixelGate(upsampling_width))
            self.add_module(f"HRconv{step}", nn.Conv2d(upsampling_width, upsampling_width, 3, padding=1))
        self.conv_last = nn.Conv2d(upsampling_width, 3, 3, padding=1)
        self.act = nn.LeakyReLU(_SLOPE)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Super-resolve; see the class for shapes."""
        shallow = self.conv_first(images_BCHW)
        features = shallow + self.trunk_conv(self.SCPA_trunk(shallow))
        for step, factor in enumerate(self.factors, start=1):
            enlarged = F.interpolate(features, scale_factor=factor, mode="nearest")
            gated = self.act(self.get_submodule(f"att{step}")(self.get_submodule(f"upconv{step}")(enlarged)))
            features = self.act(self.get_submodule(f"HRconv{step}")(gated))
        details: Tensor = self.conv_last(features)
        skip = F.interpolate(images_BCHW, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return details + skip


@register_network("pan", summary="PAN, pixel attention network (0.27 M parameters at x4)")
def pan(
    *,
    scale: Scale = 4,
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 40,
    upsampling_width: PositiveInt = 24,
    blocks: PositiveInt = 16,
) -> PAN:
    """The authors' network by default: 16 blocks of 40 channels, 24 channels at the output's resolution."""
    return PAN(scale=scale, width=width, upsampling_width=upsampling_width, blocks=blocks)
