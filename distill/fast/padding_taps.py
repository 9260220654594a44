"""A guard against a fault of bf16 convolutions on CPUs: gradients of kernel taps that only ever see padding.

On a map smaller than the kernel some taps of a padded convolution never meet a pixel: of a 3x3 kernel with stride 2 on
a 1x1 map only the middle one does. Their gradient is zero, but oneDNN's bf16 kernel leaves it unwritten (seen with
PyTorch 2.15 and oneDNN 3.13.3 on AVX-512 BF16): whatever lay in that memory becomes the gradient, now and then a NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from densedistill.distill.features.taps import evaluating
from densedistill.distill.outputs import Batch


def meeting_taps(length: int, kernel: int, stride: int, padding: int, dilation: int) -> list[bool]:
    """For each tap of a one-dimensional kernel, whether it meets one of `length` pixels at any output place."""
    outputs = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    starts = [place * stride - padding for place in range(outputs)]
    return [any(0 <= start + tap * dilation < length for start in starts) for tap in range(kernel)]


def guard_padding_taps(network: nn.Module, batch: Batch) -> list[RemovableHandle]:
    """Zero the gradient of every tap that meets only padding at `batch`'s size; returns handles that undo it.

    A convolution that is used on maps of several sizes keeps what any of them meets.
    """
    sizes = _input_sizes(network, batch)
    handles = []
    for convolution, met in sizes.items():
        mask = torch.stack([_mask(convolution, height, width) for height, width in sorted(met)]).any(dim=0)
        if not mask.all():
            keep = _keeping(mask.to(convolution.weight.device))
            handles.append(convolution.weight.register_hook(keep))  # type: ignore[no-untyped-call]
    return handles


@torch.no_grad()
def _input_sizes(network: nn.Module, batch: Batch) -> dict[nn.Conv2d, set[tuple[int, int]]]:
    sizes: dict[nn.Conv2d, set[tuple[int, int]]] = {}

    def note(module: nn.Module, inputs: Sequence[Tensor]) -> None:
        if isinstance(module, nn.Conv2d):
            sizes.setdefault(module, set()).add((int(inputs[0].shape[-2]), int(inputs[0].shape[-1])))

    hooks = [module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    try:
        with evaluating(network):
            network(batch["input"])
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def _mask(convolution: nn.Conv2d, height: int, width: int) -> Tensor:
    """(kernel height, kernel width) bool: which taps meet a pixel. A padding given by name is left alone."""
    kernel, padding = convolution.kernel_size, convolution.padding
    if isinstance(padding, str) or convolution.padding_mode != "zeros":
        return torch.ones(kernel, dtype=torch.bool)
    rows, columns = (
        torch.tensor(
            meeting_taps(length, kernel[axis], convolution.stride[axis], padding[axis], convolution.dilation[axis])
        )
        for axis, length in enumerate((height, width))
    )
    return rows[:, None] & columns[None, :]


def _keeping(mask: Tensor) -> Callable[[Tensor], Tensor]:
    # `where` and not a product: zero times NaN is NaN.
    return lambda gradient: torch.where(mask, gradient, torch.zeros((), dtype=gradient.dtype, device=gradient.device))
