"""Roles of arms."""

from __future__ import annotations

from densedistill.distill.report import words


def test_roles_of_a_pair() -> None:
    assert words.roles(["gen_01", "gen_02", "gen_02_scratch"]) == {
        "gen_01": "teacher",
        "gen_02": "student (distilled)",
        "gen_02_scratch": "student (scratch)",
    }


def test_roles_of_a_chain_number_its_generations() -> None:
    named = words.roles(["gen_01", "gen_02", "gen_03", "gen_03_scratch", "gen_03_direct"])
    assert list(named.values()) == [
        "teacher",
        "generation 2 (distilled)",
        "generation 3 (distilled)",
        "generation 3 (scratch)",
        "generation 3 (direct)",
    ]


def test_roles_of_several_students_are_distinct() -> None:
    named = words.roles(["gen_01", "gen_02_a", "gen_02_b", "gen_02_a_scratch", "gen_02_scratch_b"])
    assert named["gen_02_a"] == "student A (distilled)"
    assert named["gen_02_b"] == "student B (distilled)"
    assert named["gen_02_a_scratch"] == "student A (scratch)"
    assert named["gen_02_scratch_b"] == "student B (scratch)"


def test_columns_that_are_no_arms_keep_their_name() -> None:
    assert words.roles(["gen_01"], ["input", "bicubic", "gen_01"]) == {
        "input": "input",
        "bicubic": "bicubic",
        "gen_01": "teacher",
    }
