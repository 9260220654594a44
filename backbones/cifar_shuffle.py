"""ShuffleNets for 32-pixel images: a 1x1 stem in place of the strided one, and initial weights as PyTorch's.

Zhang et al. 2018 (V1, three groups) and Ma et al. 2018 (V2, width 1x).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, conv1x1, conv3x3

_STEM = 24
_BLOCKS = (4, 8, 4)
_V1_WIDTHS = (240, 480, 960)
_V1_GROUPS = 3
_V2_WIDTHS = (116, 232, 464)
_V2_LAST = 1024


class _ShuffleNet(CifarNetwork):
    """The stem and `layer1`, `layer2`, `layer3`, each of which halves the resolution.

    `layerN` is the last block's output after its ReLU, `layerN.LAST.preact` before it, `relu` the stem's output.
    """

    def __init__(self, stages: tuple[nn.Sequential, nn.Sequential, nn.Sequential], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = conv1x1(3, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU()
        self.layer1, self.layer2, self.layer3 = stages
        self._add_pool()
        self.feature_info = tuple(
            StageInfo(module=f"layer{n}", num_chs=width, reduction=2**n, preact=f"layer{n}.{blocks - 1}.preact")
            for n, (width, blocks) in enumerate(zip(widths, _BLOCKS, strict=True), start=1)
        )

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last stage's output, (B, C, H / 8, W / 8)."""
        stem = self.relu(self.bn1(self.conv1(images_BCHW)))
        features: Tensor = self.layer3(self.layer2(self.layer1(stem)))
        return features


class ShuffleV1Block(nn.Module):
    """Grouped 1x1, channel shuffle, depthwise 3x3 and grouped 1x1 convolutions (Zhang et al. 2018, figure 2).

    Its input is added to the result; with stride 2 it is average-pooled and appended, and the convolutions make the
    rest of `c_out`.

    Shape: (B, c_in, H, W) to (B, c_out, H / stride, W / stride), rounded up. Tap `preact` before the last ReLU.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        made = c_out - c_in if stride == 2 else c_out
        inner = made // 4
        # The stem's few channels are not grouped (section 3.2).
        groups = 1 if c_in == _STEM else _V1_GROUPS
        self.conv1 = conv1x1(c_in, inner, groups=groups)
        self.bn1 = nn.BatchNorm2d(inner)
        self.shuffle1 = nn.ChannelShuffle(groups)
        self.conv2 = conv3x3(inner, inner, stride, groups=inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, made, groups=_V1_GROUPS)
        self.bn3 = nn.BatchNorm2d(made)
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.preact = nn.Identity()

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        inner = self.shuffle1(torch.relu(self.bn1(self.conv1(features_BCHW))))
        # The authors of the distillation literature put a ReLU here; Zhang et al. have none.
        inner = torch.relu(self.bn2(self.conv2(inner)))
        made: Tensor = self.bn3(self.conv3(inner))
        if self.shortcut is None:
            return torch.relu(self.preact(made + features_BCHW))
        return torch.relu(self.preact(torch.cat([made, self.shortcut(features_BCHW)], dim=1)))


class ShuffleNetV1(_ShuffleNet):
    """ShuffleNet, three groups: stages 240, 480 and 960 wide; shapes and taps: `_ShuffleNet`, `CifarNetwork`."""

    def __init__(self, num_classes: int) -> None:
        c_ins = (_STEM, *_V1_WIDTHS)
        first, second, third = (_v1_stage(c_ins[n], _V1_WIDTHS[n], _BLOCKS[n]) for n in range(3))
        super().__init__((first, second, third), _V1_WIDTHS)
        self.linear = nn.Linear(_V1_WIDTHS[-1], num_classes)

    def get_classifier(self) -> nn.Linear:
        """`linear`."""
        return self.linear


class ShuffleV2Block(nn.Module):
    """Half of the channels pass, the other half goes through three convolutions (Ma et al. 2018, figure 3c).

    Shape: (B, C, H, W) to the same. Tap `preact` for both halves before the ReLU and the shuffle.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = conv1x1(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv3x3(half, half, groups=half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(half, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.preact = nn.Identity()
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        passing, changing = features_BCHW.chunk(2, dim=1)
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(changing)))))
        # The passing half comes from a ReLU: one ReLU over both halves leaves it as it is.
        both = self.preact(torch.cat([passing, self.bn3(self.conv3(inner))], dim=1))
        shuffled: Tensor = self.shuffle(torch.relu(both))
        return shuffled


class ShuffleV2Downsampling(nn.Module):
    """Two strided branches side by side (Ma et al. 2018, figure 3d).

    Shape: (B, c_in, H, W) to (B, c_out, H / 2, W / 2), rounded up.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        half = c_out // 2
        self.conv1 = conv3x3(c_in, c_in, 2, groups=c_in)
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv2 = conv1x1(c_in, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(c_in, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv3x3(half, half, 2, groups=half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv1x1(half, half)
        self.bn5 = nn.BatchNorm2d(half)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Transform; see the class for shapes."""
        short = self.bn2(self.conv2(self.bn1(self.conv1(features_BCHW))))
        inner = self.bn4(self.conv4(torch.relu(self.bn3(self.conv3(features_BCHW)))))
        both = torch.relu(torch.cat([short, self.bn5(self.conv5(inner))], dim=1))
        shuffled: Tensor = self.shuffle(both)
        return shuffled


class ShuffleNetV2(_ShuffleNet):
    """ShuffleNetV2 1x: stages 116, 232 and 464 wide and a 1x1 convolution to 1,024 channels.

    Shapes and taps: `_ShuffleNet`, `CifarNetwork`; `layerN` is after the shuffle too, its `preact` before it.
    """

    def __init__(self, num_classes: int) -> None:
        c_ins = (_STEM, *_V2_WIDTHS)
        first, second, third = (_v2_stage(c_ins[n], _V2_WIDTHS[n], _BLOCKS[n]) for n in range(3))
        super().__init__((first, second, third), _V2_WIDTHS)
        self.conv2 = conv1x1(_V2_WIDTHS[-1], _V2_LAST)
        self.bn2 = nn.BatchNorm2d(_V2_LAST)
        self.linear = nn.Linear(_V2_LAST, num_classes)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last 1x1 convolution after its ReLU, (B, 1024, H / 8, W / 8)."""
        return torch.relu(self.bn2(self.conv2(super().forward_features(images_BCHW))))

    def get_classifier(self) -> nn.Linear:
        """`linear`."""
        return self.linear


def _v1_stage(c_in: int, c_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(ShuffleV1Block(c_in, c_out, 2), *(ShuffleV1Block(c_out, c_out, 1) for _ in range(blocks - 1)))


def _v2_stage(c_in: int, c_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(ShuffleV2Downsampling(c_in, c_out), *(ShuffleV2Block(c_out) for _ in range(blocks - 1)))
