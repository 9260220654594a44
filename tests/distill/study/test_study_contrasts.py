"""Which arms a contrast is of, and what is said of one that cannot be meant."""

from __future__ import annotations

import re
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study import StudyDefinition
from densedistill.distill.study.arms import study_arms
from densedistill.distill.study.contrasts import StudyContrast, contrasts_of
from densedistill.distill.study.definition import study_from

PLAIN: dict[str, Any] = {
    "name": "s",
    "question": "?",
    "task": "cls",
    "control": "scratch",
    "conditions": {"weak": {}, "strong": {}},
    "arms": {
        "scratch": {"label": "no teacher", "trains": "gen_02_scratch"},
        "kd": {"label": "KD"},
        "dkd": {"label": "DKD", "against": "kd"},
        "found": {"search": {"points": 2, "fields": {"method.alpha": {"low": 0.1, "high": 0.9}}}},
    },
}


def worked_out(**contrasts: Any) -> tuple[StudyContrast, ...]:
    definition: StudyDefinition = study_from({**PLAIN, "contrasts": contrasts}, "here")
    return contrasts_of(definition, study_arms(definition))


def test_an_arm_stands_for_its_gain_over_what_it_is_compared_with() -> None:
    [found] = worked_out(harm={"of": "strong-dkd", "minus": "weak-dkd"})
    assert (found.of, found.minus) == (("strong-dkd", "strong-kd"), ("weak-dkd", "weak-kd"))
    assert found.label == "DKD (strong) \N{MINUS SIGN} KD (strong)"


def test_two_arms_are_their_difference() -> None:
    [found] = worked_out(
        harm={"label": "by augmentation", "of": ["strong-scratch", "weak-scratch"], "minus": "strong-kd"}
    )
    assert (found.of, found.minus) == (("strong-scratch", "weak-scratch"), ("strong-kd", "strong-scratch"))
    assert found.label == "by augmentation"


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        ({"of": "strong-dkt", "minus": "weak-dkd"}, "unknown arm 'strong-dkt'. Did you mean 'strong-dkd'?"),
        ({"of": "strong-dkd", "minus": ["weak-dkd", "scratch"]}, "unknown arm 'scratch'"),
        ({"of": "strong-scratch", "minus": "weak-dkd"}, "strong-scratch is compared with nothing"),
        ({"of": "strong-dkd", "minus": ["weak-kd", "weak-kd"]}, "weak-kd minus itself is nothing"),
        ({"of": "weak-kd", "minus": ["weak-kd", "weak-scratch"]}, "both of its differences are weak-kd minus weak-sc"),
        ({"of": "weak-found-point-00", "minus": "weak-dkd"}, "unknown arm 'weak-found-point-00'"),
    ],
)
def test_what_cannot_be_meant(contrast: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)) as caught:
        worked_out(gain=contrast)
    assert str(caught.value).startswith("study 's': contrast 'gain': ")


def test_a_contrast_has_no_arm_s_name_and_all_faults_are_in_one_message() -> None:
    fine = {"of": "strong-dkd", "minus": "weak-dkd"}
    with pytest.raises(RequestError, match=r"'weak-kd': an arm has this name too.*'b': unknown arm 'x'"):
        worked_out(**{"weak-kd": fine}, b={"of": "x", "minus": "weak-kd"})


def test_a_contrast_needs_both_its_differences() -> None:
    with pytest.raises(RequestError, match=r"contrasts\.gain\.minus"):
        worked_out(gain={"of": "strong-dkd"})
