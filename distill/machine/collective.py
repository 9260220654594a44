"""What several processes must agree on. With one process nothing is exchanged, and everything stays as it is."""

from __future__ import annotations

import functools
from typing import TypeVar

import torch
from torch import distributed

Value = TypeVar("Value")


def joined() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def agree(*flags: int) -> tuple[int, ...]:
    """The largest of each flag over all processes; every process must call it at the same step.

    It is asked after every step, and goes from CPU to CPU: on GPUs an answer would wait for all steps queued there.
    """
    if not joined():
        return flags
    values = torch.tensor(flags)
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX, group=_between_cpus())
    return tuple(int(value) for value in values.tolist())


@functools.cache
def _between_cpus() -> distributed.ProcessGroup:
    """A group of all processes that speaks from memory to memory; made once, since they join once."""
    group = distributed.new_group(backend="gloo")
    if isinstance(group, int):
        raise RuntimeError("a group of all processes leaves this one out")
    return group


def from_main(value: Value) -> Value:
    """The main process's `value`, on every process."""
    if not joined():
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box)
    return box[0]
