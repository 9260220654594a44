"""Values of the wrong kind, from files, flags and Python: one sentence each, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from densedistill.distill import load_student
from densedistill.distill.errors import RequestError
from densedistill.distill.plugins import load_plugin
from densedistill.tasks import get, run
from densedistill.tasks.request import RunRequest
from densedistill.tools.distill import main


@pytest.mark.parametrize("plugins", ["5", "null", "[5]", "word"])
@pytest.mark.parametrize("look", [load_student, lambda run: RunRequest(config=run / "config.yaml").resolve()])
def test_plugins_that_are_no_list_of_names(tmp_path: Path, plugins: str, look: Callable[[Path], Any]) -> None:
    (tmp_path / "config.yaml").write_text(f"task: edges\nplugins: {plugins}\n")
    with pytest.raises(RequestError, match=r"plugins=.*: must be a list of files and modules"):
        look(tmp_path)


@pytest.mark.parametrize("task", ["5", "[a]", "{a: 1}"])
def test_a_task_that_is_no_name(tmp_path: Path, task: str) -> None:
    (tmp_path / "config.yaml").write_text(f"task: {task}\n")
    with pytest.raises(RequestError, match="must be a task's name"):
        RunRequest(out=tmp_path, resume=True).resolve()


@pytest.mark.parametrize("value", ["2020-13-45", "!!int x", "!!bool x", "!!timestamp x", "[1", "a: b: c"])
def test_values_that_only_look_like_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert main(["--task", "edges", "--set", f"recipe.epochs={value}", "--print-config"]) == 2
    assert "not readable as YAML" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text(f"task: {value}\n")
    assert main(["--config", str(tmp_path / "config.yaml"), "--print-config"]) == 2
    assert "not readable as YAML" in capsys.readouterr().err


@pytest.mark.parametrize("reference", ["", ".", ".x", "..x"])
def test_plugins_without_a_name(reference: str) -> None:
    with pytest.raises(RequestError, match="is no module's name"):
        load_plugin(reference)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: get(5), "unknown task '5'"),
        (lambda: get(["edges"]), "unknown task"),
        (lambda: run(5), "task=5: must be a task's name"),
        (lambda: run("edges", preset=5), "unknown preset of task edges '5'"),
        (lambda: run("edges", preset=["demo"]), "unknown preset"),
        (lambda: run("cls", method=["kd"]), "unknown method"),
        (lambda: run("cls", data_root=5), "root=5"),
    ],
)
def test_calls_with_values_of_another_kind(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        call()
    assert said in str(caught.value)
