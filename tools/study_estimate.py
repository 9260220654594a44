"""What a study would take: one step of each kind of arm, timed, times the steps it will train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from densedistill.distill import wording
from densedistill.distill.arm_names import arm_name
from densedistill.distill.configuration.config import Resolved, resolve
from densedistill.distill.dry_run import TrialChain
from densedistill.distill.study.plan import StudyPlan
from densedistill.tasks.data_memo import DataMemo
from densedistill.tasks.parts import load_parts
from densedistill.tasks.registry import get


@dataclass(frozen=True, slots=True)
class Costs:
    """Estimated seconds of training, by arm and by teacher's key."""

    seconds: Mapping[str, float]
    total: float

    def shown(self, name: str) -> str:
        """One run of `name`."""
        return wording.duration(self.seconds[name])

    def in_words(self, workers: int) -> str:
        """All runs; processes that share the cores gain little, those with a device each gain their number."""
        if workers == 1:
            return wording.duration(self.total)
        shared = wording.duration(self.total / workers)
        return f"{wording.duration(self.total)}, {shared} if {workers} processes do not slow each other"


def estimate(plan: StudyPlan) -> Costs:
    """Build every kind of arm once and take two steps of it."""
    spec, memo = get(plan.study.task), DataMemo()
    seconds: dict[str, float] = {}
    for key, teacher in plan.teachers.items():
        seconds[key] = _seconds(resolve(spec, teacher.settings.request()), arm_name(1, "teacher"), memo)
    total = sum(seconds.values())
    for arm in plan.arms:
        seconds[arm.name] = _seconds(plan.configs[arm.name], arm.trains, memo)
        total += seconds[arm.name] * len(arm.seeds)
    return Costs(seconds, total)


def _seconds(resolved: Resolved, trains: str, memo: DataMemo) -> float:
    """Training time of `trains`, and of the students that teach it and are trained with it."""
    chain = TrialChain(load_parts(memo.remembering(resolved)))
    shared = arm_name(1, "teacher")
    plans = [plan for plan in chain.plans if plan.name == trains or plan.name != shared]
    return sum(chain.try_arm(plan).seconds for plan in plans)
