"""IMDN (Hui et al. 2019, "Lightweight Image Super-Resolution with Information Multi-distillation Network").

Module names are the authors', so that their published files load strictly.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt
from densedistill.backbones.upsampling import Scale, ShuffleOnce, body_info

_SLOPE = 0.05
_CHANNEL_REDUCTION = 16
_TINY = 1e-12
"""Keeps the slope of the deviation finite where a channel is constant; far below what float32 tells of a deviation."""


class ContrastAttention(nn.Module):
    """A weight in (0, 1) for each channel, from its mean plus its standard deviation; (B, C, H, W) to the same.

    The authors' contrast-aware channel attention.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // _CHANNEL_REDUCTION, 1)
        self.conv_du = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1), nn.Sigmoid())

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Weigh the channels; see the class for shapes."""
        mean = features_BCHW.mean((2, 3), keepdim=True)
        deviation = ((features_BCHW - mean).square().mean((2, 3), keepdim=True) + _TINY).sqrt()
        weighted: Tensor = features_BCHW * self.conv_du(mean + deviation)
        return weighted


class MultiDistillation(nn.Module):
    """IMDB: three times a quarter of the channels is kept, the rest refined; (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        kept = width // 4
        refined = width - kept
        self.split = (kept, refined)
        self.c1 = nn.Conv2d(width, width, 3, padding=1)
        self.c2 = nn.Conv2d(refined, width, 3, padding=1)
        self.c3 = nn.Conv2d(refined, width, 3, padding=1)
        self.c4 = nn.Conv2d(refined, kept, 3, padding=1)
        self.act = nn.LeakyReLU(_SLOPE)
        self.cca = ContrastAttention(4 * kept)
        self.c5 = nn.Conv2d(4 * kept, width, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        parts, rest = [], features_BCHW
        for convolution in (self.c1, self.c2, self.c3):
            kept, rest = self.act(convolution(rest)).split(self.split, dim=1)
            parts.append(kept)
        fused: Tensor = self.c5(self.cca(torch.cat([*parts, self.c4(rest)], dim=1)))
        return fused + features_BCHW


class IMDN(nn.Module):
    """Six multi-distillation blocks, their outputs fused, and pixel shuffle.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 3, scale*H, scale*W), not clamped.
    Tap `LR_conv` for the body's last features, (B, width, H, W); `feature_info` names the blocks before it too.
    """

    def __init__(self, *, scale: Scale, width: int, blocks: int) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.feature_info = body_info([*(f"IMDB{number}" for number in range(1, blocks + 1)), "LR_conv"], width)
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for number in range(1, blocks + 1):
            self.add_module(f"IMDB{number}", MultiDistillation(width))
        self.c = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = ShuffleOnce(width, 3, scale)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Super-resolve; see the class for shapes."""
        shallow = self.fea_conv(images_BCHW)
        outputs, features = [], shallow
        for number in range(1, self.blocks + 1):
            features = self.get_submodule(f"IMDB{number}")(features)
            outputs.append(features)
        deep = self.LR_conv(self.c(torch.cat(outputs, dim=1))) + shallow
        enlarged: Tensor = self.upsampler(deep)
        return enlarged


@register_network("imdn", summary="IMDN, information multi-distillation network (0.72 M parameters at x4)")
def imdn(*, scale: Scale = 4, width: Annotated[int, Field(ge=4, multiple_of=4)] = 64, blocks: PositiveInt = 6) -> IMDN:
    """The authors' network by default: six blocks of 64 channels."""
    return IMDN(scale=scale, width=width, blocks=blocks)
