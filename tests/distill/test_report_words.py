"""Roles of arms and the writing of figures."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (61.9, "%", "61.90 %"),
        (28.306, "dB", "28.31 dB"),
        (0.41234, "", "0.4123"),
        (-0.5, "dB", "−0.50 dB"),
        (None, "dB", "–"),
        (float("nan"), "", "nan"),
    ],
)
def test_figure_has_the_digits_of_its_unit(value: float | None, unit: str, written: str) -> None:
    assert words.figure(value, unit) == written


def test_figure_signed_and_bare() -> None:
    assert words.figure(0.03, signed=True) == "+0.0300"
    assert words.figure(28.3, "dB", bare=True) == "28.30"
    assert words.difference(1.2, "%") == "+1.20 points"


@pytest.mark.parametrize(
    ("count", "written"),
    [(929_628, "929.6 k"), (6_628_945, "6.63 M"), (24_436_369, "24.4 M"), (940, "940"), (None, "–")],
)
def test_parameters(count: int | None, written: str) -> None:
    assert words.parameters(count) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(3.44, "3.4 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7629, "2 h 07 min"), (None, "–")],
)
def test_duration(seconds: float | None, written: str) -> None:
    assert words.duration(seconds) == written


def test_shares_and_memory() -> None:
    assert words.share(0.397) == "39.7 %"
    assert words.share(-0.273) == "−27.3 %"
    assert words.memory(512.4) == "512 MB"
    assert words.memory(5210.0) == "5.2 GB"
