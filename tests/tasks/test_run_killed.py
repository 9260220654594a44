"""The task `edges` as users run it: killed at random moments and resumed, and on two processes."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "distill.py"
WORDS = (
    *("--task", "edges", "--device", "cpu", "--pretrained", "none", "--track", "none", "--epochs", "2"),
    *("--set", "data.collages=[48,6,6]", "--set", "recipe.views_per_epoch=48", "--batch-size", "8"),
    *("--set", "data.size=64", "--set", "data.collage_size=64"),
)
ARMS = ("gen_01", "gen_02", "gen_02_scratch")
DRIVER = """
import sys
from densedistill.distill.lessons import checkpoint
from densedistill.tools.distill import main

checkpoint.SAVE_AFTER_SECONDS, checkpoint.SAVE_COST_BOUND = 0.5, 0.5
sys.exit(main(sys.argv[1:]))
"""
"""The command with saves so frequent that each attempt gets further than the last."""


def _start(*words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _end(process: subprocess.Popen[str], seconds: float = 900) -> str:
    shown, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, shown
    return shown


def _untimed(out: Path) -> tuple[list[Any], list[Any]]:
    timing = ("seconds", "images_per_second", "peak_memory_mb", "latency_ms")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    arms = json.loads((out / "result.json").read_text())["arms"]
    return tuple([{k: v for k, v in one.items() if k not in timing} for one in some] for some in (lines, arms))  # type: ignore[return-value]


@pytest.mark.slow
def test_edges_killed_ten_times(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = (sys.executable, "-c", DRIVER, *WORDS)
    began = time.monotonic()
    _end(_start(*command, "--out", str(whole)))
    length = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(10):
        process = _start(*command, "--out", str(broken), "--resume")
        assert process.stdout is not None
        shown = list(itertools.takewhile(lambda line: "run folder" not in line, process.stdout))
        time.sleep(moments.uniform(0.0, 0.12) * length)
        assert process.poll() is None, f"the run ended before it could be killed: {shown}"
        process.kill()
        process.communicate()
    _end(_start(*command, "--out", str(broken), "--resume"))
    for arm in ARMS:
        weights = [out / arm / "model.safetensors" for out in (whole, broken)]
        assert weights[0].read_bytes() == weights[1].read_bytes(), arm
    assert _untimed(whole) == _untimed(broken)


@pytest.mark.slow
def test_edges_on_two_processes(tmp_path: Path) -> None:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    shown = _end(_start(sys.executable, *launch, str(SCRIPT), *WORDS, "--out", str(tmp_path / "run")))
    lines, arms = _untimed(tmp_path / "run")
    assert [arm["arm"] for arm in arms] == list(ARMS)
    assert all(value > 0 for line in lines for value in line["losses"].values())
    assert len(lines) == 2 * len(ARMS), "one process writes"
    assert shown.count("report: ") == 1, "one process speaks"
    record = json.loads((tmp_path / "run/gen_02/arm.json").read_text())
    assert record["environment"]["processes"] == 2
