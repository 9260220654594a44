"""Which fields are paths, and that they do not depend on the working directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from densedistill.distill.configuration.paths import absolute_fields, absolute_settings, path_fields
from densedistill.tasks import get


class Anchored(BaseModel):
    """Parameters of a method from outside."""

    anchors: Path | None = None
    note: str = ""


def test_paths_are_what_models_declare_as_such(tiny: ModuleType) -> None:
    spec = tiny.tiny_spec("edges")
    outside = dataclasses.replace(next(iter(spec.methods.values())), name="outside", parameters=Anchored())
    found = path_fields(dataclasses.replace(spec, methods={**spec.methods, "outside": outside}))
    assert {"teacher_weights", "student_weights", "method.anchors", "method.also.outside.anchors"} <= found
    assert not found & {"method.note", "method.alpha", "data.name", "seed", "device"}


def test_paths_of_the_tasks_are_known() -> None:
    assert {"data.root", "method.vgg19"} <= path_fields(get("sr"))
    assert "data.root" in path_fields(get("cls"))


def test_paths_become_absolute_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {"data.root", "teacher_run"}
    given = [
        ("data.root", "rel"),
        ("data", {"root": Path("in"), "name": "r"}),
        ("teacher_run", None),
        ("seed", 3),
    ]
    assert absolute_settings(given, paths) == [
        ("data.root", str(tmp_path / "rel")),
        ("data", {"root": str(tmp_path / "in"), "name": "r"}),
        ("teacher_run", None),
        ("seed", 3),
    ]
    assert absolute_fields({"data": {"root": "/a"}, "teacher_run": "t"}, paths) == {
        "data": {"root": "/a"},
        "teacher_run": str(tmp_path / "t"),
    }
