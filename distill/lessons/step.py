"""One step's computation as a module: student and objective together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from densedistill.distill.fast.recompilation import allow_networks
from densedistill.distill.features.taps import Tapped
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Batch, Prediction, StepOutputs


class DistillationStep(nn.Module):
    """Student and objective in one module, so that data parallelism averages the projectors' gradients too."""

    def __init__(self, student: nn.Module, taps: Sequence[str], objective: Objective) -> None:
        super().__init__()
        self.student = student
        self.objective = objective
        self._tapped = Tapped(student, taps)
        self._answer: Callable[[Tensor], Prediction] = self._tapped

    def outputs(self, batch: Batch, teacher: Prediction | None, progress: float = 0.0) -> StepOutputs:
        """What the objective takes: the student's answer to `batch` beside the teacher's. `progress` counts epochs."""
        answer = self._answer(batch["input"])
        student = Prediction(output=answer.output.float(), taps=answer.taps)
        return StepOutputs(batch=batch, student=student, teacher=teacher, progress=progress)

    def forward(self, batch: Batch, teacher: Prediction | None, progress: float = 0.0) -> dict[str, Tensor]:
        """Unweighted scalar losses by term name; `total` is their weighted sum. `progress` counts epochs."""
        losses = self.objective(self.outputs(batch, teacher, progress))
        return {**losses, "total": self.objective.total(losses)}

    def compile_student(self, *, on: bool = True, backend: str = "inductor") -> None:
        """Compile the student's forward and backward pass, at the next call; or go back to running it eagerly.

        The network itself stays as it is: it is evaluated, saved and averaged eagerly.
        """
        allow_networks()
        self._answer = torch.compile(self._tapped.__call__, dynamic=False, backend=backend) if on else self._tapped

    def close(self) -> None:
        """Remove the taps, so that the student can be used elsewhere."""
        self._tapped.close()
