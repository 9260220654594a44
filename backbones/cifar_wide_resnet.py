"""Wide residual networks WRN-d-k for CIFAR (Zagoruyko and Komodakis 2016, table 1), without dropout."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, conv1x1, conv3x3, init_convolutions

_STEM = 16


class PreActivationBlock(nn.Module):
    """Batch-norm, ReLU and a 3x3 convolution, twice, beside a shortcut; nothing after the sum.

    Where the width changes, the shortcut is a 1x1 convolution of the first ReLU's output; elsewhere it is the input.

    Shape: (B, c_in, H, W) to (B, c_out, H / stride, W / stride), rounded up.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.convShortcut = None if c_in == c_out else conv1x1(c_in, c_out, stride)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        active = torch.relu(self.bn1(features_BCHW))
        shortcut = features_BCHW if self.convShortcut is None else self.convShortcut(active)
        inner = torch.relu(self.bn2(self.conv1(active)))
        total: Tensor = self.conv2(inner) + shortcut
        return total


class WideResNet(CifarNetwork):
    """A 3x3 stem and `block1`, `block2`, `block3` of (depth - 4) / 6 blocks, 16k, 32k and 64k wide.

    `blockN` is the sum of its last block, which no ReLU has seen. What the literature calls the pre-activation features
    is that sum after the next batch-norm: `block2.layer.0.bn1`, `block3.layer.0.bn1`, `bn1`. `depth` is 6n + 4.
    Shapes: `CifarNetwork`; the later two stages halve the resolution.
    """

    def __init__(self, depth: int, widening: int, num_classes: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        widths = [16 * widening, 32 * widening, 64 * widening]
        self.conv1 = conv3x3(3, _STEM)
        self.block1 = _stage(_STEM, widths[0], blocks, 1)
        self.block2 = _stage(widths[0], widths[1], blocks, 2)
        self.block3 = _stage(widths[1], widths[2], blocks, 2)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self._add_pool()
        self.fc = nn.Linear(widths[2], num_classes)
        preacts = ("block2.layer.0.bn1", "block3.layer.0.bn1", "bn1")
        self.feature_info = tuple(
            StageInfo(module=f"block{n}", num_chs=width, reduction=2 ** (n - 1), preact=preact)
            for n, (width, preact) in enumerate(zip(widths, preacts, strict=True), start=1)
        )
        init_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last stage after batch-norm and ReLU, (B, 64k, H / 4, W / 4)."""
        total = self.block3(self.block2(self.block1(self.conv1(images_BCHW))))
        return torch.relu(self.bn1(total))

    def get_classifier(self) -> nn.Linear:
        """`fc`."""
        return self.fc


def _stage(c_in: int, c_out: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (PreActivationBlock(c_out, c_out, 1) for _ in range(blocks - 1))
    return nn.Sequential(OrderedDict(layer=nn.Sequential(PreActivationBlock(c_in, c_out, stride), *rest)))
