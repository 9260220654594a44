"""`cifar/NAME`: the networks that the distillation literature compares on CIFAR-100, for `create` and the lists.

Each takes `num_classes` and `input_size`, the side of the images in pixels. The VGGs alone are built by the size (see
`CifarVGG`); the others read images of any size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from densedistill.backbones.cifar_mobile import HalfMobileNetV2
from densedistill.backbones.cifar_resnet import CifarResNet, OptionAResNet, Widths
from densedistill.backbones.cifar_resnet50 import CifarResNet50
from densedistill.backbones.cifar_shuffle import ShuffleNetV1, ShuffleNetV2
from densedistill.backbones.cifar_vgg import CifarVGG, Depth
from densedistill.backbones.cifar_wide_resnet import WideResNet
from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt

Maker = Callable[[int, int], nn.Module]
"""From the number of classes and the side of the input in pixels to a network with random weights."""

_NARROW: Widths = (16, 16, 32, 64)
_WIDE: Widths = (32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class _Entry:
    what: str
    millions: str
    """Parameters at 100 classes."""
    make: Maker


def _resnet(depth: int, widths: Widths, millions: str) -> _Entry:
    what = "ResNet with projections where it widens, as CRD and DKD have it"
    return _Entry(what, millions, lambda classes, _: CifarResNet(depth, widths, classes))


def _option_a(depth: int, millions: str) -> _Entry:
    what = "ResNet with zero-padding where it widens, He et al. 2016"
    return _Entry(what, millions, lambda classes, _: OptionAResNet(depth, classes))


def _wide_resnet(depth: int, widening: int, millions: str) -> _Entry:
    what = "wide residual network, Zagoruyko and Komodakis 2016"
    return _Entry(what, millions, lambda classes, _: WideResNet(depth, widening, classes))


def _vgg(depth: Depth, millions: str) -> _Entry:
    what = "VGG with batch-norm and one linear layer, as CRD and DKD have it"
    return _Entry(what, millions, lambda classes, input_size: CifarVGG(depth, classes, input_size))


_NETWORKS = {
    "resnet8": _resnet(8, _NARROW, "0.08"),
    "resnet14": _resnet(14, _NARROW, "0.18"),
    "resnet20": _resnet(20, _NARROW, "0.28"),
    "resnet32": _resnet(32, _NARROW, "0.47"),
    "resnet44": _resnet(44, _NARROW, "0.67"),
    "resnet56": _resnet(56, _NARROW, "0.86"),
    "resnet110": _resnet(110, _NARROW, "1.74"),
    "resnet8x4": _resnet(8, _WIDE, "1.23"),
    "resnet32x4": _resnet(32, _WIDE, "7.43"),
    "resnet20-a": _option_a(20, "0.28"),
    "resnet32-a": _option_a(32, "0.47"),
    "resnet44-a": _option_a(44, "0.66"),
    "resnet56-a": _option_a(56, "0.86"),
    "resnet110-a": _option_a(110, "1.73"),
    "resnet50": _Entry("ResNet-50 with a 3x3 stem and no max-pool", "23.71", lambda classes, _: CifarResNet50(classes)),
    "wrn-16-1": _wide_resnet(16, 1, "0.18"),
    "wrn-16-2": _wide_resnet(16, 2, "0.70"),
    "wrn-40-1": _wide_resnet(40, 1, "0.57"),
    "wrn-40-2": _wide_resnet(40, 2, "2.26"),
    "vgg8": _vgg(8, "3.97"),
    "vgg11": _vgg(11, "9.28"),
    "vgg13": _vgg(13, "9.46"),
    "vgg16": _vgg(16, "14.77"),
    "vgg19": _vgg(19, "20.09"),
    "mobilenetv2": _Entry("MobileNetV2 of half width, ReLU", "0.81", lambda classes, _: HalfMobileNetV2(classes)),
    "shufflenetv1": _Entry("ShuffleNet of three groups, 1x1 stem", "0.95", lambda classes, _: ShuffleNetV1(classes)),
    "shufflenetv2": _Entry("ShuffleNetV2 1x, 1x1 stem", "1.36", lambda classes, _: ShuffleNetV2(classes)),
}


def _register(name: str, entry: _Entry) -> None:
    @register_network(f"cifar/{name}", summary=f"{entry.what} ({entry.millions} M parameters at 100 classes)")
    def build(*, num_classes: PositiveInt = 100, input_size: PositiveInt = 32) -> nn.Module:
        return entry.make(num_classes, input_size)


for _name, _entry in _NETWORKS.items():
    _register(_name, _entry)
