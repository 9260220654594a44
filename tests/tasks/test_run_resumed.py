"""What a resumed run may differ in from the configuration that it began with."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from densedistill.distill.errors import RequestError
from densedistill.distill.run_dir import RunDir
from densedistill.tasks import run
from densedistill.tasks.request import RunRequest
from densedistill.tasks.run_folder import changed

SETTINGS: dict[str, Any] = {
    "recipe.epochs": 1,
    "data.images": 24,
    "track": [],
    "device": "cpu",
    "precision": "fp32",
    "controls": [],
}


def trained(out: Path, **changes: Any) -> None:
    run("tiny_cls", out=out, settings={**SETTINGS, **changes.pop("settings", {})}, **changes)


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module: Any = importlib.import_module("densedistill.tasks.run")
    monkeypatch.setattr(module, "write_panels", lambda _chain: None)
    monkeypatch.setattr(module.report, "write_report", lambda _path: None)


def test_fields_that_came_since_are_at_their_defaults(tiny: ModuleType, tmp_path: Path) -> None:
    trained(tmp_path / "run", generations=1)
    file = tmp_path / "run" / "config.yaml"
    older = yaml.safe_load(file.read_text())
    del older["speed"]["micro_batch"], older["recipe"]["evaluate_every"], older["data"]["scale"], older["doctor"]
    del older["method"]["alpha"]
    file.write_text(yaml.safe_dump(older))
    trained(tmp_path / "run", generations=1, resume=True)
    with pytest.raises(RequestError, match=r"recipe\.evaluate_every: 1 -> 2"):
        trained(tmp_path / "run", generations=1, resume=True, settings={"recipe.evaluate_every": 2})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data.workers", 4),
        ("data.memory_budget_mb", 1),
        ("data.download", True),
        ("speed.prefetch", 0),
        ("speed.keep_freed_memory", False),
        ("track", ["tensorboard"]),
        ("doctor", "never"),
        ("teacher_cache_root", "/elsewhere"),
    ],
)
def test_what_changes_no_figure_may_change(tmp_path: Path, field: str, value: object) -> None:
    begun = RunDir(tmp_path)
    begun.write_config(RunRequest(task="cls", settings=[("track", [])]).resolve().config.plain())
    assert changed(begun, RunRequest(task="cls", settings=[("track", []), (field, value)]).resolve()) == []
    other = RunRequest(task="cls", settings=[("track", []), (field, value), ("data.split_seed", 5)]).resolve()
    assert [found.path for found in changed(begun, other)] == ["data.split_seed"]


def test_the_teacher_may_have_been_moved_but_not_exchanged(tiny: ModuleType, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("other", 1)):
        trained(tmp_path / name, generations=1, seed=seed)
    trained(tmp_path / "run", settings={"teacher_run": str(tmp_path / "first")})
    moved = (tmp_path / "first").rename(tmp_path / "moved")
    trained(tmp_path / "run", settings={"teacher_run": str(moved)}, resume=True)
    with pytest.raises(RequestError, match=r"teacher_run: '.*moved' -> '.*other'"):
        trained(tmp_path / "run", settings={"teacher_run": str(tmp_path / "other")}, resume=True)


@pytest.mark.parametrize(("field", "generations"), [("teacher_run", 1), ("compared_with", 2)])
def test_figures_of_other_data_are_refused_before_anything_is_written(
    tiny: ModuleType, tmp_path: Path, field: str, generations: int
) -> None:
    trained(tmp_path / "theirs", generations=generations)
    file = tmp_path / "theirs" / "result.json"
    result = json.loads(file.read_text())
    result["data"]["tests"] = {"tiny": 7}
    file.write_text(json.dumps(result))
    message = rf"{field} is '.*theirs', a run on data 'tiny' \(7 images of tiny\).*give a run on the same data"
    with pytest.raises(RequestError, match=message):
        trained(tmp_path / "mine", settings={field: str(tmp_path / "theirs")})
    assert not (tmp_path / "mine").exists()


def test_paths_that_settings_give_do_not_depend_on_the_working_directory(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [("compared_with", "other"), ("teacher_run", "rel")]
    resolved = RunRequest(task="tiny_cls", settings=settings).resolve()
    assert (resolved.config.compared_with, resolved.config.teacher_run) == (tmp_path / "other", tmp_path / "rel")
    # A run that was begun when they were written as they were given goes on.
    begun = RunDir(tmp_path / "run")
    begun.write_config({**resolved.config.plain(), "compared_with": "other", "teacher_run": "rel"})
    assert changed(begun, resolved) == []
    assert changed(begun, RunRequest(out=begun.path, resume=True).resolve()) == []
    elsewhere = RunRequest(task="tiny_cls", settings=[("compared_with", "third"), ("teacher_run", "rel")]).resolve()
    assert [field.path for field in changed(begun, elsewhere)] == ["compared_with"]
