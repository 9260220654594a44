"""Two processes train one model (torchrun, gloo, CPU)."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

DRIVER = Path(__file__).with_name("tiny_ddp.py")


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left what they saw."""
    out = tmp_path_factory.mktemp("processes")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(DRIVER), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr
    return out


@pytest.fixture
def facts(driven: Path) -> list[dict[str, Any]]:
    return [json.loads((driven / f"facts-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.xdist_group("processes")
def test_two_processes_train_one_model(facts: list[dict[str, Any]]) -> None:
    assert [fact["processes"] for fact in facts] == [2, 2]
    assert [fact["rank"] for fact in facts] == [0, 1]
    assert facts[0]["weights_differ"]
    assert not any(facts[0]["weights_differ"])
    assert any("projectors" in name for name in facts[0]["projectors"])


@pytest.mark.xdist_group("processes")
def test_each_takes_its_own_half_of_a_batch(facts: list[dict[str, Any]]) -> None:
    halves = [[step for step in fact["asked"] if len(step[0]) == 6] for fact in facts]
    assert len(halves[0]) == len(halves[1]) > 0
    pairs = zip(*halves, strict=True)
    assert all(not set(mine[0]) & set(yours[0]) for mine, yours in pairs)


@pytest.mark.xdist_group("processes")
def test_statistics_are_averaged_before_they_are_used(facts: list[dict[str, Any]]) -> None:
    assert any(facts[0]["statistics_differ_before"]), "the processes saw different images"
    assert not any(facts[0]["statistics_differ_after"])
    assert not any(facts[0]["average_differs_after"])


@pytest.mark.xdist_group("processes")
def test_no_loss_term_vanishes(facts: list[dict[str, Any]]) -> None:
    for fact in facts:
        assert {line["arm"] for line in fact["lines"]} == {"gen_01", "gen_02", "gen_02_scratch"}
        assert all(value > 0 for line in fact["lines"] for value in line["losses"].values())
    taught = [line for line in facts[0]["lines"] if line["arm"] == "gen_02"]
    assert set(taught[0]["losses"]) == {"l1", "features"}
    assert [line["losses"] for line in facts[0]["lines"]] == [line["losses"] for line in facts[1]["lines"]]


@pytest.mark.xdist_group("processes")
def test_one_process_writes(facts: list[dict[str, Any]]) -> None:
    assert set(facts[0]["writes"]) == {"state", "record", "metrics"}
    assert facts[1]["writes"] == []


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("kind", ["cls", "sr"])
def test_a_steps_gradient_is_the_single_processs(driven: Path, tiny: ModuleType, tmp_path: Path, kind: str) -> None:
    driver = importlib.import_module("tiny_ddp")
    alone: dict[str, torch.Tensor] = {}
    with driver.first_gradients(alone):
        tiny.tiny_chain(tiny.tiny_spec(kind), tmp_path, driver.ONE_STEP).run()
    shared = torch.load(driven / f"{kind}-0.pt", weights_only=True)
    other = torch.load(driven / f"{kind}-1.pt", weights_only=True)
    assert shared.keys() == alone.keys()
    assert any("projectors" in name for name in alone) is (kind == "sr")
    for name, gradient in alone.items():
        assert torch.equal(shared[name], other[name])
        scale = float(gradient.abs().max())
        torch.testing.assert_close(shared[name], gradient, rtol=1e-5, atol=1e-6 * scale)
        assert scale > 0, name


@pytest.mark.xdist_group("processes")
def test_methods_keep_their_own_state_alike(facts: list[dict[str, Any]]) -> None:
    for differed in facts[0]["methods_differ"].values():
        assert len(differed) >= 2
        assert not any(differed)
