"""Losses on logits as terms of an objective, and what changes a term in the course of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.logit_standard import standardise
from densedistill.distill.losses.logit_temperature import CurriculumTemperature, ctkd_loss, curriculum
from densedistill.distill.losses.terms import TermFunction
from densedistill.distill.outputs import StepOutputs


@dataclass(frozen=True, kw_only=True, slots=True)
class OnLogits:
    """A loss of both networks' logits (B, K). Needs the teacher."""

    loss: Callable[..., Tensor]
    """(student's logits, teacher's logits) -> scalar; with `labelled` also (..., target, mixed_target=, mix=)."""
    standardised: bool = False
    """Both networks' logits pass through `standardise` first."""
    labelled: bool = False
    """Whether the loss reads the labels, mixed or not."""

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """The loss of this step."""
        student, teacher = outputs.student.output, outputs.taught().output.detach()
        if self.standardised:
            student, teacher = standardise(student), standardise(teacher)
        if not self.labelled:
            return self.loss(student, teacher)
        batch = outputs.batch
        return self.loss(student, teacher, outputs.target, mixed_target=batch.get("mixed_target"), mix=batch.get("mix"))


def epoch_number(progress: float) -> int:
    """The epoch that a step belongs to, from 1, as the field's code counts them. `progress` is in epochs done."""
    return math.floor(progress) + 1


class WarmedUp(nn.Module):
    """A term that grows in 20 equal steps over the first epochs, from a twentieth on.

    The warm-up of mdistiller's code for DKD and ReviewKD (Zhao et al. 2022; Chen et al. 2021), which lasts 20 of 240
    epochs and grows with each. A shorter one keeps its course: in one epoch the steps are a twentieth of it.
    """

    STEPS = 20

    def __init__(self, term: TermFunction, epochs: int) -> None:
        """Wrap `term`; a module's parameters become this one's.

        Raises:
            RequestError: epochs below 1.
        """
        super().__init__()
        if epochs < 1:
            raise RequestError(f"a warm-up of {epochs} epochs is none: give 1 or more, or leave it out")
        self.term, self.epochs = term, epochs

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The share of the term that this step has."""
        return self.term(outputs) * min((int(self.STEPS * outputs.progress / self.epochs) + 1) / self.STEPS, 1.0)


class LearnedTemperature(nn.Module):
    """`ctkd_loss` with its trainable temperature, whose gradient is reversed more and more over the first epochs."""

    def __init__(self, start: float = 1.0, span: float = 20.0, epochs: float = 10.0) -> None:
        """Set the range of the temperature and the length of its curriculum.

        Raises:
            RequestError: a number that is not above 0.
        """
        super().__init__()
        curriculum(0.0, epochs)
        self.temperature, self.epochs = CurriculumTemperature(start, span), epochs

    def forward(self, outputs: StepOutputs) -> Tensor:
        """τ² KL(teacher ‖ student)."""
        temperature = self.temperature(curriculum(epoch_number(outputs.progress), self.epochs))
        return ctkd_loss(outputs.student.output, outputs.taught().output.detach(), temperature)
