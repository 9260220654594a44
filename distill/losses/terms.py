"""The losses as terms of an objective: each takes a step's outputs and returns a scalar.

A term holds its own settings (a temperature, a class weight). How much it counts beside the others is the
objective's business: α sits in the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from densedistill.distill.losses.checks import check_label_smoothing, check_temperature
from densedistill.distill.losses.images import l1
from densedistill.distill.losses.logits import kd_loss, mixed_cross_entropy
from densedistill.distill.losses.maps import probability_mse
from densedistill.distill.outputs import StepOutputs

TermFunction = Callable[[StepOutputs], Tensor]
"""From a step's outputs to a scalar."""


@dataclass(frozen=True, slots=True)
class DistilledLogits:
    """`kd_loss` on both networks' logits (B, K). Needs the teacher."""

    temperature: float
    """T > 0, dimensionless."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """T² KL(teacher ‖ student)."""
        return kd_loss(outputs.student.output, outputs.taught().output.detach(), self.temperature)


@dataclass(frozen=True, slots=True)
class HardLabels:
    """`mixed_cross_entropy` of the student's logits (B, K) against the batch's labels, mixed or not."""

    label_smoothing: float = 0.0
    """In [0, 1)."""

    def __post_init__(self) -> None:
        check_label_smoothing(self.label_smoothing)

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Cross-entropy in nats."""
        batch = outputs.batch
        return mixed_cross_entropy(
            outputs.student.output,
            outputs.target,
            batch.get("mixed_target"),
            batch.get("mix"),
            self.label_smoothing,
        )


@dataclass(frozen=True, slots=True)
class SoftMaps:
    """`probability_mse` of both networks' maps (B, 1, H, W). Needs the teacher."""

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Mean squared difference of probabilities."""
        return probability_mse(outputs.student.output, outputs.taught().output.detach())


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """`l1` of the student's image (B, 3, H, W) against the batch's target."""

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Mean absolute difference, image range [0, 1]."""
        return l1(outputs.student.output, outputs.target)


@dataclass(frozen=True, slots=True)
class TaughtReconstruction:
    """`l1` of the student's image (B, 3, H, W) against the teacher's. Needs the teacher."""

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Mean absolute difference, image range [0, 1]."""
        return l1(outputs.student.output, outputs.taught().output.detach())
