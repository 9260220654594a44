"""Logit losses against closed forms, hand-computed cases and independent derivations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import dkd_loss, kd_loss, mixed_cross_entropy


def logits(batch: int, classes: int, seed: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64) * scale


def labels(batch: int, classes: int) -> Tensor:
    return torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(9))


def kl_by_definition(teacher: list[float], student: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(teacher, student, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_kd_two_classes_by_hand(temperature: float) -> None:
    # Softened by T the teacher says (3/4, 1/4) and the student (1/2, 1/2).
    teacher = torch.tensor([[temperature * math.log(3), 0.0]])
    loss = kd_loss(torch.zeros(1, 2), teacher, temperature)
    expected = temperature**2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_kd_direction_is_teacher_to_student() -> None:
    teacher, student = torch.tensor([[math.log(9), 0.0]]), torch.tensor([[0.0, math.log(3)]])
    assert kd_loss(student, teacher, 1.0).item() == pytest.approx(kl_by_definition([0.9, 0.1], [0.25, 0.75]), rel=1e-5)
    assert kd_loss(teacher, student, 1.0).item() == pytest.approx(kl_by_definition([0.25, 0.75], [0.9, 0.1]), rel=1e-5)


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_kd_equals_torch_kl_div_with_probabilities(batch: int, temperature: float) -> None:
    student, teacher = logits(batch, 5, 0), logits(batch, 5, 1)
    expected = F.kl_div(
        (student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="batchmean"
    )
    torch.testing.assert_close(kd_loss(student, teacher, temperature), expected * temperature**2)


def test_kd_gradient_is_temperature_times_difference_of_probabilities() -> None:
    student, teacher = logits(4, 5, 0).requires_grad_(), logits(4, 5, 1)
    kd_loss(student, teacher, 3.0).backward()
    torch.testing.assert_close(student.grad, 3.0 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)).detach() / 4)


def test_kd_of_equal_logits_is_zero_and_shift_invariant() -> None:
    student = logits(3, 4, 0)
    assert kd_loss(student, student + 7.0, 2.0).item() == pytest.approx(0.0, abs=1e-12)


def dkd_by_definition(student: Tensor, teacher: Tensor, target: int, alpha: float, beta: float, T: float) -> float:
    """Equations 1 to 3 and 7 of the paper for one image, from probabilities."""
    p_student, p_teacher = (student / T).softmax(0).tolist(), (teacher / T).softmax(0).tolist()
    tckd = kl_by_definition([p_teacher[target], 1 - p_teacher[target]], [p_student[target], 1 - p_student[target]])
    others = [k for k in range(len(p_student)) if k != target]
    nckd = kl_by_definition(
        [p_teacher[k] / (1 - p_teacher[target]) for k in others],
        [p_student[k] / (1 - p_student[target]) for k in others],
    )
    return T**2 * (alpha * tckd + beta * nckd)


@pytest.mark.parametrize(("alpha", "beta", "temperature"), [(1.0, 8.0, 4.0), (1.0, 0.0, 1.0), (0.0, 2.0, 2.0)])
def test_dkd_equals_its_definition(alpha: float, beta: float, temperature: float) -> None:
    student, teacher, target = logits(6, 5, 0), logits(6, 5, 1), labels(6, 5)
    expected = [
        dkd_by_definition(s, t, int(y), alpha, beta, temperature)
        for s, t, y in zip(student, teacher, target, strict=True)
    ]
    loss = dkd_loss(student, teacher, target, alpha, beta, temperature)
    assert loss.item() == pytest.approx(sum(expected) / 6, rel=1e-9)


def test_dkd_with_the_coupled_weight_is_kd() -> None:
    student, teacher, target = logits(1, 5, 0), logits(1, 5, 1), torch.tensor([2])
    coupled = 1 - (teacher / 3).softmax(1)[0, 2].item()
    torch.testing.assert_close(dkd_loss(student, teacher, target, 1.0, coupled, 3.0), kd_loss(student, teacher, 3.0))


def test_dkd_keeps_the_target_term_of_a_confident_teacher() -> None:
    # p(target) of teacher and student round to 1 in float32, so 1 - p would lose TCKD and its gradient.
    teacher, student = torch.tensor([[30.0, 0.0, 0.0]]), torch.tensor([[25.0, 0.0, 0.0]], requires_grad=True)
    loss = dkd_loss(student, teacher, torch.tensor([0]), 1.0, 0.0, 1.0)
    (gradient,) = torch.autograd.grad(loss, student)
    wide = student.detach().double().requires_grad_()
    dkd_loss(wide, teacher.double(), torch.tensor([0]), 1.0, 0.0, 1.0).backward()
    torch.testing.assert_close(gradient.double(), wide.grad, rtol=1e-4, atol=1e-13)
    assert gradient[0, 0] < 0


def test_cross_entropy_two_classes_by_hand() -> None:
    student = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    loss = mixed_cross_entropy(student, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)


def test_mixed_labels_by_hand_with_a_share_for_each_image() -> None:
    student = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    loss = mixed_cross_entropy(student, torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([0.25, 1.0]))
    first = 0.25 * math.log(4 / 3) + 0.75 * math.log(4)
    assert loss.item() == pytest.approx((first + math.log(4 / 3)) / 2, rel=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_mixed_labels_equal_cross_entropy_with_label_vectors(label_smoothing: float) -> None:
    student, first, second = logits(6, 4, 0), labels(6, 4), labels(6, 4).roll(1)
    mix = torch.linspace(0, 1, 6, dtype=torch.float64)
    vector = mix[:, None] * F.one_hot(first, 4) + (1 - mix[:, None]) * F.one_hot(second, 4)
    torch.testing.assert_close(
        mixed_cross_entropy(student, first, second, mix, label_smoothing),
        F.cross_entropy(student, vector, label_smoothing=label_smoothing),
    )


def test_gradients_match_finite_differences() -> None:
    student, teacher, target = logits(3, 4, 0, 1.0), logits(3, 4, 1, 1.0), labels(3, 4)
    student.requires_grad_()
    mix = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: kd_loss(s, teacher, 2.0), student)
    assert torch.autograd.gradcheck(lambda s: dkd_loss(s, teacher, target, 1.0, 8.0, 2.0), student)
    assert torch.autograd.gradcheck(lambda s: mixed_cross_entropy(s, target, target.roll(1), mix, 0.1), student)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_extreme_logits_stay_finite_in_float32_under_autocast(dtype: torch.dtype, temperature: float) -> None:
    student = torch.tensor([[100.0, -100.0, 0.0], [-100.0, 100.0, 100.0]], dtype=dtype, requires_grad=True)
    teacher = -student.detach()
    target = torch.tensor([1, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [
            kd_loss(student, teacher, temperature),
            dkd_loss(student, teacher, target, 1.0, 8.0, temperature),
            mixed_cross_entropy(student, target, target.flip(0), torch.tensor([0.5, 0.5])),
        ]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, student, retain_graph=True)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(RequestError, match="temperature"):
        kd_loss(torch.zeros(1, 2), torch.zeros(1, 2), temperature)
    with pytest.raises(RequestError, match="temperature"):
        dkd_loss(torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([0]), 1.0, 1.0, temperature)


def test_one_channel_has_no_softmax() -> None:
    with pytest.raises(RequestError, match=r"1 output channel: .*two or more classes"):
        kd_loss(torch.zeros(4, 1), torch.zeros(4, 1), 4.0)
    with pytest.raises(RequestError, match="two or more classes"):
        mixed_cross_entropy(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))


def test_dkd_of_two_classes_is_refused_with_the_reason() -> None:
    with pytest.raises(RequestError, match=r"2 output channels: .*always 0"):
        dkd_loss(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), 1.0, 8.0, 4.0)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(RequestError, match=r"\(4, 3\).*\(1, 3\)"):
        kd_loss(torch.zeros(4, 3), torch.zeros(1, 3), 4.0)
    with pytest.raises(RequestError, match="one class number"):
        mixed_cross_entropy(torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(RequestError, match="loss for maps"):
        kd_loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), 4.0)
    with pytest.raises(RequestError, match="give both or neither"):
        mixed_cross_entropy(torch.zeros(1, 3), torch.tensor([0]), torch.tensor([1]))


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, math.nan])
def test_label_smoothing_out_of_range(label_smoothing: float) -> None:
    with pytest.raises(RequestError, match="label smoothing"):
        mixed_cross_entropy(torch.zeros(1, 3), torch.tensor([0]), label_smoothing=label_smoothing)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_dkd_weights_out_of_range(weight: float) -> None:
    with pytest.raises(RequestError, match="weight of DKD's non-target term"):
        dkd_loss(torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([0]), 1.0, weight, 4.0)
