"""The arms of a run as the doctor takes them: those that are finished with their weights, the others fresh."""

from __future__ import annotations

import dataclasses

from torch import nn

from densedistill.distill.arm import ArmPlan
from densedistill.distill.arm_names import arm_name
from densedistill.distill.doctor.plain import without_alpha
from densedistill.distill.dry_run import TrialChain, first_of_each
from densedistill.distill.run_dir import ArmDir, RunDir
from densedistill.distill.student import rebuild


class DoctorChain(TrialChain):
    """Arms as they will be trained. A teacher that is finished has its weights, any other one fresh ones."""

    def finished(self, arm: str) -> ArmDir | None:
        """The folder of `arm` where it is done, in this run or in the one its teacher is taken from."""
        mine, source = self.run_dir.arm(arm), self.resolved.config.teacher_run
        if mine.done:
            return mine
        theirs = None if source is None or arm != arm_name(1, "teacher") else RunDir(source).arm(arm)
        return theirs if theirs is not None and theirs.done else None

    def network_of(self, arm: str) -> nn.Module:
        """The network of `arm`, in evaluation mode."""
        folder = self.finished(arm)
        if folder is None:
            return super().network_of(arm)
        return self.placed(rebuild(folder, self.networks))

    def is_known(self, plan: ArmPlan) -> bool:
        """Whether `plan`'s network has the weights that will teach."""
        given = plan.generation == 1 and self.resolved.config.teacher_weights is not None
        return given or self.finished(plan.name) is not None

    def with_alpha_zero(self) -> DoctorChain:
        """The same chain for the request at `method.alpha` 0."""
        parts = dataclasses.replace(self.parts.silent(), resolved=without_alpha(self.resolved))
        return DoctorChain(parts, lean=self.lean)

    @property
    def to_train(self) -> list[ArmPlan]:
        """The first arm of each network that is still to be trained."""
        return [plan for plan in first_of_each(self.plans) if not self.is_known(plan)]
