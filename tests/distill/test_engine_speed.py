"""The fast path in a run: on by default, off part by part, recorded, and equal where it claims to be."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from densedistill.distill import chain as chain_module
from densedistill.distill.configuration.speed import EXACT, Speed
from densedistill.distill.lessons.training import ArmTraining


def _record(out: Path, arm: str = "gen_02") -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / arm / "arm.json").read_text())
    return record


def test_exact_turns_every_shortcut_off() -> None:
    on = {name for name, value in Speed() if value not in (False, None, 0, "never")}
    off = {name for name, value in EXACT if value in (False, None, 0, "never")}
    assert on == {
        "fold_batch_norm",
        "half_teacher",
        "rewrite_teacher",
        "channels_last",
        "rewrite_depthwise",
        "fused_optimizer",
        "keep_freed_memory",
        "prefetch",
        "compile",
    }
    assert on <= off


@pytest.mark.parametrize(
    ("speed", "shortcuts"),
    [
        ({}, ["fold_batch_norm", "half_teacher", "channels_last"]),
        ({"speed.half_teacher": False}, ["fold_batch_norm", "channels_last"]),
        ({"speed": EXACT.model_dump(mode="json")}, []),
    ],
    ids=["default", "one off", "exact"],
)
def test_the_teachers_shortcuts_are_taken_and_recorded(
    tiny: ModuleType, tmp_path: Path, speed: dict[str, object], shortcuts: list[str]
) -> None:
    settings = {"controls": [], "recipe.epochs": 1} | speed
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings, precision="bf16").run()
    told = _record(tmp_path)["speed"]["teacher"]
    assert told["shortcuts"] == shortcuts
    assert all(value < 0.05 for value in told["deviations"].values())


def test_the_fast_path_in_float32_is_the_exact_one_up_to_rounding(tiny: ModuleType, tmp_path: Path) -> None:
    """Folding and fused updates reorder sums and nothing else."""
    # Without dropout, whose mask is drawn in the order in which the layout has the pixels.
    still = {f"networks.{place}.arguments.dropout": 0.0 for place in (0, 1)}
    calm = {"controls": [], "recipe.optimizer": "sgd", "recipe.learning_rate": 0.02} | still
    ends = []
    for name, speed in (("fast", Speed()), ("exact", EXACT)):
        settings = calm | {"speed": speed.model_dump(mode="json")}
        chain = tiny.tiny_chain(tiny.tiny_spec("sr"), tmp_path / name, settings)
        chain.run()
        ends.append(chain.network_of("gen_02").state_dict())
    fast, exact = ends
    for key, value in fast.items():
        torch.testing.assert_close(value, exact[key], rtol=1e-4, atol=1e-5)


def test_depthwise_layers_are_rewritten_while_they_train_and_only_then(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path)
    arm = chain.assemble(chain.plans[0]).arm
    arm.network.add_module("unused", torch.nn.Conv2d(4, 4, 3, groups=4))
    training = ArmTraining(arm, chain.run_dir.arm("gen_01"), chain._surroundings())
    assert "forward" in arm.network.unused.__dict__
    training.close()
    assert "forward" not in arm.network.unused.__dict__


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_kept_where_that_is_asked(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    asked = []
    monkeypatch.setattr(chain_module, "keep_freed_memory", lambda: asked.append(True))
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"speed.keep_freed_memory": keep})
    assert asked == [True] * keep


@pytest.mark.usefixtures("int8")
def test_an_int8_teacher_teaches_and_its_agreement_is_recorded(tiny: ModuleType, tmp_path: Path) -> None:
    settings = {"controls": [], "recipe.epochs": 1, "speed.int8_teacher": True}
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings).run()
    told = _record(tmp_path)["speed"]["teacher"]
    assert told["shortcuts"] == ["int8"]
    assert told["agreement"]["images"] == 4 * 8
    assert 0 < told["agreement"]["max_relative_error"] < 0.2
