"""From a definition to arms: conditions × arms × grids, who is compared with whom, and whose teacher is whose."""

from __future__ import annotations

from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study.arms import StudyArm, axes_of, study_arms
from densedistill.distill.study.definition import study_from

SCRATCH = {"trains": "gen_02_scratch"}


def arms_of(arms: dict[str, Any], **fields: Any) -> dict[str, StudyArm]:
    plain = {"name": "s", "question": "?", "task": "cls", "control": "scratch", "arms": arms, **fields}
    return {arm.name: arm for arm in study_arms(study_from(plain, "here"))}


def test_a_grid_is_the_cross_product() -> None:
    found = arms_of(
        {"scratch": SCRATCH, "kd": {"grid": {"method.temperature": [1, 4, 20], "method.alpha": [0.1, 0.5]}}}
    )
    assert len(found) == 1 + 3 * 2
    arm = found["kd-temperature-4-alpha-0.5"]
    assert arm.settings == arm.axes == {"method.temperature": 4, "method.alpha": 0.5}
    assert arm.label == "kd, temperature 4, alpha 0.5"
    assert arm.against == "scratch"
    assert axes_of(tuple(found.values())) == {"method.temperature": [1, 4, 20], "method.alpha": [0.1, 0.5]}


def test_conditions_multiply_every_arm_and_hold_comparisons_within() -> None:
    found = arms_of(
        {"kd": {}, "scratch": SCRATCH, "late": {"against": "kd", "settings": {"recipe.epochs": 9}}},
        conditions={"weak": {"recipe.epochs": 1}, "strong": {"recipe.epochs": 2}},
    )
    assert list(found) == [f"{c}-{a}" for c in ("weak", "strong") for a in ("kd", "scratch", "late")]
    assert found["strong-kd"].against == "strong-scratch"
    assert found["strong-late"].against == "strong-kd"
    assert found["weak-scratch"].against is None
    assert found["weak-kd"].settings == {"recipe.epochs": 1}
    assert found["weak-late"].settings == {"recipe.epochs": 1}, "circumstances are the same for all"
    assert [arm.role for arm in found.values()] == ["control", "control", "method"] * 2


def test_a_second_student_alone_is_compared_with_nothing() -> None:
    found = arms_of(
        {"scratch": SCRATCH, "other": SCRATCH, "kd": {"against": "other"}, "asked": {**SCRATCH, "against": "other"}}
    )
    assert {name: arm.against for name, arm in found.items()} == {
        "scratch": None,
        "other": None,
        "kd": "other",
        "asked": "other",
    }


def test_controls_run_first() -> None:
    assert list(arms_of({"kd": {}, "scratch": SCRATCH})) == ["scratch", "kd"]


def test_only_what_describes_a_teacher_reaches_it() -> None:
    arm = {
        "settings": {
            "method.alpha": 0.3,
            "recipe.epochs": 9,
            "generation_recipes.1": {"epochs": 4},
            "teacher": "big",
            "data.teacher_size": 64,
            "networks.1.arguments.width": 8,
        },
        "teacher": {"recipe.learning_rate": 0.1},
    }
    fields = {"base": {"student": "small", "batch_size": 32}, "teacher": {"recipe.epochs": 7}}
    found = arms_of({"scratch": SCRATCH, "kd": arm}, **fields)["kd"]
    assert found.teacher == {
        "student": "small",
        "recipe.batch_size": 32,
        "generation_recipes.1": {"epochs": 4},
        "teacher": "big",
        "data.teacher_size": 64,
        "recipe.epochs": 7,
        "recipe.learning_rate": 0.1,
    }


def test_a_search_is_points_with_one_seed_and_the_best_with_all() -> None:
    search = {"points": 3, "fields": {"method.alpha": {"low": 0.1, "high": 0.9}}}
    found = arms_of({"scratch": SCRATCH, "kd": {"search": search}}, seeds=[5, 6])
    points = [name for name in found if "point" in name]
    assert points == [f"kd-point-{place:02d}" for place in range(3)]
    assert all(found[name].seeds == (5,) and found[name].role == "search" for name in points)
    best = found["kd-best"]
    assert (best.seeds, best.points, best.role, best.search) == ((5, 6), tuple(points), "method", None)


def test_names_that_meet_are_refused() -> None:
    with pytest.raises(RequestError, match="several arms named kd-alpha-1"):
        arms_of({"scratch": SCRATCH, "kd": {"grid": {"method.alpha": [1]}}, "kd-alpha-1": {}})


def test_which_arms_have_a_teacher() -> None:
    found = arms_of({"scratch": SCRATCH, "kd": {}, "long": {"trains": "gen_03_direct"}, "first": {"trains": "gen_01"}})
    assert {name: (arm.taught, arm.generation) for name, arm in found.items()} == {
        "scratch": (False, 2),
        "kd": (True, 2),
        "long": (True, 3),
        "first": (False, 1),
    }
