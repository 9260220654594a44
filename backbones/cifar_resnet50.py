"""ResNet-50 for 32-pixel images: the distillation literature's large teacher.

He et al. 2016, table 1, with a 3x3 stem of stride 1 and no max-pool; the stride is in the 3x3 convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, conv1x1, conv3x3, init_convolutions

_EXPANSION = 4
_STEM = 64
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Inner width, blocks and stride of each stage."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, and a ReLU after their sum.

    Shape: (B, c_in, H, W) to (B, 4 * width, H / stride, W / stride), rounded up. Tap `preact` for the sum before its
    ReLU.
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = _EXPANSION * width
        self.conv1 = conv1x1(c_in, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, c_out)
        self.bn3 = nn.BatchNorm2d(c_out)
        # An empty Sequential is the identity, and keeps one type whether or not the shape changes.
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(conv1x1(c_in, c_out, stride), nn.BatchNorm2d(c_out))
        self.preact = nn.Identity()

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        inner = torch.relu(self.bn1(self.conv1(features_BCHW)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        total: Tensor = self.bn3(self.conv3(inner)) + self.shortcut(features_BCHW)
        return torch.relu(self.preact(total))


class CifarResNet50(CifarNetwork):
    """Four stages of bottlenecks at 1, 1/2, 1/4 and 1/8 of the resolution; shapes and taps: `CifarNetwork`.

    `layerN` is the last block's output after its ReLU, `layerN.LAST.preact` before it, `relu` the stem's output.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU()
        self.layer1 = _stage(_STEM, *_STAGES[0])
        self.layer2 = _stage(_EXPANSION * _STAGES[0][0], *_STAGES[1])
        self.layer3 = _stage(_EXPANSION * _STAGES[1][0], *_STAGES[2])
        self.layer4 = _stage(_EXPANSION * _STAGES[2][0], *_STAGES[3])
        self._add_pool()
        self.linear = nn.Linear(_EXPANSION * _STAGES[3][0], num_classes)
        self.feature_info = tuple(
            StageInfo(
                module=f"layer{n}",
                num_chs=_EXPANSION * width,
                reduction=2 ** (n - 1),
                preact=f"layer{n}.{blocks - 1}.preact",
            )
            for n, (width, blocks, _) in enumerate(_STAGES, start=1)
        )
        init_convolutions(self)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last stage's output, (B, 2048, H / 8, W / 8)."""
        stem = self.relu(self.bn1(self.conv1(images_BCHW)))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(stem))))
        return features

    def get_classifier(self) -> nn.Linear:
        """`linear`."""
        return self.linear


def _stage(c_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(_EXPANSION * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(c_in, width, stride), *rest)
