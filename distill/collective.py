"""What several processes must agree on. With one process nothing is exchanged, and everything stays as it is."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import distributed

Value = TypeVar("Value")


def joined() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def agree(*flags: int, device: torch.device) -> tuple[int, ...]:
    """The largest of each flag over all processes; every process must call it at the same step."""
    if not joined():
        return flags
    values = torch.tensor(flags, device=device)
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
    return tuple(int(value) for value in values.tolist())


def from_main(value: Value) -> Value:
    """The main process's `value`, on every process."""
    if not joined():
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box)
    return box[0]
