"""PyTorch's global random generator, borrowed: what is built from a seed leaves all else that draws as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the CPU's generator draws as after `torch.manual_seed(seed)`; afterwards it goes on where it stood.

    GPUs' generators are not asked: that alone would start every GPU there is, some 500 MiB each, whatever the device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
