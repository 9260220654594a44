"""Trackers: files in the run's folder, steps that begin anew with each arm, and one sentence where one is missing."""

from __future__ import annotations

import importlib.util
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from densedistill.distill import trackers
from densedistill.distill.errors import RequestError
from densedistill.distill.machine.runtime import start_runtime
from densedistill.distill.trackers import Trackers


def line(arm: str, step: int) -> dict[str, Any]:
    return {
        "arm": arm,
        "step": step,
        "train_loss": 0.5,
        "val_loss": None,
        "learning_rate": 0.1,
        "images_per_second": 9.0,
        "losses": {"soft": 0.25},
        "val": {"accuracy": 40.0 + step},
    }


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    with pytest.raises(
        RequestError, match=r"tracker 'wandb' is not installed: run `pip install wandb`, or leave it out"
    ):
        Trackers(("tensorboard", "wandb"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_has_every_figure_under_its_arm(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    start_runtime("cpu", "fp32")
    shown = Trackers(("tensorboard",), tmp_path)
    shown.start()
    for arm in ("gen_01", "gen_02"):
        for step in (5, 10):
            shown.log(line(arm, step))
    shown.close()
    (file,) = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file.parent)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("gen_02/val/accuracy")] == [(5, 45.0), (10, 50.0)]
    assert {"gen_01/train/loss", "gen_01/train/soft", "gen_01/learning_rate"} <= set(events.Tags()["scalars"])
    assert "gen_01/val/loss" not in events.Tags()["scalars"]


class Wandb:
    """As Accelerate's tracker of W&B: a run's steps must not fall, and it says so."""

    name = "wandb"

    def __init__(self) -> None:
        self.logged: list[tuple[Mapping[str, float], int | None]] = []
        self.defined: list[tuple[str, str | None]] = []
        self.tracker = types.SimpleNamespace(
            define_metric=lambda name, step_metric=None, hidden=False: self.defined.append((name, step_metric))
        )

    def start(self) -> None:
        """Nothing."""

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        """Keep them."""
        self.logged.append((figures, step))

    def finish(self) -> None:
        """Nothing."""


def test_each_arm_has_a_count_of_steps_of_its_own_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Wandb()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(trackers, "_start", lambda _name, _folder: fake)
    shown = Trackers(("wandb",), tmp_path)
    shown.start()
    for arm, step in (("gen_01", 5), ("gen_01", 10), ("gen_02", 5)):
        shown.log(line(arm, step))
    assert [step for _figures, step in fake.logged] == [None] * 3
    assert fake.logged[2][0]["gen_02/step"] == 5
    assert fake.defined.count(("gen_01/*", "gen_01/step")) == 1
    assert ("gen_02/*", "gen_02/step") in fake.defined


def test_wandb_stays_offline_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert trackers._settings("wandb", tmp_path)["mode"] == "offline"
    assert trackers._settings("wandb", tmp_path)["dir"] == str(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert trackers._settings("wandb", tmp_path)["mode"] == "online"


def test_a_tracker_that_cannot_start_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str, _folder: Path) -> dict[str, Any]:
        raise ConnectionError("no server at 10.0.0.1\nand a long trace")

    monkeypatch.setattr(trackers, "_settings", broken)
    shown = Trackers(("tensorboard",), tmp_path)
    with pytest.raises(RequestError, match=r"tracker 'tensorboard' cannot start \(no server at 10\.0\.0\.1\)"):
        shown.start()
