"""SwinIR (Liang et al. 2021, "SwinIR: Image Restoration Using Swin Transformer") for super-resolution.

Module names are the authors', so that their published files load strictly; the attention masks that those files
store are made anew for each image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError
from densedistill.backbones.registry import register_network
from densedistill.backbones.spec import PositiveInt, Probability
from densedistill.backbones.upsampling import Scale, ShuffleOnce, ShuffleSteps, bicubic, body_info
from densedistill.backbones.window_attention import WindowBlock, shift_mask

_RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean of DIV2K, subtracted by the authors."""
_RECONSTRUCTION_WIDTH = 64
_MLP_RATIO = 2.0
_SMALLEST_SIDE = 2
_KEPT_MASK = 2**20
"""Numbers in a mask that is kept for the next image of its size, 4 MB: a training patch's, not a photograph's."""

Upsampler = Literal["steps", "direct"]
"""`steps`: the classical network's end (the authors' `pixelshuffle`); `direct`: the lightweight one's."""
Skip = Literal["none", "bicubic"]
"""`bicubic`: the output is added to the bicubic enlargement, and starts at zero."""


class _BlockGroup(nn.Module):
    """Blocks with and without shift in turn; (B, H, W, C) to the same."""

    def __init__(self, blocks: Sequence[WindowBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, map_BHWC: Tensor, mask_MNN: Tensor) -> Tensor:
        for block in self.blocks:
            map_BHWC = block(map_BHWC, mask_MNN)
        return map_BHWC


class ResidualSwinGroup(nn.Module):
    """RSTB (section 3.2): transformer blocks, a 3x3 convolution, and a skip around both; (B, H, W, C) to the same."""

    def __init__(self, width: int, blocks: Sequence[WindowBlock]) -> None:
        super().__init__()
        self.residual_group = _BlockGroup(blocks)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, map_BHWC: Tensor, mask_MNN: Tensor) -> Tensor:
        """Transform; `mask_MNN` as `shift_mask` makes it."""
        features_BCHW = self.residual_group(map_BHWC, mask_MNN).permute(0, 3, 1, 2)
        convolved_BCHW: Tensor = self.conv(features_BCHW)
        return convolved_BCHW.permute(0, 2, 3, 1) + map_BHWC


class _PatchEmbed(nn.Module):
    """The norm that the authors keep under this name; patches are single pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        normed: Tensor = self.norm(features_BCHW.permute(0, 2, 3, 1))
        return normed


class SwinIR(nn.Module):
    """Image super-resolution by residual groups of shifted-window attention.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 3, scale*H, scale*W), not clamped; any H and W of two pixels or more.
    Inside, the image is padded by reflection to a multiple of the window.

    Tap `conv_after_body` for the deep features at the (padded) input's resolution, (B, width, H', W').
    """

    rgb_mean: Tensor

    def __init__(
        self,
        *,
        scale: Scale,
        width: int,
        depths: Sequence[int],
        heads: Sequence[int],
        window: int,
        upsampler: Upsampler,
        skip: Skip,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.scale = scale
        groups = [f"layers.{place}" for place in range(len(depths))]
        self.feature_info = body_info([*groups, "conv_after_body"], width, channels_last=groups)
        self.window = window
        self.skip = skip
        self.register_buffer("rgb_mean", torch.tensor(_RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.patch_embed = _PatchEmbed(width)
        self.layers = _groups(width, depths, heads, window, drop_path)
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        if upsampler == "steps":
            self.conv_before_upsample: nn.Module = nn.Sequential(
                nn.Conv2d(width, _RECONSTRUCTION_WIDTH, 3, padding=1), nn.LeakyReLU()
            )
            self.upsample: nn.Module = ShuffleSteps(_RECONSTRUCTION_WIDTH, scale)
            self.conv_last: nn.Module = nn.Conv2d(_RECONSTRUCTION_WIDTH, 3, 3, padding=1)
        else:
            self.conv_before_upsample = nn.Identity()
            self.upsample = ShuffleOnce(width, 3, scale)
            self.conv_last = nn.Identity()
        self._kept: tuple[tuple[int, int, torch.device], Tensor] | None = None
        self.apply(_init_linear)
        if skip == "bicubic":
            _zero_last(self.upsample, self.conv_last)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Super-resolve; see the class for shapes."""
        height, width = images_BCHW.shape[-2:]
        padded = reflect_to_multiple(images_BCHW, self.window)
        shallow = self.conv_first(padded - self.rgb_mean)
        deep = self.conv_after_body(self._body(shallow)) + shallow
        enlarged: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(deep)))
        cropped = enlarged[:, :, : height * self.scale, : width * self.scale]
        return cropped + (bicubic(images_BCHW, self.scale) if self.skip == "bicubic" else self.rgb_mean)

    def _body(self, features_BCHW: Tensor) -> Tensor:
        height, width = features_BCHW.shape[-2:]
        mask_MNN = self._mask(height, width, features_BCHW.device)
        map_BHWC = self.patch_embed(features_BCHW)
        for group in self.layers:
            map_BHWC = group(map_BHWC, mask_MNN)
        normed: Tensor = self.norm(map_BHWC)
        return normed.permute(0, 3, 1, 2)

    def _mask(self, height: int, width: int, device: torch.device) -> Tensor:
        """`shift_mask`, the last one kept: a compiler that sees it made makes it anew for every score it is added to.

        An exported network has to make its own, for the sizes that it will meet.
        """
        key = (height, width, device)
        if self._kept is not None and self._kept[0] == key and not torch.compiler.is_exporting():
            return self._kept[1]
        if torch.compiler.is_compiling():
            return shift_mask(height, width, self.window, device)
        with torch.inference_mode(False):  # a training step may be next to use it
            mask_MNN = shift_mask(height, width, self.window, device)
        if mask_MNN.numel() <= _KEPT_MASK:
            self._kept = (key, mask_MNN)
        return mask_MNN


def reflect_to_multiple(images_BCHW: Tensor, multiple: int) -> Tensor:
    """Pad at the bottom and right, by reflection without repeating the border, to multiples of `multiple`.

    Raises:
        NetworkError: a side of one pixel, which has nothing to reflect.
    """
    height, width = images_BCHW.shape[-2:]
    if min(height, width) < _SMALLEST_SIDE:
        raise NetworkError(f"an image of {width}x{height} pixels is too small: give at least 2x2.")
    down, right = -height % multiple, -width % multiple
    while down or right:
        # A reflection reaches one pixel less than the image is long: small images are reflected to and fro.
        height, width = images_BCHW.shape[-2:]
        step_down, step_right = min(down, height - 1), min(right, width - 1)
        images_BCHW = F.pad(images_BCHW, (0, step_right, 0, step_down), mode="reflect")
        down, right = down - step_down, right - step_right
    return images_BCHW


def _groups(width: int, depths: Sequence[int], heads: Sequence[int], window: int, drop_path: float) -> nn.ModuleList:
    rates = torch.linspace(0, drop_path, sum(depths), dtype=torch.float64).tolist()
    groups = []
    for depth, group_heads in zip(depths, heads, strict=True):
        blocks = [
            WindowBlock(width, group_heads, window, _MLP_RATIO, shifted=i % 2 == 1, drop_path=rates.pop(0))
            for i in range(depth)
        ]
        groups.append(ResidualSwinGroup(width, blocks))
    return nn.ModuleList(groups)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _zero_last(upsample: nn.Module, conv_last: nn.Module) -> None:
    if isinstance(upsample, ShuffleOnce):
        upsample.zero()
    else:
        nn.init.zeros_(conv_last.get_parameter("weight"))
        nn.init.zeros_(conv_last.get_parameter("bias"))


@register_network("swinir-m", summary="SwinIR, published classical configuration (11.9 M parameters at x4)")
def swinir_m(*, scale: Scale = 4, drop_path: Probability = 0.1) -> SwinIR:
    """The authors' classical super-resolution network: width 180, six groups of six blocks, six heads, window 8."""
    return SwinIR(
        scale=scale,
        width=180,
        depths=(6,) * 6,
        heads=(6,) * 6,
        window=8,
        upsampler="steps",
        skip="none",
        drop_path=drop_path,
    )


@register_network("swinir-s", summary="SwinIR, published lightweight configuration (0.93 M parameters at x4)")
def swinir_s(*, scale: Scale = 4, drop_path: Probability = 0.1) -> SwinIR:
    """The authors' lightweight super-resolution network: width 60, four groups of six blocks, six heads, window 8."""
    return SwinIR(
        scale=scale,
        width=60,
        depths=(6,) * 4,
        heads=(6,) * 4,
        window=8,
        upsampler="direct",
        skip="none",
        drop_path=drop_path,
    )


@register_network("swinir", summary="SwinIR of any width and depth; its defaults are a small one for demos")
def swinir(
    *,
    scale: Scale = 4,
    width: PositiveInt = 48,
    depths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (3, 3),
    heads: PositiveInt | tuple[PositiveInt, ...] = 3,
    window: Annotated[int, Field(ge=2, multiple_of=2)] = 8,
    upsampler: Upsampler = "direct",
    skip: Skip = "none",
    drop_path: Probability = 0.0,
) -> SwinIR:
    """A SwinIR of the given sizes.

    Args:
        scale: enlargement.
        width: channels of the body, a multiple of every group's heads.
        depths: number of blocks of each group.
        heads: of each group, or of all.
        window: side of a window in pixels, even.
        upsampler: see `Upsampler`.
        skip: see `Skip`.
        drop_path: stochastic depth of the last block, rising linearly from 0 at the first.

    Raises:
        NetworkError: `heads` of another length than `depths`, or heads that do not divide the width.
    """
    heads_of_groups = (heads,) * len(depths) if isinstance(heads, int) else heads
    if len(heads_of_groups) != len(depths):
        raise NetworkError(
            f"swinir has {len(depths)} groups and heads for {len(heads_of_groups)}; give one number for each, or one."
        )
    if any(width % group_heads for group_heads in heads_of_groups):
        raise NetworkError(f"swinir has width {width}, which its heads {heads_of_groups} do not divide.")
    return SwinIR(
        scale=scale,
        width=width,
        depths=depths,
        heads=heads_of_groups,
        window=window,
        upsampler=upsampler,
        skip=skip,
        drop_path=drop_path,
    )
