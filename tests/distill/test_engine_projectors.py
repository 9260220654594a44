"""Projectors are trained like everything else: gradient, optimiser, clipping, state."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.configuration.validation import validated
from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.training import ArmTraining

CLIP = 0.01


def gradients_of_steps(
    tiny: ModuleType, folder: Path, patch: pytest.MonkeyPatch, **recipe: object
) -> list[dict[str, Any]]:
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

    patch.setattr(ArmTraining, "_clip", noting)
    changes = {f"recipe.{key}": value for key, value in recipe.items()}
    tiny.tiny_chain(tiny.tiny_spec("sr"), folder, {"recipe.clip_norm": CLIP, "controls": [], **changes}).run()
    return steps


@pytest.fixture
def noted(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return gradients_of_steps(tiny, tmp_path, monkeypatch)


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


def test_projectors_left_out_of_clipping_keep_their_gradient(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = gradients_of_steps(tiny, tmp_path, monkeypatch, clip_projectors=False)
    assert steps
    for step in steps:
        student = {name: raw for name, raw in step["raw"].items() if name.startswith("student.")}
        others = {name: raw for name, raw in step["raw"].items() if name not in student}
        assert float(step["norm"]) == pytest.approx(_norm(student.values()), rel=1e-4)
        assert _norm(student.values()) > CLIP
        assert _norm(step["clipped"][name] for name in student) == pytest.approx(CLIP, rel=1e-3)
        assert len(others) == 2
        assert _norm(others.values()) > CLIP
        assert all(torch.equal(step["clipped"][name], raw) for name, raw in others.items())
        assert set(others) <= step["optimized"]


def test_the_first_step_is_where_the_two_ways_of_clipping_part(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = gradients_of_steps(tiny, tmp_path / "a", monkeypatch)[0]
    monkeypatch.undo()
    apart = gradients_of_steps(tiny, tmp_path / "b", monkeypatch, clip_projectors=False)[0]
    for name, raw in together["raw"].items():
        torch.testing.assert_close(raw, apart["raw"][name])
    student = [name for name in together["raw"] if name.startswith("student.")]
    # A projector's gradient takes its share of the common bound, so leaving it out lets the student step further.
    assert _norm(together["clipped"][name] for name in student) < 0.999 * _norm(
        apart["clipped"][name] for name in student
    )


def test_leaving_projectors_out_of_no_clipping_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^recipe: clip_projectors=False .* give clip_norm"):
        validated(Recipe, {"clip_projectors": False}, "recipe")
