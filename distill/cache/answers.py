"""A teacher's answers to the batches of a lesson: computed, or read from what was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from densedistill.distill.cache.files import require_space
from densedistill.distill.cache.plan import CachePlan
from densedistill.distill.cache.store import TeacherCache
from densedistill.distill.lessons.plan import Plan
from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.teacher import Teacher


class Answers:
    """Asks the teacher, each time."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def kept(self, plan: Plan) -> Prediction | None:
        """What was kept for all views of `plan`, or None. Called ahead of the step, from the loader's thread."""
        return None

    def to(self, plan: Plan, batch: Batch, kept: Prediction | None) -> Prediction:
        """The teacher's prediction for the batch made by `plan`; `kept` is what was found for it."""
        return self.teacher(batch) if kept is None else kept

    def passes(self, steps: int, steps_per_epoch: int) -> int:
        """How many of `steps` more steps will ask the teacher, at most."""
        return steps

    def close(self) -> None:
        """Let go of files."""


class KeptAnswers(Answers):
    """Asks the teacher once for each view."""

    def __init__(self, teacher: Teacher, cache: TeacherCache, device: torch.device) -> None:
        super().__init__(teacher)
        self.cache, self.device = cache, device

    def kept(self, plan: Plan) -> Prediction | None:
        """The kept answers, on the device."""
        return self.cache.read(plan.images, plan.views, self.device)

    def to(self, plan: Plan, batch: Batch, kept: Prediction | None) -> Prediction:
        """The kept answer, or a new one as it is kept from now on."""
        return self.cache.write(plan.images, plan.views, self.teacher(batch)) if kept is None else kept

    def passes(self, steps: int, steps_per_epoch: int) -> int:
        """Only a first meeting with a view asks the teacher."""
        first_meetings = -(-self.cache.plan.slots // max(self.cache.plan.images, 1)) * steps_per_epoch
        return min(steps, first_meetings)

    def close(self) -> None:
        """Let go of the cache's files."""
        self.cache.close()


def keep_answers(
    teacher: Teacher,
    folder: Path,
    key: Mapping[str, Any],
    plan: CachePlan,
    device: torch.device,
    say: Callable[[str], None],
    *,
    create: bool,
) -> KeptAnswers:
    """Open the cache in `folder`. Of several processes the first creates it, before the others open theirs.

    Raises:
        RequestError: no room on the disk, or the folder cannot be used.
    """
    if create:
        require_space(folder, key, plan)
    return KeptAnswers(teacher, TeacherCache.open(folder, key, plan, say), device)
