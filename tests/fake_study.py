"""Run folders and a study's folder as the engine and the study runner write them, with figures made up by a rule."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_page import render_study
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_samples import study_panels
from densedistill.distill.report.study_tables import study_sheets

CLASSES = ("cat", "dog", "owl", "fox", "bee")
METRIC = {"name": "accuracy", "unit": "%", "higher_is_better": True}
DATA = {
    "name": "toys",
    "embedded": True,
    "train": 500,
    "val": 100,
    "tests": {"toys": 100},
    "fingerprint": "sha256:c0ffee",
    "notes": [],
}
STUDENT, SCRATCH = (71.0, 71.6, 71.1), (70.1, 70.4, 70.3)
"""Figures of `two_arms` by seed."""


def arm_record(
    arm: str, test: float, *, teacher: str | None = None, params: int = 1_000_000, seed: int = 0, **changes: object
) -> dict[str, Any]:
    """An arm as result.json and arm.json have it."""
    spread = np.random.default_rng((seed, len(arm))).normal(0, 2, len(CLASSES))
    accuracy = {name: float(np.clip(test + by, 0, 100)) for name, by in zip(CLASSES, spread, strict=True)}
    levels = [(place + 0.5) / 15 for place in range(15)]
    record = {
        "arm": arm,
        "generation": int(arm[4:6]),
        "role": "teacher",
        "teacher": teacher,
        "network": f"net/{params}",
        "params": params,
        "init": "random",
        "val": test + 1,
        "test": test,
        "tests": {"toys": {"accuracy": test, "top5": min(100.0, test + 15), "ece": 0.05, "nll": 1.2}},
        "gap_closed": None,
        "retention": None,
        "fidelity": {
            "agreement": 88.0,
            "class_accuracy": accuracy,
            "calibration_bins": {
                "count": [10] * 15,
                "confidence": levels,
                "accuracy": [max(0.0, level - 0.1) for level in levels],
            },
        },
        "epochs": 12,
        "seconds": 65.0,
        "images_per_second": 118.4,
        "peak_memory_mb": 1830.0,
        "latency_ms": params / 200_000,
        "notes": [],
        "notices": [],
    }
    return record | changes


def line(arm: str, epoch: int, *, best: float, epochs: int, taught: bool) -> dict[str, Any]:
    """A line of metrics.jsonl: figures rise to `best`, the training loss falls below the validation loss."""
    rest = 0.75**epoch
    own = 0.4 + 2.0 * rest
    losses = {"ce": own} | ({"kd": 3.0 * rest} if taught else {})
    return {
        "arm": arm,
        "epoch": epoch,
        "step": 25 * epoch,
        "learning_rate": 0.05 * (1 + np.cos(np.pi * epoch / epochs)),
        "train_loss": own if not taught else 0.1 * own + 0.9 * losses["kd"],
        "losses": losses,
        "val_loss": own + 0.3 * (1 - rest),
        "val": {"accuracy": best * (1 - 0.9 * rest), "nll": 1.0},
        "seconds": 5.0 * epoch,
        "images_per_second": 100.0,
    }


def write_run(
    folder: Path,
    records: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    epochs: int = 12,
    **changes: object,
) -> Path:
    """A finished run of classification."""
    folder.mkdir(parents=True)
    result = {
        "schema": 1,
        "task": "cls",
        "preset": "demo",
        "method": "kd",
        "complete": True,
        "seed": seed,
        "command": ["python", "tools/distill.py"],
        "data": DATA,
        "metric": METRIC,
        "arms": [{**record, "fidelity": record["fidelity"] if record["teacher"] else {}} for record in records],
        "references": [],
        "environment": {"torch": "2.9.0", "device": "cpu", "precision": "bf16", "commit": "abc"},
    }
    (folder / "result.json").write_text(json.dumps(result | changes))
    settings = {"task": "cls", "seed": seed, "method": {"name": "kd", "temperature": 4.0, "alpha": 0.9}}
    (folder / "config.yaml").write_text(json.dumps(settings | dict(config or {})))
    with (folder / "metrics.jsonl").open("w") as file:
        for record in records:
            for epoch in range(1, epochs + 1):
                told = line(
                    record["arm"], epoch, best=record["val"], epochs=epochs, taught=record["teacher"] is not None
                )
                file.write(json.dumps(told) + "\n")
    for record in records:
        (folder / record["arm"]).mkdir()
        (folder / record["arm"] / "arm.json").write_text(json.dumps(record))
    _write_panels(folder, [record["arm"] for record in records])
    return folder


def write_pair(folder: Path, student: float, scratch: float, *, seed: int = 0, **changes: Any) -> Path:
    """A run of teacher, student and scratch control."""
    records = [
        arm_record("gen_01", 80.0, params=10_000_000, seed=seed),
        arm_record("gen_02", student, teacher="gen_01", seed=seed, role="student"),
        arm_record("gen_02_scratch", scratch, seed=seed, role="scratch"),
    ]
    return write_run(folder, records, seed=seed, **changes)


def trial(folder: Path, arm: str, seed: int, test: float | None, *, taught: bool, **changes: object) -> dict[str, Any]:
    """A trial of study.json; with a figure, its run is written too."""
    name = "gen_02" if taught else "gen_02_scratch"
    entry: dict[str, Any] = {
        "seed": seed,
        "state": "done" if test is not None else "waiting",
        "run": f"runs/{arm}/seed-{seed}",
        "arm_in_run": name,
        "test": test,
        "val": None if test is None else test + 1,
        "tests": {} if test is None else {"toys": {"accuracy": test}},
        "fidelity": {},
        "error": None,
        "retries": 0,
    }
    if test is not None:
        record = arm_record(name, test, teacher="gen_01" if taught else None, seed=seed)
        write_run(folder / entry["run"], [record], seed=seed, config={"arm": arm})
    return entry | changes


def write_study(folder: Path, arms: Sequence[Mapping[str, Any]], **changes: object) -> Path:
    """study.json around `arms`; their trials are of `trial`."""
    study = {
        "schema": 1,
        "study": "kd-vs-scratch",
        "preset": "demo",
        "task": "cls",
        "question": "Does distillation help?",
        "claim": {"text": "It gains 8 points.", "source": "reference 003, section 4.5"},
        "metric": METRIC,
        "control": "scratch",
        "data": DATA,
        "axes": {},
        "complete": True,
        "teachers": [{"key": "t1", "run": "teachers/t1", "network": "net/big", "params": 10_000_000, "test": 80.0}],
        "arms": list(arms),
        "warnings": [],
        "command": ["python", "tools/study.py", "--study", "kd vs scratch"],
        "environment": {"torch": "2.9.0", "device": "cpu"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study | changes))
    return folder


def write_grid(
    folder: Path, temperatures: Sequence[float] = (1.0, 20.0), alphas: Sequence[float] = (0.1, 0.9), *, seeds: int = 3
) -> Path:
    """A finished study of temperature by alpha whose gains grow with both, beside its control."""
    generator = np.random.default_rng(0)
    shared = generator.normal(60, 1, seeds)
    arms: list[dict[str, Any]] = [
        {
            "arm": "scratch",
            "label": "scratch",
            "role": "control",
            "settings": {},
            "axes": {},
            "against": None,
            "trials": [trial(folder, "scratch", seed, float(shared[seed]), taught=False) for seed in range(seeds)],
        }
    ]
    for temperature in temperatures:
        for alpha in alphas:
            arm = f"kd-{temperature:g}-{alpha:g}"
            place = {"method.temperature": temperature, "method.alpha": alpha}
            gain = np.log(temperature) * alpha + generator.normal(0, 0.15, seeds)
            arms.append(
                {
                    "arm": arm,
                    "label": f"KD, T {temperature:g}, α {alpha:g}",
                    "role": "method",
                    "settings": place,
                    "axes": place,
                    "against": "scratch",
                    "teacher": "t1",
                    "trials": [
                        trial(folder, arm, seed, float(shared[seed] + gain[seed]), taught=True) for seed in range(seeds)
                    ],
                }
            )
    axes = {"method.temperature": list(temperatures), "method.alpha": list(alphas)}
    return write_study(folder, arms, axes=axes, study="temperature-alpha")


def two_arms(folder: Path, student: Sequence[float | None] = STUDENT, **changes: Any) -> Path:
    """A study of a method, with these figures by seed, and its control without a teacher."""
    control = {"arm": "scratch", "label": "scratch", "role": "control", "against": None}
    method = {"arm": "kd", "label": "KD", "role": "method", "against": "scratch", "teacher": "t1"}
    arms = [
        control | {"trials": [trial(folder, "scratch", seed, SCRATCH[seed], taught=False) for seed in range(3)]},
        method | {"trials": [trial(folder, "kd", seed, value, taught=True) for seed, value in enumerate(student)]},
    ]
    return write_study(folder, arms, **changes)


def written(folder: Path) -> str:
    """A study's page without its charts, which take seconds to draw."""
    study = read_study_facts(folder)
    numbers = compute(study)
    return render_study(study, numbers, [], study_sheets(study, numbers), study_panels(study, numbers))


def plain(page: str) -> str:
    """The text of a page."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


def _write_panels(folder: Path, arms: Sequence[str]) -> None:
    (folder / "panels").mkdir()
    rows = []
    for number in range(2):
        name = f"test-{number}"
        Image.new("RGB", (32, 32), (40 * number, 90, 160)).save(folder / "panels" / f"{name}.png")
        cells: dict[str, Any] = {
            "input": {"image": f"panels/{name}.png", "caption": ""},
            "truth": {"image": None, "caption": CLASSES[number]},
        }
        cells |= {arm: {"image": None, "caption": f"{CLASSES[0]}, 61.9%", "correct": number == 0} for arm in arms}
        rows.append({"id": name, "cells": cells})
    listed = {"columns": ["input", "truth", *arms], "rows": rows}
    (folder / "panels" / "panels.json").write_text(json.dumps(listed))
