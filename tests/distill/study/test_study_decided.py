"""What a study decides for its runs is refused in its layers of settings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study.definition import study_from
from densedistill.distill.study.plan import plan_study

PLAIN: dict[str, Any] = {
    "name": "tiny",
    "question": "?",
    "task": "tiny_cls",
    "control": "scratch",
    "arms": {"scratch": {"trains": "gen_02_scratch"}},
}


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        ({"base": {"preset": "paper"}}, "base.preset has no effect"),
        ({"base": {"seed": 3}}, "base.seed has no effect: they are the study's own fields `seeds`"),
        ({"base": {"only": ["gen_02"]}}, "base.only"),
        ({"base": {"controls": ["direct"]}}, "base.controls"),
        ({"base": {"plugins": ["x"]}}, "base.plugins"),
        ({"teacher": {"generations": 2}}, "teacher.generations"),
        ({"conditions": {"one": {"task": "edges"}}}, "conditions.one.task"),
        ({"arms": {**PLAIN["arms"], "kd": {"settings": {"seed": 1}}}}, "arms.kd.settings.seed"),
        ({"arms": {**PLAIN["arms"], "kd": {"teacher": {"seed": 1}}}}, "arms.kd.teacher.seed"),
        ({"arms": {**PLAIN["arms"], "kd": {"grid": {"seed": [1, 2]}}}}, "arms.kd.grid.seed"),
    ],
)
def test_what_would_be_overruled_is_refused(tiny: ModuleType, layer: dict[str, Any], where: str) -> None:
    with pytest.raises(RequestError) as caught:
        plan_study(study_from({**PLAIN, **layer}, "here"), tiny.tiny_spec("cls"))
    assert where in str(caught.value)


def test_every_such_field_is_named_at_once(tiny: ModuleType) -> None:
    with pytest.raises(RequestError, match=r"base\.seed .*teacher\.only "):
        plan_study(
            study_from({**PLAIN, "base": {"seed": 1}, "teacher": {"only": ["gen_01"]}}, "here"), tiny.tiny_spec("cls")
        )


def test_a_method_that_is_no_name_is_told(tiny: ModuleType) -> None:
    with pytest.raises(RequestError, match=r"unknown method of task tiny_cls '\['kd'\]'"):
        plan_study(study_from({**PLAIN, "base": {"method": ["kd"]}}, "here"), tiny.tiny_spec("cls"))
