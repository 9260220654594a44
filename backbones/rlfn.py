"""RLFN (Kong et al. 2022, "Residual Local Feature Network for Efficient Super-Resolution").

The smaller network that the authors entered in the NTIRE 2022 challenge on efficient super-resolution (four blocks of
46 channels), with its module names, so that the file published there loads strictly. Those weights work on levels of
0 to 255; the network here takes and gives [0, 1] like every other and converts inside.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError
from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt
from densedistill.backbones.upsampling import Scale, ShuffleOnce, body_info

_SLOPE = 0.05
_LEVELS = 255.0
_SMALLEST_SIDE = 15
"""What the attention's stride and its pooling window of 7 take."""


class SpatialAttention(nn.Module):
    """Enhanced spatial attention (Liu et al. 2020, RFANet), thinned as its authors here have it.

    A weight in (0, 1) for each channel of each pixel, from features at a sixth of the resolution; (B, C, H, W) to the
    same.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, 1)
        self.conv_f = nn.Conv2d(hidden, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=2)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv4 = nn.Conv2d(hidden, width, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Weigh; see the class for shapes."""
        narrow = self.conv1(features_BCHW)
        pooled = F.max_pool2d(self.conv2(narrow), kernel_size=7, stride=3)
        around = F.interpolate(self.conv3(pooled), size=narrow.shape[2:], mode="bilinear", align_corners=False)
        weighted: Tensor = features_BCHW * self.conv4(around + self.conv_f(narrow)).sigmoid()
        return weighted


class ResidualLocalFeatures(nn.Module):
    """RLFB: three convolutions beside a skip, then spatial attention; (B, C, H, W) to the same."""

    def __init__(self, width: int, hidden: int, attention: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(width, hidden, 3, padding=1)
        self.c2_r = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.c3_r = nn.Conv2d(hidden, width, 3, padding=1)
        self.c5 = nn.Conv2d(width, width, 1)
        self.esa = SpatialAttention(width, attention)
        self.act = nn.LeakyReLU(_SLOPE)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        refined = self.act(self.c3_r(self.act(self.c2_r(self.act(self.c1_r(features_BCHW))))))
        weighted: Tensor = self.esa(self.c5(refined + features_BCHW))
        return weighted


class RLFN(nn.Module):
    """Residual local feature blocks and pixel shuffle.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 3, scale*H, scale*W), not clamped; H and W of 15 pixels or more.
    Tap `LR_conv` for the body's last features, (B, width, H, W); `feature_info` names the blocks before it too.
    """

    def __init__(self, *, scale: Scale, width: int, hidden: int, attention: int, blocks: int) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.feature_info = body_info([*(f"B{number}" for number in range(1, blocks + 1)), "LR_conv"], width)
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for number in range(1, blocks + 1):
            self.add_module(f"B{number}", ResidualLocalFeatures(width, hidden, attention))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = ShuffleOnce(width, 3, scale)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Super-resolve; see the class for shapes.

        Raises:
            NetworkError: a side of fewer than 15 pixels.
        """
        height, width = images_BCHW.shape[-2:]
        if min(height, width) < _SMALLEST_SIDE:
            raise NetworkError(
                f"an image of {width}x{height} pixels is too small for rlfn: give at least "
                f"{_SMALLEST_SIDE}x{_SMALLEST_SIDE}."
            )
        shallow = self.fea_conv(images_BCHW * _LEVELS)
        features = shallow
        for number in range(1, self.blocks + 1):
            features = self.get_submodule(f"B{number}")(features)
        enlarged: Tensor = self.upsampler(self.LR_conv(features) + shallow)
        return enlarged / _LEVELS


@register_network("rlfn", summary="RLFN, residual local feature network of NTIRE 2022 (0.32 M parameters at x4)")
def rlfn(
    *,
    scale: Scale = 4,
    width: PositiveInt = 46,
    hidden: PositiveInt = 48,
    attention: PositiveInt = 16,
    blocks: PositiveInt = 4,
) -> RLFN:
    """The authors' challenge network by default: four blocks of 46 channels, 48 within, 16 for their attention."""
    return RLFN(scale=scale, width=width, hidden=hidden, attention=attention, blocks=blocks)
