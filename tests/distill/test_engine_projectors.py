"""Projectors are trained like everything else: gradient, optimiser, clipping, state."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from densedistill.distill.training import ArmTraining

CLIP = 0.01


@pytest.fixture
def noted(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """One entry for each step of gen_02: gradients of all parameters right after clipping, weights before the step."""
    steps: list[dict[str, Any]] = []
    clip = ArmTraining._clip

    def noting(training: ArmTraining, *, measure: bool) -> torch.Tensor | None:
        before = dict(training.step_module.named_parameters())
        raw = {name: value.grad.clone() for name, value in before.items() if value.grad is not None}
        norm = clip(training, measure=measure)
        if training.arm.plan.name == "gen_02":
            known = {id(value) for group in training.optimizer.param_groups for value in group["params"]}
            steps.append(
                {
                    "raw": raw,
                    "clipped": {name: value.grad.clone() for name, value in before.items()},
                    "weights": {name: value.detach().clone() for name, value in before.items()},
                    "optimized": {name for name, value in before.items() if id(value) in known},
                    "norm": norm,
                }
            )
        return norm

    monkeypatch.setattr(ArmTraining, "_clip", noting)
    tiny.tiny_chain(tiny.tiny_spec("sr"), tmp_path, {"recipe.clip_norm": CLIP, "controls": []}).run()
    return steps


def _norm(values: Any) -> float:
    return float(torch.stack([value.norm() for value in values]).norm())


def test_every_projector_parameter_is_trained(noted: list[dict[str, Any]]) -> None:
    names = [name for name in noted[0]["weights"] if "projectors" in name]
    assert len(names) == 2
    for name in names:
        assert name in noted[0]["optimized"]
        assert all(step["raw"][name].abs().max() > 0 for step in noted)
        assert not torch.equal(noted[0]["weights"][name], noted[-1]["weights"][name])


def test_optimizer_has_everything_once(noted: list[dict[str, Any]]) -> None:
    assert noted[0]["optimized"] == set(noted[0]["weights"])


def test_projectors_are_clipped_with_the_rest(noted: list[dict[str, Any]]) -> None:
    for step in noted:
        assert _norm(step["raw"].values()) > CLIP
        assert float(step["norm"]) == pytest.approx(_norm(step["raw"].values()), rel=1e-4)
        assert _norm(step["clipped"].values()) == pytest.approx(CLIP, rel=1e-3)
        share = CLIP / float(step["norm"])
        for name, raw in step["raw"].items():
            torch.testing.assert_close(step["clipped"][name], raw * share, rtol=1e-3, atol=1e-9)
