"""PiDiNet (Su et al. 2021, "Pixel Difference Networks for Efficient Edge Detection"): small edge detectors.

Module names are the authors', so that the files they publish (`table5_pidinet.pth`, `table5_pidinet-small.pth`,
`table5_pidinet-tiny.pth`; configuration "carv4" with dilation and attention modules) load strictly. Those weights were
trained on BSDS500 and are licensed for research use only: commercial use needs the authors' consent. This package ships
none of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError
from densedistill.backbones.pixel_difference import Difference, PixelDifference
from densedistill.backbones.registry import register_network

_KINDS: tuple[Difference, ...] = ("central", "angular", "radial", "plain")
"""Of the convolutions in their order, over and over ("carv4")."""
_DILATIONS = (5, 7, 9, 11)
_ATTENTION_WIDTH = 4
_SMALLEST_SIDE = 8
"""Three poolings halve the image."""


class _Block(nn.Module):
    """A depthwise difference and a pointwise convolution beside a skip, after a pooling where `halves` says so."""

    def __init__(self, inputs: int, outputs: int, difference: Difference, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        if halves:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.conv1 = PixelDifference(inputs, inputs, difference, groups=inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        if self.halves:
            features_BCHW = F.max_pool2d(features_BCHW, 2)
        changed: Tensor = self.conv2(F.relu(self.conv1(features_BCHW)))
        return changed + (self.shortcut(features_BCHW) if self.halves else features_BCHW)


class _Dilations(nn.Module):
    """The compact dilation module (CDCM): 3x3 convolutions of four dilations, added up."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1)
        for place, dilation in enumerate(_DILATIONS, start=1):
            convolution = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
            self.add_module(f"conv2_{place}", convolution)
        nn.init.zeros_(self.conv1.get_parameter("bias"))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        narrow_BCHW = self.conv1(F.relu(features_BCHW))
        seen = [self.get_submodule(f"conv2_{place}")(narrow_BCHW) for place in range(1, len(_DILATIONS) + 1)]
        return torch.stack(seen).sum(dim=0)


class _Attention(nn.Module):
    """The compact spatial attention module (CSAM): a weight in (0, 1) for each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, _ATTENTION_WIDTH, 1)
        self.conv2 = nn.Conv2d(_ATTENTION_WIDTH, 1, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv1.get_parameter("bias"))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        weight_B1HW: Tensor = self.conv2(self.conv1(F.relu(features_BCHW))).sigmoid()
        return features_BCHW * weight_B1HW


class _Reduction(nn.Module):
    """Features to one map of logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.conv.get_parameter("bias"))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        logits_B1HW: Tensor = self.conv(features_BCHW)
        return logits_B1HW


class PiDiNet(nn.Module):
    """Four stages of pixel-difference blocks, each of which draws a map; the maps are fused.

    Shape: RGB with ImageNet's normalisation, ((pixel in [0, 1]) - mean) / std as the authors train with and as the
    data of the `edges` task have it, (B, 3, H, W), to logits (B, 1, H, W) for any H and W of 8 pixels or more. The
    logits are those of the fused map: their sigmoid is the published probability. The four stages' own maps, which
    the authors' training supervises beside it, are not returned.

    Raises:
        NetworkError: an image of fewer than 8 pixels a side.
    """

    size_multiple = 1
    """Whole images need no padding."""

    def __init__(self, *, width: int, fused_width: int) -> None:
        """Make the first stage `width` wide and what is drawn from each stage `fused_width`."""
        super().__init__()
        self.init_block = PixelDifference(3, width, _KINDS[0])
        widths = (width, 2 * width, 4 * width, 4 * width)
        place, inputs = 1, width
        for stage, outputs in enumerate(widths, start=1):
            first = 1 if stage > 1 else 2
            for block in range(first, 5):
                halves = stage > 1 and block == 1
                name = f"block{stage}_{block - first + 1}"
                self.add_module(name, _Block(inputs, outputs, _KINDS[place % len(_KINDS)], halves=halves))
                place, inputs = place + 1, outputs
        self.dilations = nn.ModuleList(_Dilations(outputs, fused_width) for outputs in widths)
        self.attentions = nn.ModuleList(_Attention(fused_width) for _ in widths)
        self.conv_reduces = nn.ModuleList(_Reduction(fused_width) for _ in widths)
        self.classifier = nn.Conv2d(len(widths), 1, 1)
        nn.init.constant_(self.classifier.weight, 1 / len(widths))
        nn.init.zeros_(self.classifier.get_parameter("bias"))
        self.feature_info = [
            {"module": f"attentions.{stage}", "num_chs": fused_width, "reduction": 2**stage}
            for stage in reversed(range(len(widths)))
        ]
        """What each stage draws its map from, from coarse to fine, as the decoder of a U-Net runs."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of the fused map; see the class for shapes."""
        size = images_BCHW.shape[-2:]
        if min(size) < _SMALLEST_SIDE:
            raise NetworkError(f"an image of {size[1]}x{size[0]} pixels is too small for PiDiNet: give at least 8x8.")
        features_BCHW = self.init_block(images_BCHW)
        maps = []
        for stage, blocks in enumerate((3, 4, 4, 4)):
            for block in range(blocks):
                features_BCHW = self.get_submodule(f"block{stage + 1}_{block + 1}")(features_BCHW)
            fused_BCHW = self.attentions[stage](self.dilations[stage](features_BCHW))
            logits_B1hw = self.conv_reduces[stage](fused_BCHW)
            maps.append(F.interpolate(logits_B1hw, size, mode="bilinear", align_corners=False))
        fused_B1HW: Tensor = self.classifier(torch.cat(maps, dim=1))
        return fused_B1HW


@register_network("pidinet", summary="PiDiNet, 0.71 M parameters (published ODS on BSDS500: 0.807)")
def pidinet() -> PiDiNet:
    """The authors' network of width 60; loads `table5_pidinet.pth`."""
    return PiDiNet(width=60, fused_width=24)


@register_network("pidinet-small", summary="PiDiNet-Small, 0.18 M parameters (published ODS on BSDS500: 0.798)")
def pidinet_small() -> PiDiNet:
    """The authors' network of width 30; loads `table5_pidinet-small.pth`."""
    return PiDiNet(width=30, fused_width=12)


@register_network("pidinet-tiny", summary="PiDiNet-Tiny, 0.08 M parameters (published ODS on BSDS500: 0.789)")
def pidinet_tiny() -> PiDiNet:
    """The authors' network of width 20; loads `table5_pidinet-tiny.pth`."""
    return PiDiNet(width=20, fused_width=8)
