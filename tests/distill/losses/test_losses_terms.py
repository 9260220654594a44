"""Terms inside an objective: α, T and both factors on hand-computed cases, and the control without a teacher."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import (
    DistilledLogits,
    HardLabels,
    Reconstruction,
    SoftMaps,
    TaughtReconstruction,
    mixed_cross_entropy,
    weighted_bce,
)
from densedistill.distill.losses.terms import TermFunction
from densedistill.distill.objective import LossTerm, Objective, without_teacher
from densedistill.distill.outputs import Prediction, StepOutputs


def step(student: Tensor, teacher: Tensor | None, **batch: Tensor) -> StepOutputs:
    return StepOutputs(
        batch={"input": student, **batch},
        student=Prediction(output=student, taps={}),
        teacher=None if teacher is None else Prediction(output=teacher, taps={}),
    )


def blend(alpha: float, *, taught: tuple[str, TermFunction], own: tuple[str, TermFunction]) -> list[LossTerm]:
    """α of the teacher's term, and the rest of the task's own."""
    return [
        LossTerm(name=taught[0], fn=taught[1], weight=alpha, needs_teacher=True),
        LossTerm(name=own[0], fn=own[1], weight=1.0 - alpha, alone_weight=1.0),
    ]


KL = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
"""Teacher (3/4, 1/4) against student (1/2, 1/2)."""


@pytest.mark.parametrize("alpha", [0.25, 0.9])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_alpha_weighs_the_teacher_and_its_rest_the_labels(alpha: float, temperature: float) -> None:
    objective = Objective(blend(alpha, taught=("kd", DistilledLogits(temperature)), own=("ce", HardLabels())))
    outputs = step(torch.zeros(1, 2), torch.tensor([[temperature * math.log(3), 0.0]]), target=torch.tensor([0]))
    losses = objective(outputs)
    assert losses["kd"].item() == pytest.approx(temperature**2 * KL, rel=1e-5)
    assert losses["ce"].item() == pytest.approx(math.log(2), rel=1e-6)
    expected = alpha * temperature**2 * KL + (1 - alpha) * math.log(2)
    assert objective.total(losses).item() == pytest.approx(expected, rel=1e-5)


def _weighted(outputs: StepOutputs) -> Tensor:
    return weighted_bce(outputs.student.output, outputs.target, 10.0)


def test_alpha_in_maps_by_hand() -> None:
    objective = Objective(blend(0.25, taught=("mse", SoftMaps()), own=("bce", _weighted)))
    student, teacher = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), math.log(3))
    losses = objective(step(student, teacher, target=torch.ones(1, 1, 1, 1)))
    assert objective.total(losses).item() == pytest.approx(0.25 * 0.0625 + 0.75 * 10 * math.log(2), rel=1e-6)


def test_alpha_zero_is_plain_training_without_a_teacher() -> None:
    objective = Objective(blend(0.0, taught=("kd", DistilledLogits(4.0)), own=("ce", HardLabels())))
    assert not objective.needs_teacher
    student, target = torch.tensor([[0.3, -0.7]]), torch.tensor([1])
    losses = objective(step(student, None, target=target))
    assert list(losses) == ["ce"]
    assert torch.equal(objective.total(losses), mixed_cross_entropy(student, target))


def test_control_arm_has_the_task_loss_at_weight_one() -> None:
    terms = blend(0.9, taught=("kd", DistilledLogits(4.0)), own=("ce", HardLabels()))
    control = Objective(without_teacher(terms))
    losses = control(step(torch.zeros(1, 2), None, target=torch.tensor([0])))
    assert control.total(losses).item() == pytest.approx(math.log(2), rel=1e-6)


def test_hard_labels_read_mixed_targets() -> None:
    student = torch.tensor([[math.log(3), 0.0]])
    mixed = {"mixed_target": torch.tensor([1]), "mix": torch.tensor([0.25])}
    loss = HardLabels()(step(student, None, target=torch.tensor([0]), **mixed))
    assert loss.item() == pytest.approx(0.25 * math.log(4 / 3) + 0.75 * math.log(4), rel=1e-6)


def test_hard_labels_smooth() -> None:
    student = torch.tensor([[math.log(3), 0.0]])
    loss = HardLabels(label_smoothing=0.2)(step(student, None, target=torch.tensor([0])))
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4), rel=1e-6)


def test_image_terms() -> None:
    student, teacher = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.75)
    outputs = step(student, teacher, target=torch.zeros(1, 3, 2, 2))
    assert Reconstruction()(outputs).item() == pytest.approx(0.5)
    assert TaughtReconstruction()(outputs).item() == pytest.approx(0.25)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = torch.zeros(1, 3, requires_grad=True), torch.eye(3)[:1].requires_grad_()
    DistilledLogits(4.0)(step(student, teacher, target=torch.tensor([0]))).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad != 0).any()
    for map_term in (SoftMaps(), TaughtReconstruction()):
        student, teacher = torch.zeros(1, 1, 2, 2, requires_grad=True), torch.ones(1, 1, 2, 2, requires_grad=True)
        map_term(step(student, teacher)).backward()
        assert teacher.grad is None
        assert student.grad is not None
        assert (student.grad != 0).all()


def test_settings_are_checked_when_the_term_is_made() -> None:
    with pytest.raises(RequestError, match="temperature"):
        DistilledLogits(0.0)
    with pytest.raises(RequestError, match="label smoothing"):
        HardLabels(label_smoothing=1.0)
