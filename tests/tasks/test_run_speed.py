"""The flags of the fast path on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from densedistill.distill.configuration.speed import EXACT
from densedistill.tools.distill import main

SMALL = (
    *("--task", "cls", "--pretrained", "none", "--teacher", "cifar/resnet14", "--epochs", "2", "--controls", "none"),
    *("--batch-size", "16", "--set", "recipe.views_per_epoch=32", "--set", "data.limit=4", "--track", "none"),
)


def _configuration(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*SMALL, *words, "--print-config"]) == 0
    printed: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return printed


def test_flags_name_fields(capsys: pytest.CaptureFixture[str]) -> None:
    plain = _configuration(capsys)
    assert (plain["teacher_cache"], plain["students"], plain["speed"]["compile"]) == (None, [], "auto")
    exact = _configuration(capsys, "--exact")
    assert exact["precision"] == "fp32"
    assert exact["speed"] == EXACT.model_dump(mode="json")
    # What is named beside it holds.
    named = _configuration(capsys, "--exact", "--precision", "bf16", "--set", "speed.prefetch=3")
    assert (named["precision"], named["speed"]["prefetch"]) == ("bf16", 3)
    assert _configuration(capsys, "--teacher-cache", "4")["teacher_cache"] == 4
    several = _configuration(capsys, "--students", "cifar/resnet8,cifar/resnet14")
    assert [network["name"] for network in several["students"]] == ["cifar/resnet8", "cifar/resnet14"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--teacher-cache", "0"), "teacher_cache=0"),
        (("--set", "speed.compile=maybe"), "speed.compile='maybe'"),
        (("--set", "speed.micro_batch=1"), "speed.micro_batch"),
        (("--students", "cifar/resnet8,cifar/resnet9"), "cifar/resnet9"),
        (("--students", "cifar/resnet8", "--generations", "3"), "--generations 2"),
        (("--set", "speed.int8_teacher=true", "--method", "at"), "int8"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main([*SMALL, *words, "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown


def test_students_side_by_side_from_kept_answers(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main([*SMALL, "--students", "cifar/resnet8,cifar/resnet14", "--teacher-cache", "1", "--out", str(out)]) == 0
    result = json.loads((out / "result.json").read_text())
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert list(arms) == ["gen_01", "gen_02_a", "gen_02_b"]
    assert arms["gen_02_b"]["network"] == "cifar/resnet14"
    assert arms["gen_02_a"]["retention"] == pytest.approx(arms["gen_02_a"]["test"] / arms["gen_01"]["test"])
    assert "trained together: gen_02_a, gen_02_b" in arms["gen_02_a"]["notes"]
    assert not (out / "teacher_cache").exists()
    assert "gen_02_b" in (out / "report.html").read_text()
