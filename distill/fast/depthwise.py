"""Backward of depthwise convolutions in bf16 on CPUs, without oneDNN's slow kernels.

oneDNN takes three slow ways there (PyTorch 2.15, AVX-512 BF16, one thread, batch 64, milliseconds):

    gradient of the input, stride 2      oneDNN bf16   fp32   here
      3x3, 96 channels, 32x32                   73     11.8    2.2
      3x3, 576 channels, 4x4                    51      0.2    0.1
    gradient of the weight, padded map smaller than the kernel's reach
      3x3, 960 channels, 2x2                    10      1.7    0.1
    gradient of the weight, other kernels
      5x5, 576 channels, 8x8                    36     11.7    2.9

The gradient of a strided convolution is the stride-1 convolution of the output's gradient, spread out with zeros
between its pixels, with the flipped kernel (Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep
learning", section 4.6); stride-1 depthwise convolutions are fast in bf16. The gradient of a kernel is put together from
3x3 blocks of taps, each the gradient of a 3x3 kernel on a shifted image that is padded beforehand: that one is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK = 3
"""Side of the kernel whose weight gradient is fast in bf16."""
_SMALLEST_MAP = 4
"""Side of a map from which on that holds with padding inside the convolution, whatever the stride."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What was rewritten, and how to take it back."""

    network: nn.Module
    paths: tuple[str, ...]
    """Module paths of the convolutions whose forward was replaced."""

    def undo(self) -> None:
        """Give every convolution its class's own forward again; a second call does nothing."""
        for path in self.paths:
            self.network.get_submodule(path).__dict__.pop("forward", None)


def rewrite_depthwise(network: nn.Module) -> Rewrite:
    """Replace, in place, the forward of each depthwise convolution of `network`.

    Values, parameters, module types, hooks and `state_dict` stay as they are; on other devices and in other precisions
    the replaced forward is the ordinary one. Copies and pickles of the network keep the replacement.
    """
    found = {path: module for path, module in network.named_modules() if _is_rewritable(module)}
    for convolution in found.values():
        # A partial and not a bound method: pickle would look the method up by name and find the class's own.
        convolution.__dict__["forward"] = partial(_forward, convolution)
    return Rewrite(network, tuple(found))


def _is_rewritable(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    if not isinstance(module, nn.Conv2d) or "forward" in module.__dict__ or "_conv_forward" in module.__dict__:
        return False
    # A subclass with a forward of its own, such as timm's Conv2dSame, pads by the size of the image.
    own = type(module).forward is nn.Conv2d.forward and type(module)._conv_forward is nn.Conv2d._conv_forward
    depthwise = 1 < module.groups == module.in_channels == module.out_channels
    return own and depthwise and _padding_within_reach(module)


def _padding_within_reach(convolution: nn.Conv2d) -> bool:
    """Whether the gradient's own padding, reach - padding, is not negative (and padding is given in numbers)."""
    if isinstance(convolution.padding, str) or convolution.padding_mode != "zeros":
        return False
    return all(
        padding <= dilation * (kernel - 1)
        for padding, dilation, kernel in zip(
            convolution.padding, convolution.dilation, convolution.kernel_size, strict=True
        )
    )


def _forward(convolution: nn.Conv2d, images_BCHW: Tensor) -> Tensor:
    weight, bias = convolution.weight, convolution.bias
    if torch.is_autocast_enabled("cpu") and images_BCHW.device.type == "cpu":
        dtype = torch.get_autocast_dtype("cpu")
        # As autocast does it; inside an autograd function it would come too late to be differentiated.
        images_BCHW, weight = images_BCHW.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if not _takes_a_slow_kernel(convolution, images_BCHW, weight):
        ordinary_BCHW: Tensor = convolution._conv_forward(images_BCHW, weight, bias)
        return ordinary_BCHW
    output_BCHW: Tensor = _Depthwise.apply(
        images_BCHW, weight, bias, convolution.stride, convolution.padding, convolution.dilation
    )
    return output_BCHW


def _takes_a_slow_kernel(convolution: nn.Conv2d, images_BCHW: Tensor, weight: Tensor) -> bool:
    return (
        torch.is_grad_enabled()
        and images_BCHW.requires_grad
        and images_BCHW.ndim == 4
        and images_BCHW.device.type == "cpu"
        and images_BCHW.dtype == weight.dtype == torch.bfloat16
        and (max(convolution.stride) > 1 or not _has_fast_weight_gradient(weight, images_BCHW))
    )


def _has_fast_weight_gradient(weight: Tensor, images_BCHW: Tensor) -> bool:
    return tuple(weight.shape[2:]) == (_BLOCK, _BLOCK) and min(images_BCHW.shape[2:]) >= _SMALLEST_MAP


class _Depthwise(torch.autograd.Function):
    """`F.conv2d` with groups equal to the channels; its gradients as this file's head says."""

    @staticmethod
    def forward(
        images_BCHW: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Tensor:
        return F.conv2d(images_BCHW, weight, bias, stride, padding, dilation, images_BCHW.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images_BCHW, weight, _bias, ctx.stride, ctx.padding, ctx.dilation = inputs
        ctx.save_for_backward(images_BCHW, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_BCHW,) = gradients
        operands = (gradient_BCHW, *ctx.saved_tensors, ctx.stride, ctx.padding, ctx.dilation)
        of_weight = _weight_gradient(*operands) if ctx.needs_input_grad[1] else None
        of_bias = gradient_BCHW.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return _input_gradient(*operands), of_weight, of_bias, None, None, None


def _input_gradient(
    gradient_BCHW: Tensor,
    images_BCHW: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    if max(stride) == 1:
        return _gradient(gradient_BCHW, images_BCHW, weight, stride, padding, dilation, of_weight=False)
    batch, channels = images_BCHW.shape[:2]
    reach = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
    # Every stride-1 place of the kernel, also those beyond the last stride: their gradient is zero.
    places = [images_BCHW.shape[2 + axis] + 2 * padding[axis] - reach[axis] for axis in (0, 1)]
    spread_BCHW = torch.empty(
        (batch, channels, *places),
        dtype=gradient_BCHW.dtype,
        device=gradient_BCHW.device,
        memory_format=torch.channels_last,
    ).zero_()
    spread_BCHW[:, :, :: stride[0], :: stride[1]] = gradient_BCHW
    around = [reach[axis] - padding[axis] for axis in (0, 1)]
    return F.conv2d(spread_BCHW, weight.flip(2, 3), None, 1, around, dilation, channels)


def _weight_gradient(
    gradient_BCHW: Tensor,
    images_BCHW: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    operands = (gradient_BCHW, images_BCHW, weight)
    if _has_fast_weight_gradient(weight, images_BCHW):
        return _gradient(*operands, stride, padding, dilation, of_weight=True)
    if max(dilation) > 1:  # rare: the shifted images of a block would be dilated too
        wide = (gradient_BCHW.float(), images_BCHW.float(), weight.float())
        return _gradient(*wide, stride, padding, dilation, of_weight=True).to(weight.dtype)
    return _weight_gradient_in_blocks(*operands, stride, padding)


def _weight_gradient_in_blocks(
    gradient_BCHW: Tensor, images_BCHW: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    kernel, outputs = weight.shape[2:], gradient_BCHW.shape[2:]
    starts = [range(0, size, _BLOCK) for size in kernel]
    seen = [step * (count - 1) + _BLOCK for step, count in zip(stride, outputs, strict=True)]
    # Zeros behind the image too: for the last block's taps beyond the kernel, which are cut off in the end.
    behind = [max(starts[axis][-1] + seen[axis] - padding[axis] - images_BCHW.shape[2 + axis], 0) for axis in (0, 1)]
    padded_BCHW = F.pad(images_BCHW, (padding[1], behind[1], padding[0], behind[0]))
    block = weight.new_zeros((weight.shape[0], 1, _BLOCK, _BLOCK))
    gradient_BCHW = gradient_BCHW.contiguous(memory_format=torch.channels_last)
    rows = []
    for top in starts[0]:
        columns = []
        for left in starts[1]:
            part_BCHW = padded_BCHW[:, :, top : top + seen[0], left : left + seen[1]]
            part_BCHW = part_BCHW.contiguous(memory_format=torch.channels_last)
            columns.append(_gradient(gradient_BCHW, part_BCHW, block, stride, (0, 0), (1, 1), of_weight=True))
        rows.append(torch.cat(columns, dim=3))
    return torch.cat(rows, dim=2)[:, :, : kernel[0], : kernel[1]]


def _gradient(
    gradient_BCHW: Tensor,
    images_BCHW: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    of_weight: bool,
) -> Tensor:
    """oneDNN's gradient of the weight, or of the images."""
    wanted = [not of_weight, of_weight, False]
    computed: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient_BCHW, images_BCHW, weight, None, stride, padding, dilation, False, [0, 0], images_BCHW.shape[1], wanted
    )
    return computed[1] if of_weight else computed[0]
