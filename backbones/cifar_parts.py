"""What the networks of the CIFAR distillation literature share: their interface, convolutions and initial weights.

That literature is read through two repositories, which agree: RepDistiller (Tian et al. 2020, CRD) and mdistiller
(Zhao et al. 2022, DKD). Submodule names with weights are theirs, so that their checkpoints load. No ReLU here works in
place: it would overwrite the features of a tap.

Shape suffixes: B images, C channels, H and W pixels, K classes.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor, nn


class StageInfo(TypedDict):
    """Where one stage's features are read, in the form of timm's `feature_info`, and where before its activation."""

    module: str
    """Path of the module whose output is the stage's features, (B, num_chs, H / reduction, W / reduction)."""
    num_chs: int
    reduction: int
    """Of the input's height and width, at the size that the network was built for."""
    preact: str
    """Path of the same features before their ReLU (for OFD, AB and ReviewKD); of the same shape."""


class CifarNetwork(nn.Module):
    """A classifier in stages: images (B, 3, H, W) to logits (B, K), for 32-pixel images; larger ones are welcome.

    Taps: the paths in `feature_info`, and `pool` for the pooled features (B, C), which the classifier reads.
    """

    feature_info: tuple[StageInfo, ...]

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """The last feature maps, (B, C, H / reduction, W / reduction)."""
        raise NotImplementedError

    def get_classifier(self) -> nn.Linear:
        """The last layer, from the pooled features to logits."""
        raise NotImplementedError

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Classify; see the class for shapes."""
        logits_BK: Tensor = self.get_classifier()(self.pool(self.forward_features(images_BCHW)))
        return logits_BK

    def _add_pool(self) -> None:
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv3x3(c_in: int, c_out: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias; the resolution is divided by `stride`, rounded up."""
    return nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(c_in: int, c_out: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(c_in, c_out, 1, stride=stride, groups=groups, bias=False)


def init_convolutions(network: nn.Module) -> None:
    """Convolutions as He et al. 2015, eq. 14 (the backward form): N(0, 2 / (k² c_out)), biases zero; in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_linear(layer: nn.Linear) -> None:
    """N(0, 0.01²) and a zero bias, as the VGGs and MobileNetV2 have it; in place."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
