"""Names of arms are written and read by one rule."""

from __future__ import annotations

import pytest

from densedistill.distill.arm import plan_arms
from densedistill.distill.arm_names import ArmName, arm_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("gen_01", ArmName(generation=1, kind="teacher")),
        ("gen_02", ArmName(generation=2, kind="student")),
        ("gen_02_scratch", ArmName(generation=2, kind="scratch")),
        ("gen_03_direct", ArmName(generation=3, kind="direct")),
        ("gen_02_b", ArmName(generation=2, kind="student", member="b")),
        ("gen_02_b_scratch", ArmName(generation=2, kind="scratch", member="b")),
    ],
)
def test_a_name_says_what_it_was_made_of(name: str, parts: ArmName) -> None:
    assert ArmName.parse(name) == parts
    assert str(parts) == name


@pytest.mark.parametrize("students", [0, 3])
def test_the_arms_of_a_chain_are_read_as_they_were_planned(students: int) -> None:
    generations = 2 if students else 4
    for plan in plan_arms(generations, ("scratch", "direct"), students):
        read = ArmName.parse(plan.name)
        assert (read.generation, read.kind) == (plan.generation, plan.role)
        assert arm_name(plan.generation, plan.role, plan.variant) == str(read) == plan.name


def test_the_member_may_stand_last() -> None:
    assert str(ArmName.parse("gen_02_scratch_a")) == "gen_02_a_scratch"


@pytest.mark.parametrize(("name", "generation"), [("bicubic", 0), ("gen_x", 0), ("", 0), ("gen_02_other", 2)])
def test_what_is_no_arm_of_a_chain_is_read_all_the_same(name: str, generation: int) -> None:
    assert (ArmName.parse(name).kind, ArmName.parse(name).generation) == ("other", generation)
