"""Where a network's first weights come from: decided once for all arms that train it, and kept after a restart.

Providers' weights that could be had an hour ago cannot be had now, or the other way round. A control that starts from
other weights than the student beside it measures that and not the teacher, and an arm that goes on from its saved state
by the recipe of another start is neither.
"""

from __future__ import annotations

from densedistill.distill.arm import ArmPlan
from densedistill.distill.arm_names import Role, arm_name
from densedistill.distill.lessons.choices import Choices
from densedistill.distill.run_dir import RunDir

RANDOM = "random"
"""What networks say that start from no provider's weights."""


class Starts:
    """Reads and writes `starts.json` of a run."""

    def __init__(self, run_dir: RunDir, *, write: bool) -> None:
        self._run_dir = run_dir
        self._kept = Choices(run_dir.path / "starts.json", write=write)

    def of(self, plan: ArmPlan) -> str | None:
        """What the first arm of `plan`'s network started from; None: it is the first."""
        name = arm_name(plan.generation, "student", plan.variant)
        if name in self._kept:
            return str(self._kept[name])
        # A run of an earlier version has it in the records of finished arms alone.
        roles: tuple[Role, ...] = ("student", "scratch", "direct")
        siblings = (self._run_dir.arm(arm_name(plan.generation, role, plan.variant)) for role in roles)
        records = (sibling.record("init") for sibling in siblings if sibling.done)
        return next((str(record["init"]) for record in records), None)

    def decide(self, plan: ArmPlan, init: str) -> None:
        """Keep what `plan`'s network starts from, unless that is known."""
        name = arm_name(plan.generation, "student", plan.variant)
        if name not in self._kept:
            self._kept.take({name: init})
