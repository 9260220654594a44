"""What a claim implies of arms: patterns, and entries that fit nothing or disagree."""

from __future__ import annotations

import re
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study import ArmDefinition, Claim, Contrast, StudyDefinition
from densedistill.distill.study.arms import study_arms
from densedistill.distill.study.expectations import expected_of


def study(expects: dict[str, Any]) -> StudyDefinition:
    return StudyDefinition(
        name="s",
        question="?",
        task="cls",
        control="scratch",
        claim=Claim(text="KD gains.", source="reference 000", expects=expects),
        conditions={"weak": {}, "strong": {}},
        arms={
            "scratch": ArmDefinition(trains="gen_02_scratch"),
            "kd": ArmDefinition(),
            "dkd": ArmDefinition(grid={"method.temperature": (1, 4)}),
        },
    )


def expected(expects: dict[str, Any]) -> dict[str, str]:
    definition = study(expects)
    return dict(expected_of(definition, study_arms(definition)))


def test_names_and_patterns() -> None:
    assert expected({"weak-kd": "better", "*-dkd-temperature-4": "worse"}) == {
        "weak-kd": "better",
        "weak-dkd-temperature-4": "worse",
        "strong-dkd-temperature-4": "worse",
    }


def test_a_star_leaves_controls_out() -> None:
    assert "weak-scratch" not in expected({"*": "better"})
    assert len(expected({"*": "better"})) == 6


def test_a_contrast_is_expected_by_its_own_name_alone() -> None:
    contrast = {"gains": Contrast(of="strong-kd", minus="weak-kd")}
    definition = study({"gains": "worse"}).model_copy(update={"contrasts": contrast})
    assert expected_of(definition, study_arms(definition)) == {"gains": "worse"}
    definition = study({"*": "better"}).model_copy(update={"contrasts": contrast})
    assert "gains" not in expected_of(definition, study_arms(definition))


def test_no_claim_expects_nothing() -> None:
    definition = study({}).model_copy(update={"claim": None})
    assert expected_of(definition, study_arms(definition)) == {}


@pytest.mark.parametrize(
    ("expects", "message"),
    [
        ({"weak-scratch": "worse"}, "fits no arm that is compared with another and no contrast: give one of weak-kd"),
        ({"kd": "better"}, "'kd', which fits no arm"),
        ({"*-kd": "better", "strong-*": "worse"}, "of 'strong-kd' that it is better and that it is worse"),
    ],
)
def test_entries_that_cannot_be_meant(expects: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        expected(expects)


def test_no_other_word_than_better_and_worse() -> None:
    with pytest.raises(ValueError, match="better"):
        study({"*": "equal"})
