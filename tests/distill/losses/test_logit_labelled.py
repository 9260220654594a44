"""DKD, NKD and OFA for plain and mixed labels, against definitions from probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import dkd_loss, kd_loss, mixed_dkd_loss, nkd_loss, ofa_loss

Noise = Callable[..., Tensor]
FIRST, SECOND = torch.tensor([0, 3, 2, 2]), torch.tensor([1, 0, 4, 2])
MIX = torch.tensor([0.2, 0.9, 0.5, 0.7], dtype=torch.float64)


def softened(row: Tensor, temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row.tolist()]
    return [power / sum(powers) for power in powers]


def nkd_by_definition(student: Tensor, teacher: Tensor, label: int, gamma: float, temperature: float) -> float:
    target = -softened(teacher, 1.0)[label] * math.log(softened(student, 1.0)[label])
    mine, theirs = softened(student, temperature), softened(teacher, temperature)
    others = -sum(
        theirs[k] / (1 - theirs[label]) * math.log(mine[k] / (1 - mine[label])) for k in range(5) if k != label
    )
    return target + gamma * temperature**2 * others


def ofa_by_definition(student: Tensor, teacher: Tensor, label: int, gamma: float, temperature: float) -> float:
    mine, theirs = softened(student, temperature), softened(teacher, temperature)
    return -sum(
        ((1 + theirs[k]) ** gamma - 1 if k == label else theirs[k] ** gamma) * math.log(mine[k]) for k in range(5)
    )


LABELLED = [(nkd_loss, nkd_by_definition), (ofa_loss, ofa_by_definition)]


@pytest.mark.parametrize(("loss", "definition"), LABELLED)
@pytest.mark.parametrize(("gamma", "temperature"), [(1.0, 1.0), (1.5, 2.0)])
def test_plain_and_mixed_labels_equal_the_definition(
    noise: Noise,
    loss: Callable[..., Tensor],
    definition: Callable[..., float],
    gamma: float,
    temperature: float,
) -> None:
    student, teacher = noise(4, 5), noise(4, 5, seed=1, scale=2.0)

    def by_definition(labels: Tensor) -> list[float]:
        rows = zip(student, teacher, labels.tolist(), strict=True)
        return [definition(s, t, y, gamma, temperature) for s, t, y in rows]

    first, second = by_definition(FIRST), by_definition(SECOND)
    plain = loss(student, teacher, FIRST, gamma, temperature)
    assert plain.item() == pytest.approx(sum(first) / 4, rel=1e-9)
    mixed = loss(student, teacher, FIRST, gamma, temperature, mixed_target=SECOND, mix=MIX)
    shares = [m * a + (1 - m) * b for m, a, b in zip(MIX.tolist(), first, second, strict=True)]
    assert mixed.item() == pytest.approx(sum(shares) / 4, rel=1e-9)


def test_mixed_dkd_at_either_end_and_for_equal_labels_is_dkd(noise: Noise) -> None:
    student, teacher = noise(4, 5), noise(4, 5, seed=1)

    def plain(labels: Tensor) -> Tensor:
        return dkd_loss(student, teacher, labels, 1.0, 8.0, 4.0)

    def mixed(labels: Tensor, others: Tensor, share: Tensor) -> Tensor:
        return mixed_dkd_loss(student, teacher, labels, 1.0, 8.0, 4.0, others, share)

    torch.testing.assert_close(mixed_dkd_loss(student, teacher, FIRST, 1.0, 8.0, 4.0), plain(FIRST))
    torch.testing.assert_close(mixed(FIRST, SECOND, torch.ones(4)), plain(FIRST))
    torch.testing.assert_close(mixed(FIRST, SECOND, torch.zeros(4)), plain(SECOND))
    torch.testing.assert_close(mixed(FIRST, FIRST, MIX), plain(FIRST))
    torch.testing.assert_close(mixed(FIRST, SECOND, MIX), mixed(SECOND, FIRST, 1 - MIX))
    assert not torch.isclose(mixed(FIRST, SECOND, MIX), plain(FIRST))


def test_coupled_weights_make_mixed_dkd_kd_whatever_the_labels(noise: Noise) -> None:
    # One image, whose teacher believes both labels alike, so that one beta is coupled for both.
    student, teacher = noise(1, 5), noise(1, 5, seed=1)
    teacher[0, 3] = teacher[0, 1]
    coupled = 1 - softened(teacher[0], 3.0)[1]
    mixed = mixed_dkd_loss(
        student, teacher, torch.tensor([1]), 1.0, coupled, 3.0, torch.tensor([3]), torch.tensor([0.3])
    )
    assert mixed.item() == pytest.approx(kd_loss(student, teacher, 3.0).item(), rel=1e-6)


def test_ofa_at_gamma_one_is_cross_entropy_against_the_teacher(noise: Noise) -> None:
    student, teacher = noise(4, 5), noise(4, 5, seed=1)
    expected = -(teacher.softmax(1) * student.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ofa_loss(student, teacher, FIRST), expected)
    torch.testing.assert_close(ofa_loss(student, teacher, SECOND), expected)


def test_gradients_match_finite_differences(noise: Noise) -> None:
    student, teacher = noise(4, 5).requires_grad_(), noise(4, 5, seed=1)
    mixed = {"mixed_target": SECOND, "mix": MIX}
    assert torch.autograd.gradcheck(lambda s: nkd_loss(s, teacher, FIRST, 1.5, 2.0, **mixed), student)
    assert torch.autograd.gradcheck(lambda s: ofa_loss(s, teacher, FIRST, 1.4, **mixed), student)
    assert torch.autograd.gradcheck(lambda s: mixed_dkd_loss(s, teacher, FIRST, 1.0, 8.0, 2.0, **mixed), student)


def test_faults_of_the_request() -> None:
    two, three, label = torch.zeros(1, 2), torch.zeros(1, 3), torch.tensor([0])
    with pytest.raises(RequestError, match=r"NKD needs three classes .* always 0"):
        nkd_loss(two, two, label)
    with pytest.raises(RequestError, match="DKD needs three classes"):
        mixed_dkd_loss(two, two, label, 1.0, 8.0, 4.0)
    with pytest.raises(RequestError, match="OFA's gamma 0"):
        ofa_loss(three, three, label, gamma=0.0)
    with pytest.raises(RequestError, match="NKD's non-target"):
        nkd_loss(three, three, label, gamma=-1.0)
    for loss in (nkd_loss, ofa_loss):
        with pytest.raises(RequestError, match="give both or neither"):
            loss(three, three, label, mix=torch.ones(1))
        with pytest.raises(RequestError, match="one class number"):
            loss(three, three, label[:, None])
        with pytest.raises(RequestError, match=r"\(1, 3\) and the teacher's \(1, 2\)"):
            loss(three, two, label)
