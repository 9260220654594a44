"""ResNets of three stages for CIFAR (He et al. 2016, section 4.2), with projections or zero-padding as shortcuts.

The distillation literature puts a 1x1 convolution where the shape changes (option B); the original has no parameters
there (option A). The two differ in size and do not exchange weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, conv1x1, conv3x3, init_convolutions

Widths = tuple[int, int, int, int]
"""Channels of the stem and of the three stages."""

Shortcut = Callable[[int, int, int], nn.Module]
"""From input channels, output channels and stride to what stands beside a block that changes the shape."""


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, and zero channels in equal parts before and after; no parameters.

    Shape: (B, c_in, H, W) to (B, c_out, H / stride, W / stride), rounded up.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (c_out - c_in) // 2
        self.after = c_out - c_in - self.before

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Subsample and pad; see the class for shapes."""
        kept = features_BCHW[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after))


def projection(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Option B: a 1x1 convolution and batch-norm."""
    return nn.Sequential(conv1x1(c_in, c_out, stride), nn.BatchNorm2d(c_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, and a ReLU after their sum.

    Shape: (B, c_in, H, W) to (B, c_out, H / stride, W / stride), rounded up. Tap `preact` for the sum before its ReLU.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        same_shape = stride == 1 and c_in == c_out
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = nn.Identity() if same_shape else shortcut(c_in, c_out, stride)
        self.preact = nn.Identity()

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        inner = torch.relu(self.bn1(self.conv1(features_BCHW)))
        total: Tensor = self.bn2(self.conv2(inner)) + self.downsample(features_BCHW)
        return torch.relu(self.preact(total))


class _ThreeStages(CifarNetwork):
    """A 3x3 stem and `layer1`, `layer2`, `layer3` of (depth - 2) / 6 blocks each; the latter two halve the resolution.

    `layerN` is the last block's output after its ReLU, `layerN.LAST.preact` before it, `relu` the stem's output.
    """

    def __init__(self, depth: int, widths: Widths, shortcut: Shortcut) -> None:
        super().__init__()
        stem, *stages = widths
        blocks = (depth - 2) // 6
        self.conv1 = conv3x3(3, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = _stage(stem, stages[0], blocks, 1, shortcut)
        self.layer2 = _stage(stages[0], stages[1], blocks, 2, shortcut)
        self.layer3 = _stage(stages[1], stages[2], blocks, 2, shortcut)
        self._add_pool()
        self.feature_info = tuple(
            StageInfo(module=f"layer{n}", num_chs=width, reduction=2 ** (n - 1), preact=f"layer{n}.{blocks - 1}.preact")
            for n, width in enumerate(stages, start=1)
        )

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last stage's output, (B, C, H / 4, W / 4)."""
        stem = self.relu(self.bn1(self.conv1(images_BCHW)))
        features: Tensor = self.layer3(self.layer2(self.layer1(stem)))
        return features


class CifarResNet(_ThreeStages):
    """The ResNets of the distillation literature: projections where the shape changes.

    `widths` (16, 16, 32, 64) gives resnet8 to resnet110, (32, 64, 128, 256) the "x4" networks, whose first stage
    widens too. `depth` is 6n + 2. Shapes and taps: `_ThreeStages` and `CifarNetwork`.
    """

    def __init__(self, depth: int, widths: Widths, num_classes: int) -> None:
        super().__init__(depth, widths, projection)
        self.fc = nn.Linear(widths[-1], num_classes)
        init_convolutions(self)

    def get_classifier(self) -> nn.Linear:
        """`fc`."""
        return self.fc


class OptionAResNet(_ThreeStages):
    """The ResNets of He et al. 2016 themselves: zero-padding where the shape changes; widths 16, 16, 32 and 64.

    Names and initial weights, N(0, 2 / fan_in), are those of the published CIFAR-10 weights (Idelbayev,
    pytorch_resnet_cifar10), which expect images normalised with ImageNet's mean and standard deviation.
    """

    def __init__(self, depth: int, num_classes: int) -> None:
        super().__init__(depth, (16, 16, 32, 64), PaddedShortcut)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def get_classifier(self) -> nn.Linear:
        """`linear`."""
        return self.linear


def _stage(c_in: int, c_out: int, blocks: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
    rest = (BasicBlock(c_out, c_out, 1, shortcut) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(c_in, c_out, stride, shortcut), *rest)
