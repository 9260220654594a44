"""The frozen teacher: in evaluation mode, outside autograd, never part of a student's state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn

from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.taps import Tapped


class Teacher:
    """A network that only answers. Its input is the batch's `teacher_input` where there is one."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        taps: Sequence[str],
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.taps = tuple(taps)
        self._autocast = autocast
        self._tapped = Tapped(self.network, taps)

    def __call__(self, batch: Batch) -> Prediction:
        """The teacher's prediction for `batch`, as ordinary float32 tensors that need no gradient."""
        with torch.inference_mode(), self._autocast():
            answer = self._tapped(batch.get("teacher_input", batch["input"]))
        # An inference tensor may not be saved for backward, which a loss has to do; a copy made outside may.
        return Prediction(
            output=answer.output.clone().float(),
            taps={path: feature.clone() for path, feature in answer.taps.items()},
        )
