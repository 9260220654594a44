"""An arm: one network trained one way. A chain is a list of arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from densedistill.distill.objective import LossTerm
from densedistill.distill.recipe import Recipe
from densedistill.distill.spec import NetworkSpec
from densedistill.distill.teacher import Teacher

Role = Literal["teacher", "student", "scratch", "direct"]
Control = Literal["scratch", "direct"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmPlan:
    """An arm before its networks exist."""

    name: str
    generation: int
    """From 1; also which network of the chain it trains."""
    role: Role
    teacher: str | None
    """Name of the arm that teaches it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """An arm ready to train."""

    plan: ArmPlan
    spec: NetworkSpec
    network: nn.Module
    terms: Sequence[LossTerm]
    """Already without teacher terms where the arm has no teacher."""
    teacher: Teacher | None
    recipe: Recipe
    seed: int
    """Data order, augmentation and dropout follow from it; arms of one generation share it."""


def arm_name(generation: int, role: Role) -> str:
    """`gen_02`, `gen_02_scratch`, `gen_03_direct`."""
    suffix = f"_{role}" if role in ("scratch", "direct") else ""
    return f"gen_{generation:02d}{suffix}"


def plan_arms(generations: int, controls: Sequence[Control]) -> tuple[ArmPlan, ...]:
    """The chain and its controls, teachers before their students.

    `scratch` adds the same student without a teacher to each generation from 2 on. `direct` adds, from 3 generations
    on, the last student taught by generation 1: the control for whether the generations between were worth it.
    """
    plans = [ArmPlan(name=arm_name(1, "teacher"), generation=1, role="teacher", teacher=None)]
    for generation in range(2, generations + 1):
        taught_by = arm_name(generation - 1, "teacher")
        plans.append(
            ArmPlan(name=arm_name(generation, "student"), generation=generation, role="student", teacher=taught_by)
        )
        if "scratch" in controls:
            plans.append(
                ArmPlan(name=arm_name(generation, "scratch"), generation=generation, role="scratch", teacher=None)
            )
    if "direct" in controls and generations >= 3:
        plans.append(
            ArmPlan(
                name=arm_name(generations, "direct"),
                generation=generations,
                role="direct",
                teacher=arm_name(1, "teacher"),
            )
        )
    return tuple(plans)
