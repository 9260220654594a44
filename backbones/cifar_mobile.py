"""MobileNetV2 as the CIFAR distillation literature has it: half as wide, ReLU, a stem of stride 2.

Sandler et al. 2018, table 2, by way of Jin et al. 2019 (route constrained optimisation). It differs from the original:
ReLU for ReLU6, widths cut and not rounded to eights, an expansion convolution in the first block too.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, conv1x1, conv3x3, init_convolutions, init_linear

_STEM = 32
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, width, blocks and stride of each stage, before the width is halved."""
_LAST = 1280
_TAPPED = (1, 2, 4, 6)
"""The last stages of each resolution."""


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise and linear 1x1 convolution; beside the identity where the shape stays.

    Shape: (B, c_in, H, W) to (B, c_out, H / stride, W / stride), rounded up.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * c_in
        self.same_shape = stride == 1 and c_in == c_out
        self.conv = nn.Sequential(
            conv1x1(c_in, inner),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            conv3x3(inner, inner, stride, groups=inner),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            conv1x1(inner, c_out),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        changed: Tensor = self.conv(features_BCHW)
        return features_BCHW + changed if self.same_shape else changed


class HalfMobileNetV2(CifarNetwork):
    """A stem `conv1`, seven stages `blocks.0` to `blocks.6`, and a 1x1 convolution `conv2` to 1,280 channels.

    A stage's output has no ReLU (linear bottlenecks): before and after activation are one. Shapes: `CifarNetwork`.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        c_in = _STEM // 2
        self.conv1 = nn.Sequential(conv3x3(3, c_in, 2), nn.BatchNorm2d(c_in), nn.ReLU())
        self.blocks = nn.Sequential()
        reduction = 2
        stages: list[StageInfo] = []
        for expansion, width, blocks, stride in _STAGES:
            self.blocks.append(_stage(c_in, width // 2, blocks, stride, expansion))
            c_in, reduction = width // 2, reduction * stride
            path = f"blocks.{len(stages)}"
            stages.append(StageInfo(module=path, num_chs=c_in, reduction=reduction, preact=path))
        self.conv2 = nn.Sequential(conv1x1(c_in, _LAST), nn.BatchNorm2d(_LAST), nn.ReLU())
        self._add_pool()
        self.classifier = nn.Sequential(nn.Linear(_LAST, num_classes))
        self.feature_info = tuple(stages[place] for place in _TAPPED)
        init_convolutions(self)
        init_linear(self.get_classifier())

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The output of `conv2`, (B, 1280, H / 16, W / 16)."""
        features: Tensor = self.conv2(self.blocks(self.conv1(images_BCHW)))
        return features

    def get_classifier(self) -> nn.Linear:
        """`classifier.0`."""
        return cast(nn.Linear, self.classifier[0])


def _stage(c_in: int, c_out: int, blocks: int, stride: int, expansion: int) -> nn.Sequential:
    rest = (InvertedResidual(c_out, c_out, 1, expansion) for _ in range(blocks - 1))
    return nn.Sequential(InvertedResidual(c_in, c_out, stride, expansion), *rest)
