"""A teacher's answers to the batches of a lesson: computed, or read from what was kept."""

from __future__ import annotations

from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.plan import Plan
from densedistill.distill.teacher import Teacher


class Answers:
    """Asks the teacher."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def kept(self, plan: Plan) -> Prediction | None:
        """What was kept for all views of `plan`, or None. Called ahead of the step, from the loader's thread."""
        return None

    def to(self, plan: Plan, batch: Batch, kept: Prediction | None) -> Prediction:
        """The teacher's prediction for the batch made by `plan`; `kept` is what was found for it."""
        return self.teacher(batch) if kept is None else kept
