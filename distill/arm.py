"""An arm: one network trained one way. A chain is a list of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from densedistill.distill.arm_names import Role, arm_name
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import NetworkSpec
from densedistill.distill.teacher import Teacher

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
    variant: int | None = None
    """Which of several students of one generation it is, from 0; None where there is one."""


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
    micro_batch: int | None = None
    """Most images in one forward pass; None: the whole batch."""
    adapter: Mapping[str, Any] | None = None
    """How the method changed the network, for whoever builds it again."""
    cycle: int | None = None
    """Views of each image, which are named and come again and again; None: every epoch has its own."""


def plan_arms(generations: int, controls: Sequence[Control], students: int = 0) -> tuple[ArmPlan, ...]:
    """The chain and its controls, teachers before their students.

    With `students`, that many networks learn side by side as generation 2, the last one.

    `scratch` adds the same student without a teacher to each generation from 2 on. `direct` adds, from 3 generations
    on, the last student taught by generation 1: the control for whether the generations between were worth it.
    """
    plans = [ArmPlan(name=arm_name(1, "teacher"), generation=1, role="teacher", teacher=None)]
    variants: Sequence[int | None] = range(students) if students else (None,)
    for generation in range(2, generations + 1):
        taught_by = arm_name(generation - 1, "teacher")
        roles: list[tuple[Role, str | None]] = [("student", taught_by)]
        if "scratch" in controls:
            roles.append(("scratch", None))
        plans += [
            ArmPlan(
                name=arm_name(generation, role, variant),
                generation=generation,
                role=role,
                teacher=teacher,
                variant=variant,
            )
            for role, teacher in roles
            for variant in variants
        ]
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


def chosen(plans: Sequence[ArmPlan], only: Sequence[str] | None) -> tuple[ArmPlan, ...]:
    """Those of `plans` that `only` names, with the arms that teach them; None: all of them."""
    by_name = {plan.name: plan for plan in plans}
    wanted: set[str] = set()
    for name in by_name if only is None else only:
        taught: str | None = name
        while taught is not None:
            wanted.add(taught)
            taught = by_name[taught].teacher
    return tuple(plan for plan in plans if plan.name in wanted)


def lessons(plans: Sequence[ArmPlan]) -> tuple[tuple[ArmPlan, ...], ...]:
    """Arms that train together, in order: several students of one teacher, and every other arm by itself."""
    grouped: list[list[ArmPlan]] = []
    for plan in plans:
        together = plan.role == "student" and plan.variant is not None
        if together and grouped and grouped[-1][0].role == "student" and grouped[-1][0].teacher == plan.teacher:
            grouped[-1].append(plan)
        else:
            grouped.append([plan])
    return tuple(tuple(group) for group in grouped)
