"""How processes share a module: gradients are averaged, and each keeps the buffers of its own batches."""

from __future__ import annotations

import inspect

from accelerate.utils import DistributedDataParallelKwargs
from torch.nn.parallel import DistributedDataParallel

_NEW_NAME = "forward_sync_buffers"
"""What newer PyTorch calls `broadcast_buffers`, whose use it warns of; Accelerate knows the old name alone."""


class OwnBuffers(DistributedDataParallelKwargs):  # type: ignore[misc]
    """No broadcast of buffers before a forward pass.

    Batch-norm statistics are averaged before each use instead (see `batch_norm.py`): a broadcast would drop what the
    other processes saw.
    """

    def to_kwargs(self) -> dict[str, bool]:
        """What `DistributedDataParallel` is built with."""
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        return {_NEW_NAME if _NEW_NAME in known else "broadcast_buffers": False}
