"""The whole examination: of a request when the doctor is asked, and in brief before every long run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch import Tensor

from densedistill.distill.arm import ArmPlan
from densedistill.distill.arm_names import arm_name
from densedistill.distill.doctor.bench import BENCH_IMAGES, Bench, on_bench
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.classes import check_classes
from densedistill.distill.doctor.direction import check_direction
from densedistill.distill.doctor.duplicates import check_duplicates
from densedistill.distill.doctor.finding import Diagnosis, Finding
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.doctor.plain import check_alpha_zero
from densedistill.distill.doctor.planned import Cost, check_memory, check_time, planned_images, seconds_per_image
from densedistill.distill.doctor.reload import check_reload
from densedistill.distill.doctor.steps import (
    check_gradients,
    check_left_out,
    check_projectors,
    check_taps,
    check_teacher_frozen,
    check_teacher_unchanged,
    teacher_state,
)
from densedistill.distill.doctor.teacher import Examined, check_teacher
from densedistill.distill.errors import RunFailedError
from densedistill.distill.run_parts import RunParts

LONG_RUN_SECONDS = 900.0
"""Planned training time from which a run is examined without being asked."""
SHARE, MOST_SECONDS = 0.02, 60.0
"""Of the planned time, what the examination before a run may take, and what it may take at most: however long a run is,
a minute of waiting is much for someone who has just started it."""
FEWEST_IMAGES, FEWEST_EMBEDDED = 2000, 200_000
"""A run that trains on fewer is not even timed; embedded data are there for runs of minutes, which a few seconds of
timing would delay."""
ARMS_SHARE = 0.5
"""Of the time that is left, what one arm's checks may take."""
BATCHES_OF_AN_ARM = 10
"""About as many forward and backward passes as the checks of one arm take."""
FEWEST_IN_A_BATCH = 2
"""Images that batch-norm needs, and that tell whether features depend on the image."""
TEACHER_IMAGES = 256
"""Most validation images for the teacher in the examination before a run."""


def examine(chain: DoctorChain, limits: Limits | None = None, costs: Mapping[str, Cost] | None = None) -> Diagnosis:
    """Every check, as far as `limits` allow.

    Args:
        chain: the run.
        limits: None: there are none.
        costs: by arm, what its training costs, where that is known. None: a trial of every arm with whole batches
            tells time and memory.

    Raises:
        RequestError, or what the source of networks raises: the run cannot even be built.
    """
    bounds, started = limits or Limits(), time.monotonic()
    found: list[Finding] = []
    for plan in chain.to_train:
        images = BENCH_IMAGES if costs is None else _affordable(costs[plan.name], bounds)
        found += check_arm(chain, plan, images) if images else _too_dear("steps", plan.name)
    # The cheapest and most telling first: the last ones are left out where the time is up.
    found += check_classes(chain.data, bounds) if bounds.left > 0 else _too_dear("class counts", chain.data.name)
    found += check_teachers(chain, bounds)
    found += check_duplicates(chain.data, bounds) if bounds.left > 0 else _too_dear("duplicates", chain.data.name)
    if costs is None:
        trials = [chain.try_arm(plan) for plan in chain.plans if not chain.is_known(plan)]
        found.append(check_time({trial.arm: trial.seconds for trial in trials}))
        found += check_memory(trials, in_parts=chain.resolved.config.speed.micro_batch is not None)
    else:
        found.append(check_time({arm: cost.seconds for arm, cost in costs.items()}))
    return Diagnosis(findings=tuple(found), seconds=time.monotonic() - started)


def check_arm(chain: DoctorChain, plan: ArmPlan, images: int = BENCH_IMAGES) -> list[Finding]:
    """What a few steps of `plan`'s arm show, with `images` in a batch."""
    arm = chain.assemble(plan).arm
    before = {} if arm.teacher is None else teacher_state(arm)
    found = [] if arm.teacher is None else [check_teacher_frozen(arm)]
    with on_bench(chain, arm, images) as bench:
        found += look_at_steps(bench, before)
        batch = bench.batch
    channels_last = chain.resolved.config.speed.channels_last
    found.append(check_reload(arm, chain.arguments_of(plan), chain.networks, batch, channels_last=channels_last))
    if arm.teacher is not None:
        plain = chain.with_alpha_zero()
        found.append(check_alpha_zero(plain, plain.assemble(plan, arm.teacher).arm, images))
    return found


def look_at_steps(bench: Bench, teacher_before: Mapping[str, Tensor]) -> list[Finding]:
    """The checks of one batch on the bench; `teacher_before` is the teacher's state before any of it."""
    outputs = bench.outputs()
    taps = check_taps(bench, outputs)
    found = [] if taps is None else [taps]
    losses = bench.losses(outputs)
    found += check_gradients(bench, losses)
    found += check_left_out(bench, losses)
    if outputs.teacher is not None:
        found += check_direction(bench.arm.plan.name, bench.training.objective.terms, outputs)
    found += check_projectors(bench)
    if bench.arm.teacher is not None:
        found.append(check_teacher_unchanged(bench, teacher_before))
    return found


def check_teachers(chain: DoctorChain, limits: Limits) -> list[Finding]:
    """Each arm that teaches, where its weights are there."""
    found = []
    teaching = {plan.teacher for plan in chain.plans}
    for plan in (plan for plan in chain.plans if plan.name in teaching):
        if not chain.is_known(plan):
            text = "this run trains it: there is nothing to measure yet, and the checks of steps used fresh weights"
            found.append(Finding(check="teacher's figure", subject=plan.name, status="skip", text=text))
            continue
        if limits.left <= 0:
            found += _too_dear("teacher's figure", plan.name)
            continue
        teacher = Examined(
            arm=plan.name,
            network=chain.teacher(plan.name).network,
            spec=chain.resolved.spec,
            data=chain.data_for(plan),
            options=chain.resolved.options,
            device=chain.runtime.device,
        )
        found += check_teacher(teacher, _alone(chain, plan), chain.placed(chain.fresh(plan, "none").module), limits)
    return found


def before_run(parts: RunParts, say: Callable[[str], None], *, always: bool = False) -> Diagnosis | None:
    """The examination before a run: brief, and only of a long one; None where it was not worth while.

    A few steps of each network tell how long the run will be. From a quarter of an hour on it is examined, for about
    2 % of that time and a minute at most: what no longer fits is skipped, and said to be. `always`: however short it
    is, and without a bound.

    Raises:
        RunFailedError: a check failed; the message says what to do, and how to train all the same.
    """
    if parts.runtime.processes > 1:
        say("the doctor looks at runs of one process: ask tools/doctor.py before a run of several")
        return None
    started = time.monotonic()
    doctor = DoctorChain(parts.silent(), lean=True)
    fewest = FEWEST_EMBEDDED if parts.data.embedded else FEWEST_IMAGES
    if not always and sum(planned_images(doctor, plan) for plan in doctor.to_train) < fewest:
        return None
    costs = {
        plan.name: Cost(seconds_per_image(doctor, doctor.assemble(plan).arm), planned_images(doctor, plan))
        for plan in doctor.to_train
    }
    planned = sum(cost.seconds for cost in costs.values())
    if not always and planned < LONG_RUN_SECONDS:
        return None
    bound = None if always else started + min(SHARE * planned, MOST_SECONDS)
    diagnosis = examine(doctor, Limits(until=bound, teacher_images=TEACHER_IMAGES), costs)
    for finding in diagnosis.of("warn"):
        say(f"doctor: {finding.check} ({finding.subject}): {finding.text}. {finding.remedy}")
    if diagnosis.of("fail"):
        raise RunFailedError(
            f"the doctor found a fault before the run: {diagnosis.failures()}. Nothing was trained; add --no-doctor "
            "to train all the same."
        )
    return diagnosis


def _affordable(cost: Cost, bounds: Limits) -> int:
    """Images in a batch for the checks of an arm; 0 where two are too many."""
    fitting = ARMS_SHARE * bounds.left / max(cost.per_image * BATCHES_OF_AN_ARM, 1e-9)
    return int(min(fitting, BENCH_IMAGES)) if fitting >= FEWEST_IN_A_BATCH else 0


def _too_dear(check: str, subject: str) -> list[Finding]:
    text = "there was no time for it before this run: ask tools/doctor.py"
    return [Finding(check=check, subject=subject, status="skip", text=text)]


def _alone(chain: DoctorChain, teacher: ArmPlan) -> dict[str, float]:
    """What the students of `teacher` reached on validation without it, where that arm is done."""
    students = [plan for plan in chain.plans if plan.teacher == teacher.name]
    names = {arm_name(plan.generation, "scratch", plan.variant) for plan in students}
    done = [chain.run_dir.arm(name) for name in sorted(names) if chain.run_dir.arm(name).done]
    return {folder.path.name: float(folder.record("val")["val"]) for folder in done}
