"""VGGs with batch-norm for CIFAR (Simonyan and Zisserman 2015, table 1), with one linear layer as the head."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from densedistill.backbones.cifar_parts import CifarNetwork, StageInfo, init_convolutions, init_linear

Depth = Literal[8, 11, 13, 16, 19]

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS: dict[Depth, tuple[int, ...]] = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each of the five blocks; 8 is the distillation literature's own."""
_FOURTH_POOL_FROM = 64


class CifarVGG(CifarNetwork):
    """Five blocks of 3x3 convolutions with batch-norm, max-pools between them, global average pooling.

    `blockN` (0 to 4) ends before its last ReLU, `reluN` after it. Inputs of fewer than 64 pixels are not pooled
    between the last two blocks, as in the distillation literature. Shapes: `CifarNetwork`.
    """

    def __init__(self, depth: Depth, num_classes: int, input_size: int) -> None:
        super().__init__()
        counts, c_in = _CONVOLUTIONS[depth], (3, *_WIDTHS)
        self.block0, self.block1, self.block2, self.block3, self.block4 = (
            _block(c_in[n], _WIDTHS[n], counts[n]) for n in range(5)
        )
        self.relu0, self.relu1, self.relu2, self.relu3, self.relu4 = (nn.ReLU() for _ in range(5))
        self.pool0, self.pool1, self.pool2 = (nn.MaxPool2d(2) for _ in range(3))
        pools_again = input_size >= _FOURTH_POOL_FROM
        self.pool3 = nn.MaxPool2d(2) if pools_again else nn.Identity()
        self._add_pool()
        self.classifier = nn.Linear(_WIDTHS[-1], num_classes)
        reductions = (1, 2, 4, 8, 16 if pools_again else 8)
        self.feature_info = tuple(
            StageInfo(module=f"relu{n}", num_chs=_WIDTHS[n], reduction=reductions[n], preact=f"block{n}")
            for n in range(5)
        )
        init_convolutions(self)
        init_linear(self.classifier)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last block after its ReLU, (B, 512, H / 8, W / 8), or a sixteenth from 64 pixels on."""
        features = self.pool0(self.relu0(self.block0(images_BCHW)))
        features = self.pool1(self.relu1(self.block1(features)))
        features = self.pool2(self.relu2(self.block2(features)))
        features = self.pool3(self.relu3(self.block3(features)))
        last: Tensor = self.relu4(self.block4(features))
        return last

    def get_classifier(self) -> nn.Linear:
        """`classifier`."""
        return self.classifier


def _block(c_in: int, c_out: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place in range(convolutions):
        # The bias is idle before batch-norm; the published networks have it, and count it.
        layers += [nn.Conv2d(c_out if place else c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
