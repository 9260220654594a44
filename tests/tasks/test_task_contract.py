"""The contract that every registered task keeps, the example plugin included: two steps of each arm, end to end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from densedistill.distill import load_student
from densedistill.distill.progress import SilentLog
from densedistill.tasks import names, run
from densedistill.tools import evaluate, predict

PLUGINS = {"denoise": str(Path(__file__).resolve().parents[2] / "examples" / "denoise.py")}
"""Tasks from outside the package, by name."""

NUMBER = (int, float)
RESULT = {
    "schema": int,
    "task": str,
    "preset": str,
    "method": str,
    "seed": int,
    "command": list,
    "data": dict,
    "metric": dict,
    "arms": list,
    "references": list,
    "environment": dict,
}
DATA = {"name": str, "embedded": bool, "train": int, "val": int, "tests": dict, "fingerprint": str}
METRIC = {"name": str, "unit": str, "higher_is_better": bool}
ARM = {
    "arm": str,
    "generation": int,
    "teacher": (str, type(None)),
    "network": str,
    "params": int,
    "init": str,
    "val": NUMBER,
    "test": NUMBER,
    "tests": dict,
    "gap_closed": (*NUMBER, type(None)),
    "retention": (*NUMBER, type(None)),
    "fidelity": dict,
    "epochs": int,
    "seconds": NUMBER,
    "images_per_second": NUMBER,
    "peak_memory_mb": NUMBER,
    "latency_ms": NUMBER,
}
REFERENCE = {"arm": str, "value": NUMBER, "split": str, "source": str}
ENVIRONMENT = {"torch": str, "device": str, "precision": str, "commit": (str, type(None))}

BATCH = {"cls": 48}
"""Larger where the demo evaluates on many images, smaller elsewhere."""
STEPS = 2
SHRUNK: Mapping[str, Mapping[str, object]] = {
    "cls": {
        "networks": [
            {"name": "timm/resnet10t"},
            {"name": "timm/mobilenetv2_035"},
        ],
        "data.limit": 4,
        "data.input_size": 16,
    },
    "sr": {
        "networks": [
            {"name": "swinir", "arguments": {"width": 12, "depths": [1]}, "taps": ["conv_after_body"]},
            {"name": "attention-sr", "arguments": {"width": 8, "blocks": 1}, "taps": ["body_end"]},
        ],
        "data.limit": 1,
        "data.hr_patch": 32,
    },
    "edges": {
        "networks": [
            {"name": "smp/unet-mobilenet_v2", "arguments": {"decoder_channels": [16, 16, 8, 8, 8]}},
            {"name": "smp/unet-mobilenet_v2", "arguments": {"decoder_channels": [8, 8, 8, 8, 8]}},
        ],
        "data.collages": [8, 2, 2],
        "data.collage_size": 64,
        "data.size": 64,
    },
    "seg": {
        "networks": [
            {"name": "smp/unet-mobilenet_v2", "arguments": {"decoder_channels": [16, 16, 8, 8, 8]}},
            {"name": "smp/unet-mobilenet_v2", "arguments": {"decoder_channels": [8, 8, 8, 8, 8]}},
        ],
        "data.collages": [8, 2, 2],
        "data.collage_size": 64,
        "data.size": 64,
    },
    "denoise": {
        "networks": [
            {"name": "denoiser", "arguments": {"width": 8, "depth": 3}},
            {"name": "denoiser", "arguments": {"width": 4, "depth": 3}},
        ],
    },
}
"""What makes the demo small. A task of the package that is missing here fails its test."""


def tasks() -> list[str]:
    return sorted({*names(), *PLUGINS})


@pytest.mark.parametrize("task", tasks())
def test_task_keeps_the_contract(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert task in SHRUNK, f"add task '{task}' to SHRUNK: this test trains every registered task"
    folder = tmp_path / "run"
    batch_size = BATCH.get(task, 8)
    shrunk = {**SHRUNK[task], "recipe.views_per_epoch": STEPS * batch_size}
    done = run(
        task,
        generations=2,
        epochs=1,
        batch_size=batch_size,
        settings=shrunk,
        plugins=[PLUGINS[task]] if task in PLUGINS else (),
        pretrained="none",
        device="cpu",
        precision="fp32",
        out=folder,
        log=SilentLog(),
    )
    assert done.path == folder
    check_result(json.loads((folder / "result.json").read_text()), task)
    check_files(folder)
    check_student(folder)
    check_evaluation(folder, capsys)
    check_prediction(folder, tmp_path / "mine", capsys)
    check_repetition(folder, tmp_path / "again")


def check_result(result: Mapping[str, Any], task: str) -> None:
    """Keys and types of result.json, schema 1."""
    assert_types(result, RESULT)
    assert (result["schema"], result["task"], result["preset"]) == (1, task, "demo")
    assert_types(result["data"], DATA)
    assert result["data"]["fingerprint"].startswith("sha256:")
    assert all(
        count > 0 for count in (result["data"]["train"], result["data"]["val"], *result["data"]["tests"].values())
    )
    assert_types(result["metric"], METRIC)
    assert_types(result["environment"], ENVIRONMENT)
    for reference in result["references"]:
        assert_types(reference, REFERENCE)
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert list(arms) == ["gen_01", "gen_02", "gen_02_scratch"]
    assert [arm["teacher"] for arm in arms.values()] == [None, "gen_01", None]
    assert [arm["generation"] for arm in arms.values()] == [1, 2, 2]
    main_test = next(iter(result["data"]["tests"]))
    for arm in arms.values():
        assert_types(arm, ARM)
        assert set(arm["tests"]) == set(result["data"]["tests"])
        assert arm["test"] == arm["tests"][main_test][result["metric"]["name"]]
        assert arm["epochs"] == 1
        assert arm["params"] > 0
    assert arms["gen_02"]["params"] == arms["gen_02_scratch"]["params"]


def assert_types(entries: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Every key is there and has one of its types; a bool is no number."""
    for key, kind in types.items():
        assert key in entries
        assert isinstance(entries[key], kind), f"{key} is {entries[key]!r}"
        assert isinstance(entries[key], bool) == (kind is bool), f"{key} is {entries[key]!r}"


def check_files(folder: Path) -> None:
    """The run folder holds what contract.md promises, and no training state once all is done."""
    for name in ("config.yaml", "metrics.jsonl", "result.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert any((folder / "tensorboard").rglob("events*"))
    for arm in ("gen_01", "gen_02", "gen_02_scratch"):
        assert sorted(path.name for path in (folder / arm).iterdir()) == ["arm.json", "model.safetensors"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["arm"], line["epoch"], line["step"]) for line in lines] == [
        ("gen_01", 1, STEPS),
        ("gen_02", 1, STEPS),
        ("gen_02_scratch", 1, STEPS),
    ]
    assert [set(line["losses"]) > set(lines[0]["losses"]) for line in lines] == [False, True, False]


def check_student(folder: Path) -> None:
    """Without a name it is the distilled student, in evaluation mode and with the weights that were saved."""
    student = load_student(folder)
    named = load_student(folder, "gen_02").state_dict()
    assert not student.training
    assert all(torch.equal(value, named[name]) for name, value in student.state_dict().items())
    record = json.loads((folder / "gen_02" / "arm.json").read_text())
    assert sum(value.numel() for value in student.parameters()) == record["params"]


def check_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scoring an arm again gives the figures that the run recorded."""
    result = json.loads((folder / "result.json").read_text())
    for arm in result["arms"]:
        capsys.readouterr()
        assert evaluate.main(["--run", str(folder), "--arm", arm["arm"], "--device", "cpu", "--json"]) == 0
        scored = json.loads(capsys.readouterr().out)
        assert scored["metrics"] == pytest.approx(arm["tests"][scored["data"]], rel=0, abs=1e-9)
        assert scored["images"] == len(scored["per_image"]) == result["data"]["tests"][scored["data"]]


def check_prediction(folder: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A student and its teacher are applied to any image, and a file that is none is named."""
    mine.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    Image.fromarray(pixels).save(mine / "image.png")
    (mine / "broken.png").write_text("no image")
    capsys.readouterr()
    words = ["--run", str(folder), "--input", str(mine), "--output", str(mine / "out"), "--device", "cpu"]
    assert predict.main([*words, "--with-teacher"]) == 3
    said = capsys.readouterr().err
    assert "1 of 2 images done" in said
    assert "broken.png" in said.splitlines()[-1]
    written = sorted(path.name for path in (mine / "out").iterdir())
    assert "predictions.csv" in written or {"image.png", "image_teacher.png", "image_compared.png"} <= set(written)
    for name in written:
        if name in ("image.png", "image_teacher.png"):
            with Image.open(mine / "out" / name) as picture:
                assert (picture.width % 70, picture.height % 45) == (0, 0)


def check_repetition(folder: Path, again: Path) -> None:
    """config.yaml holds all of the run: repeated from it, every weight is the same bit for bit."""
    repeated = run(config=folder / "config.yaml", out=again, log=SilentLog())
    assert yaml.safe_load((again / "config.yaml").read_text()) == yaml.safe_load((folder / "config.yaml").read_text())
    for arm in repeated.summary["arms"]:
        weights = Path(arm["arm"], "model.safetensors")
        assert (again / weights).read_bytes() == (folder / weights).read_bytes()
