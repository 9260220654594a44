"""What a study file may hold, and what is said of one that is wrong."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from densedistill.distill.errors import RequestError
from densedistill.distill.study import StudyDefinition, read_study
from densedistill.distill.study.definition import study_from
from densedistill.distill.study.folder import StudyDir

PLAIN: dict[str, Any] = {
    "name": "mine",
    "question": "Does it help?",
    "task": "cls",
    "control": "scratch",
    "arms": {"scratch": {"trains": "gen_02_scratch"}, "kd": {"grid": {"method.temperature": [1, 4]}}},
}


def faulty(**changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        study_from({**PLAIN, **changes}, "study file 'mine.yaml'")
    return str(caught.value)


def test_a_study_reads_back_as_it_was_written(tmp_path: Path) -> None:
    study = study_from({**PLAIN, "seeds": [3, 1], "base": {"recipe.epochs": 2}}, "here")
    for name, text in (("short.yaml", study.yaml()), ("full.yaml", yaml.safe_dump(study.plain()))):
        (tmp_path / name).write_text(text)
        assert read_study(tmp_path / name) == study


def test_every_fault_is_in_one_message() -> None:
    said = faulty(sedes=[0], retries=-1, seeds=[])
    assert "study file 'mine.yaml'" in said
    for part in ("unknown field 'sedes'", "Did you mean 'seeds'", "retries=-1", "seeds"):
        assert part in said.replace("field 'sedes'; name 'sedes'", "field 'sedes'")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": {**PLAIN["arms"], "kd": {"setings": {}}}}, ["arms.kd.setings"]),
        ({"arms": {**PLAIN["arms"], "kd": {"grid": {"method.alpha": []}}}}, ["grid of method.alpha is empty"]),
        ({"arms": {}}, ["arms"]),
        (
            {"arms": {"scratch": {}, "kd": {"search": {"points": 3, "fields": {"m.a": {"low": 0, "high": math.inf}}}}}},
            ["high", "must be a finite number"],
        ),
        ({"control": "none"}, ["control names the arm 'none'", "scratch, kd"]),
        ({"arms": {**PLAIN["arms"], "kd": {"against": "teacher"}}}, ["kd names the arm 'teacher'"]),
        ({"seeds": [1, 1]}, ["a seed twice"]),
        ({"condition_labels": {"weak": "Weak"}}, ["names 'weak', which is none of the conditions (none)"]),
        ({"arms": {**PLAIN["arms"], "Bad Name": {}}}, ["not Bad Name", "lower-case"]),
        *(
            ({"arms": {**PLAIN["arms"], "kd": {"trains": name}}}, ["arms.kd.trains", f"'{name}' is no arm of a chain"])
            for name in ("student", "gen_00", "gen_2", "gen_02_a", "gen_01_scratch", "gen_02_direct", "gen_02_other")
        ),
        ({"control": "kd"}, ["arm 'kd' has others compared with it"]),
        (
            {
                "arms": {
                    **PLAIN["arms"],
                    "kd": {"search": {"points": 3, "fields": {"method.alpha": {"low": 1, "high": 0}}}},
                }
            },
            ["low must be below high"],
        ),
    ],
)
def test_a_wrong_study_is_told_where(changes: dict[str, Any], words: list[str]) -> None:
    said = faulty(**changes)
    for word in words:
        assert word in said


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        read_study(tmp_path / "none.yaml")


def test_defaults_stay_out_of_the_short_form() -> None:
    short = yaml.safe_load(StudyDefinition.model_validate(PLAIN).yaml())
    assert set(short) == set(PLAIN)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: object, **_words: object) -> None:
        raise OSError(number, "not here", "study.yaml")

    monkeypatch.setattr("densedistill.distill.study.folder.write_text", refuse)
    with pytest.raises(RequestError, match=r"cannot be written \(not here\): give --out another folder"):
        StudyDir(tmp_path / "out").claim(study_from(PLAIN, "here"))
