"""Backward of strided depthwise convolutions in bf16 on CPUs, without oneDNN's slow kernel.

oneDNN computes the gradient of such a convolution's input 20 to 400 times slower in bf16 than it need be (PyTorch 2.15,
AVX-512 BF16, one thread, 3x3 kernel, stride 2, batch 64, milliseconds):

    channels, map   oneDNN bf16   cast to fp32   zero-stuffed (used here)
    96,  32x32          73            11.8            2.2
    192, 8x8            33             0.4            0.2
    576, 4x4            51             0.2            0.1

The gradient of a strided convolution is the stride-1 convolution of the output's gradient, spread out with zeros
between its pixels, with the flipped kernel (Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep
learning", section 4.6); stride-1 depthwise convolutions are fast in bf16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FAST_WEIGHT_KERNEL = (3, 3)
"""The one size whose weight gradient is fast in bf16: 0.2 ms against 0.8 in fp32; for 5x5 it is 15 ms against 4."""


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


def rewrite_strided_depthwise(network: nn.Module) -> Rewrite:
    """Replace, in place, the forward of each strided depthwise convolution of `network`.

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
    return own and depthwise and max(module.stride) > 1 and _padding_within_reach(module)


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
    if not _takes_the_slow_kernel(images_BCHW, weight):
        ordinary_BCHW: Tensor = convolution._conv_forward(images_BCHW, weight, bias)
        return ordinary_BCHW
    output_BCHW: Tensor = _StridedDepthwise.apply(
        images_BCHW, weight, bias, convolution.stride, convolution.padding, convolution.dilation
    )
    return output_BCHW


def _takes_the_slow_kernel(images_BCHW: Tensor, weight: Tensor) -> bool:
    return (
        torch.is_grad_enabled()
        and images_BCHW.requires_grad
        and images_BCHW.ndim == 4
        and images_BCHW.device.type == "cpu"
        and images_BCHW.dtype == weight.dtype == torch.bfloat16
    )


class _StridedDepthwise(torch.autograd.Function):
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
    if tuple(weight.shape[2:]) != _FAST_WEIGHT_KERNEL:
        operands = (gradient_BCHW.float(), images_BCHW.float(), weight.float())
    computed: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        *operands, None, stride, padding, dilation, False, [0, 0], images_BCHW.shape[1], [False, True, False]
    )
    return computed[1].to(weight.dtype)
