"""What a run will take: its time, as a few steps tell, and its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densedistill.distill import wording
from densedistill.distill.arm import Arm, ArmPlan
from densedistill.distill.assembly import Assembler
from densedistill.distill.doctor.bench import on_bench
from densedistill.distill.doctor.finding import Finding, Status
from densedistill.distill.dry_run import Trial
from densedistill.distill.lessons.plan import steps_per_epoch
from densedistill.distill.machine.memory import PROBE_IMAGES
from densedistill.distill.machine.runtime import synchronise
from densedistill.distill.probe import sample_batch

TIMED_PIXELS = 100_000
"""About as many pixels of input are timed: of small images a whole batch, since few only tell what any step costs."""
TIGHT = 0.8
"""Share of the free memory above which a run is warned of."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What training one network will cost, over all arms that train it."""

    per_image: float
    """Seconds."""
    images: int

    @property
    def seconds(self) -> float:
        """In all."""
        return self.per_image * self.images


def planned_images(chain: Assembler, plan: ArmPlan) -> int:
    """Training images that the arms of `plan`'s network will see, over all their epochs."""
    recipe = chain.resolved.config.recipe_of(plan.generation, pretrained=False)
    steps = steps_per_epoch(len(chain.data.train), recipe.views_per_epoch, recipe.batch_size)
    sharing = [other for other in chain.plans if (other.generation, other.variant) == (plan.generation, plan.variant)]
    left = [other for other in sharing if not chain.run_dir.arm(other.name).done]
    return recipe.epochs * steps * recipe.batch_size * len(left)


def seconds_per_image(chain: Assembler, arm: Arm) -> float:
    """A rough figure from two steps, the teacher's answer included; nothing is changed."""
    height, width = sample_batch(chain.data_for(arm.plan), 1, chain.runtime)["input"].shape[-2:]
    with on_bench(chain, arm, max(PROBE_IMAGES, TIMED_PIXELS // (height * width))) as bench:
        count = len(bench.batch["input"])
        teaching = 0.0
        if arm.teacher is not None and bench.taught is not None:
            synchronise(chain.runtime.device)  # it may still be at work on what came before
            started = time.perf_counter()
            arm.teacher(bench.batch)
            synchronise(chain.runtime.device)
            teaching = time.perf_counter() - started
        bench.training.begin_epoch()
        return (bench.training.gradient_seconds(bench.batch, bench.taught, repeats=2) + teaching) / count


def check_time(seconds: Mapping[str, float]) -> Finding:
    """The run's time from what its arms take, in seconds by arm."""
    each = ", ".join(f"{arm} {wording.duration(value)}" for arm, value in seconds.items())
    return Finding(
        check="time planned",
        subject="the run",
        status="pass",
        text=f"about {wording.duration(sum(seconds.values()))} of training, evaluation aside ({each})",
        figures={"seconds": sum(seconds.values()), "arms": dict(seconds)},
    )


def check_memory(trials: Sequence[Trial], *, in_parts: bool) -> list[Finding]:
    """A finding for each arm; `in_parts`: the configuration lets a batch be taken in parts that fit."""
    found = []
    for trial in trials:
        share = trial.memory_bytes / max(trial.free_bytes, 1)
        status: Status = "pass" if share <= TIGHT else "warn" if share <= 1 or in_parts else "fail"
        needed = wording.gibibytes(trial.memory_bytes, digits=2)
        found.append(
            Finding(
                check="memory planned",
                subject=trial.arm,
                status=status,
                text=f"{needed} estimated for a step, {wording.gibibytes(trial.free_bytes)} free",
                remedy="" if status == "pass" else "give a smaller --batch-size, or --set speed.micro_batch=auto",
                figures={"bytes": trial.memory_bytes, "free": trial.free_bytes},
            )
        )
    return found
