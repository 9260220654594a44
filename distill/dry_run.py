"""Trying a run before it starts: every arm built, one step taken, its memory and time estimated."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from densedistill.distill.arm import Arm, ArmPlan
from densedistill.distill.cache.assembler import CachingAssembler
from densedistill.distill.cache.files import require_space
from densedistill.distill.fast.depthwise import rewrite_depthwise
from densedistill.distill.fast.int8 import require_possible
from densedistill.distill.lessons.plan import steps_per_epoch
from densedistill.distill.lessons.schedule import make_optimizer
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.machine.memory import PROBE_IMAGES, available_bytes
from densedistill.distill.method_context import look
from densedistill.distill.networks import Pretrained
from densedistill.distill.objective import Objective
from densedistill.distill.probe import estimate_memory, sample_batch
from densedistill.distill.run_parts import RunParts


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one arm would take."""

    arm: str
    network: str
    init: str
    params: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    losses: dict[str, float]
    epochs: int
    steps: int
    seconds_per_step: float
    memory_bytes: int
    """Estimated for a step at the recipe's batch size."""
    free_bytes: int

    @property
    def seconds(self) -> float:
        """Estimated training time, evaluation aside."""
        return self.steps * self.seconds_per_step


class TrialChain(CachingAssembler):
    """Arms whose teachers are fresh networks: nothing has been trained yet."""

    def __init__(self, parts: RunParts, *, lean: bool = False) -> None:
        """Try the run that `parts` make up.

        Args:
            parts: of the run.
            lean: build networks without providers' weights that are only nice to have. What a method cannot do without
                is fetched all the same: without it nothing could be tried.
        """
        super().__init__(parts)
        self.lean = lean
        self._taught_by: Mapping[str, nn.Module] = {}
        """Networks of arms that were just checked: they stand in for teachers, which take seconds to build."""

    def policy_for(self, plan: ArmPlan) -> Pretrained:
        """On providers' weights for `plan`'s network."""
        asked = super().policy_for(plan)
        return "none" if self.lean and asked == "auto" else asked

    def network_of(self, arm: str) -> nn.Module:
        """The network that `arm` would train, in evaluation mode."""
        if arm in self._taught_by:
            return self._taught_by[arm].eval()
        network, _init, _trained = self._network(self._plan(arm))
        return network.to(self.runtime.device).eval()

    def check(self) -> Mapping[str, int | None]:
        """Build an arm of each generation that is still to be trained, and see that the first one's batch fits.

        Later batches are judged when their arms begin: a probe takes seconds, and the teacher is the largest network.

        Returns:
            By arm, what `micro_batch` found, for those whose memory was probed.

        Raises:
            RequestError, or what the source of networks raises: a name, weights file, tap, weight of a loss or batch
                size is wrong. Found here, nothing is trained in vain and nothing is written.
        """
        probed: dict[str, int | None] = {}
        for plan in first_of_each(self.plans):
            if not self._done(plan):
                assembled = self.assemble(plan)
                if plan.variant is None:
                    self._taught_by = {plan.name: assembled.arm.network}
                if assembled.trained:
                    Objective(assembled.arm.terms)
                    if not probed:
                        probed[plan.name] = self.micro_batch([assembled.arm])
                    self._check_teaching(assembled.arm)
        return probed

    def _done(self, plan: ArmPlan) -> bool:
        """Whether there is nothing to train for `plan`: its arm is done, or another run has done it."""
        return self.run_dir.arm(plan.name).done or (
            plan.role == "teacher" and self.resolved.config.teacher_run is not None
        )

    def _check_teaching(self, arm: Arm) -> None:
        """See that the teacher can answer in the way that was asked for."""
        if arm.teacher is None:
            return
        if self.resolved.config.speed.int8_teacher:
            require_possible(self.runtime.device, arm.teacher.taps)
        if arm.cycle is not None:
            cache = self.cache_plan(arm.teacher, arm.cycle)
            require_space(self.cache_folder(arm.teacher.name, arm.plan.generation), {}, cache)

    def try_arm(self, plan: ArmPlan) -> Trial:
        """Build `plan`'s arm and take two steps; the second one is timed."""
        assembled = self.assemble(plan)
        arm, speed = assembled.arm, self.resolved.config.speed
        data = self.data_for(plan)
        batch = sample_batch(data, arm.recipe.batch_size, self.runtime)
        if arm.teacher is not None:
            self.prepare(arm.teacher, arm.recipe.batch_size, self.log.message)
        if speed.rewrite_depthwise:
            rewrite_depthwise(arm.network)
        estimate = estimate_memory(arm, sample_batch(data, PROBE_IMAGES, self.runtime), self.runtime)
        output = look(arm.network, batch["input"][:2], (), ()).output
        objective = Objective(arm.terms)
        step = DistillationStep(arm.network, arm.spec.taps if arm.teacher else (), objective).to(self.runtime.device)
        optimizer = make_optimizer(arm.recipe, step.parameters(), fused=speed.fused_optimizer)
        step.train()
        seconds, losses = 0.0, {}
        for _ in range(2):
            started = time.perf_counter()
            taught = arm.teacher(batch) if arm.teacher is not None and objective.needs_teacher else None
            with self.runtime.autocast():
                terms: dict[str, torch.Tensor] = step(batch, taught)
            terms["total"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            losses = {name: float(value.detach()) for name, value in terms.items()}
            seconds = time.perf_counter() - started
        per_epoch = steps_per_epoch(len(self.data.train), arm.recipe.views_per_epoch, arm.recipe.batch_size)
        return Trial(
            arm=plan.name,
            network=arm.spec.name,
            init=assembled.init,
            params=sum(value.numel() for value in arm.network.parameters()),
            input=tuple(batch["input"].shape),
            output=(len(batch["input"]), *output[1:]),
            losses=losses,
            epochs=arm.recipe.epochs if assembled.trained else 0,
            steps=arm.recipe.epochs * per_epoch if assembled.trained else 0,
            seconds_per_step=seconds,
            memory_bytes=estimate.total(arm.recipe.batch_size),
            free_bytes=available_bytes(self.runtime.device),
        )


def first_of_each(plans: Sequence[ArmPlan]) -> list[ArmPlan]:
    """The first arm of each network: those after it differ in what teaches them alone."""
    first: dict[tuple[int, int | None], ArmPlan] = {}
    for plan in plans:
        first.setdefault((plan.generation, plan.variant), plan)
    return list(first.values())


def preflight(parts: RunParts) -> Mapping[str, int | None]:
    """`TrialChain.check`, without a word and without fetching networks' weights that are only nice to have."""
    return TrialChain(parts.silent(), lean=True).check()
