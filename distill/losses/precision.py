"""Losses in float32 or wider, whatever precision the networks run in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """`values` in float32, or as they are where they are float64. Differentiable."""
    return values if values.dtype == torch.float64 else values.float()


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """A context in which convolutions on the device of `values` keep the precision of their inputs."""
    device_type = values.device.type
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)
