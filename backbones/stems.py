"""Stems for small images.

The published networks reduce the image fourfold (ResNet) or twofold (MobileNetV2) before their first block: a 32-pixel
image ends as a single pixel. The small stem keeps the resolution, as He et al. 2016 (section 4.2) did for CIFAR.
"""

from __future__ import annotations

from typing import Literal, cast

from torch import nn

from densedistill.backbones.errors import NetworkError

Stem = Literal["auto", "imagenet", "small", "small-stride2"]
"""`auto`: `small` for inputs of `SMALL_INPUT` pixels or fewer in the families that have it, else `imagenet`.
`small-stride2` halves the resolution once, a quarter of the cost of `small`."""

SMALL_INPUT = 64

StemFamily = Literal["resnet", "mobilenetv2"]


def wanted_stem(name: str, family: StemFamily | None, stem: Stem, input_size: int | None) -> Stem:
    """The stem to build: one of `imagenet`, `small` and `small-stride2`.

    Raises:
        NetworkError: a small stem asked of a family that has none.
    """
    if stem == "auto":
        return "small" if family and input_size is not None and input_size <= SMALL_INPUT else "imagenet"
    if stem != "imagenet" and family is None:
        raise NetworkError(
            f"network '{name}' has no '{stem}' stem: only the ResNet and MobileNetV2 families do; "
            "give stem='imagenet' or leave it out."
        )
    return stem


def make_small_resnet_stem(network: nn.Module, *, stride: int) -> bool:
    """Give a ResNet (`conv1`, `maxpool`) a 3x3 first convolution of `stride` and no max-pool, in place.

    Returns:
        Whether the first convolution is new, that is, random: a deep stem's is 3x3 already and only loses its stride.
    """
    network.maxpool = nn.Identity()
    if isinstance(network.conv1, nn.Sequential):
        cast(nn.Conv2d, network.conv1[0]).stride = (stride, stride)
        return False
    old = cast(nn.Conv2d, network.conv1)
    network.conv1 = nn.Conv2d(old.in_channels, old.out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return True


def make_small_mobilenetv2_stem(first: nn.Conv2d, *, stride: int) -> None:
    """Set the stride of MobileNetV2's 3x3 first convolution, in place; its weights stay."""
    first.stride = (stride, stride)


def stem_stride(stem: Stem) -> int:
    """The first convolution's stride in a small stem."""
    return 2 if stem == "small-stride2" else 1
