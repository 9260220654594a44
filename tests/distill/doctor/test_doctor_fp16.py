"""Runs in fp16 are judged as they train: with a scaled loss, and after the scaler has found its scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from densedistill.distill.doctor.bench import Bench, gradients, on_bench
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.steps import check_projectors
from densedistill.distill.machine.runtime import Runtime

Patients = Callable[..., DoctorChain]


@pytest.fixture
def runtime(tiny: ModuleType, patient: Patients, tmp_path: Path) -> Runtime:
    return dataclasses.replace(patient(tiny.tiny_spec("cls"), tmp_path).runtime, precision="fp16")


def _through_half(value: torch.Tensor, factor: float) -> torch.Tensor:
    """`factor` times the sum of `value`, whose gradient passes through float16."""
    return (value.half().float() * factor).sum()


def test_a_small_gradient_does_not_underflow(runtime: Runtime) -> None:
    value = torch.ones(4, requires_grad=True)
    small = 2.0**-26
    (plain,) = torch.autograd.grad(_through_half(value, small), [value])
    assert not plain.any(), "below half of float16's smallest number"
    (found,) = gradients(_through_half(value, small), [value], runtime)
    assert found is not None
    assert torch.equal(found, torch.full((4,), small))


def test_a_large_gradient_does_not_overflow(runtime: Runtime) -> None:
    value, other = torch.ones(4, requires_grad=True), torch.ones(1, requires_grad=True)
    found, unused = gradients(_through_half(value, 2.0**8), [value, other], runtime)
    assert found is not None
    assert torch.equal(found, torch.full((4,), 2.0**8))
    assert unused is None


def test_other_precisions_take_the_loss_as_it_is(runtime: Runtime) -> None:
    value = torch.ones(4, requires_grad=True)
    (found,) = gradients(_through_half(value, 2.0**-26), [value], dataclasses.replace(runtime, precision="bf16"))
    assert found is not None
    assert not found.any()


def test_a_scaler_may_leave_out_steps_until_it_has_its_scale(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MobileNetV2 at 32 pixels is finite at 2^11 only: five steps from 2^16 move nothing."""
    step, left_out = Bench.step, iter(range(5))
    monkeypatch.setattr(Bench, "step", lambda bench, at: None if next(left_out, 5) < 5 else step(bench, at))
    chain = patient(tiny.tiny_spec("cls"), tmp_path)
    with on_bench(chain, chain.assemble(chain.plans[0]).arm) as bench:
        (finding,) = check_projectors(bench)
    assert finding.status == "pass"
