"""What holds for every loss: finite and in float32 at extremes, one image, and a teacher that is never trained."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import (
    ContrastiveDistillation,
    CurriculumTemperature,
    HintRegression,
    LogitHead,
    ReusedClassifier,
    ReviewDistillation,
    VariationalDistillation,
    attention_loss,
    ctkd_loss,
    dist_loss,
    dkd_loss,
    hcl_loss,
    kd_loss,
    mixed_dkd_loss,
    mlkd_loss,
    nkd_loss,
    ofa_loss,
    pkt_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    similarity_loss,
    standardise,
    wttm_loss,
)

Noise = Callable[..., Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def labels(logits: Tensor, first: int = 0) -> Tensor:
    return (torch.arange(len(logits)) + first) % logits.shape[1]


def mixing(logits: Tensor) -> dict[str, Tensor]:
    return {"mixed_target": labels(logits, 1), "mix": torch.linspace(0.3, 1.0, len(logits))}


def curriculum_loss(student: Tensor, teacher: Tensor) -> Tensor:
    return ctkd_loss(student, teacher, CurriculumTemperature()(0.5))


LOGIT_LOSSES: dict[str, Loss] = {
    "kd": lambda s, t: kd_loss(s, t.detach(), 4.0),
    "lskd": lambda s, t: kd_loss(standardise(s), standardise(t.detach()), 2.0),
    "lskd-dkd": lambda s, t: dkd_loss(standardise(s), standardise(t.detach()), labels(s), 1.0, 8.0, 2.0),
    "dkd": lambda s, t: mixed_dkd_loss(s, t, labels(s), 1.0, 8.0, 4.0, **mixing(s)),
    "dist": dist_loss,
    "dist-sharp": lambda s, t: dist_loss(s, t, temperature=1.0),
    "mlkd": mlkd_loss,
    "nkd": lambda s, t: nkd_loss(s, t, labels(s), **mixing(s)),
    "wttm": lambda s, t: wttm_loss(s, t, 4.0),
    "ctkd": curriculum_loss,
    "ofa": lambda s, t: ofa_loss(s, t, labels(s), 1.5, **mixing(s)),
}
NEEDS_MORE = {"dist": 2, "dist-sharp": 2, "similarity": 2, "pkt": 2, "rkd-distance": 3, "rkd-angle": 3}
"""Losses on relations between images, and how many they need."""


def contrastive(student: Tensor, teacher: Tensor) -> Tensor:
    module = ContrastiveDistillation(4, 4, 50, embedding=8, negatives=20).to(wide(student))
    return module(student, teacher, torch.arange(len(student)))


def reused(student: Tensor, teacher: Tensor) -> Tensor:
    head = ReusedClassifier(4, 4, nn.Linear(4, 3), (4, 4)).to(wide(student))
    return head.loss(student, teacher) + head(student).float().square().mean()


def heads(student: Tensor, teacher: Tensor) -> Tensor:
    head = LogitHead(4, 4, width=6, halvings=1).to(wide(student))
    return ofa_loss(head(student), teacher.mean((2, 3)), labels(student))


def wide(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


FEATURE_LOSSES: dict[str, Loss] = {
    "hint": lambda s, t: HintRegression(4, 4).to(wide(s))(s, t),
    "attention": attention_loss,
    "similarity": similarity_loss,
    "rkd-distance": rkd_distance_loss,
    "rkd-angle": rkd_angle_loss,
    "pkt": pkt_loss,
    "vid": lambda s, t: VariationalDistillation(4, 4).to(wide(s))(s, t),
    "crd": contrastive,
    "hcl": hcl_loss,
    "review": lambda s, t: ReviewDistillation([4, 4], [4, 4]).to(wide(s))([s, s], [t, t]),
    "simkd": reused,
    "ofa-head": heads,
}
NETWORKS = {"review", "simkd", "ofa-head"}
"""Their projectors are networks and run in the precision around them."""
CASES = [(name, loss, (6,)) for name, loss in LOGIT_LOSSES.items()]
CASES += [(name, loss, (4, 4, 4)) for name, loss in FEATURE_LOSSES.items()]


def every_loss(without: Collection[str] = ()) -> pytest.MarkDecorator:
    kept = [case for case in CASES if case[0] not in without]
    return pytest.mark.parametrize(("name", "loss", "shape"), kept, ids=[name for name, *_ in kept])


def extremes(kind: str, shape: tuple[int, ...], noise: Noise) -> tuple[Tensor, Tensor]:
    """Values of ±100 in opposition, one value everywhere, or a student that is its teacher."""
    student = noise(4, *shape).sign() * 100
    return {
        "opposed": (student, -student),
        "constant": (torch.full_like(student, 100.0), student),
        "equal": (student, student),
    }[kind]


@every_loss()
@pytest.mark.parametrize("kind", ["opposed", "constant", "equal"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_extremes_under_autocast_are_finite_and_in_float32(
    noise: Noise, name: str, loss: Loss, shape: tuple[int, ...], kind: str, dtype: torch.dtype
) -> None:
    student, teacher = (values.to(dtype) for values in extremes(kind, shape, noise))
    student = student.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss(without=NETWORKS)
def test_autocast_changes_nothing_in_float32(noise: Noise, name: str, loss: Loss, shape: tuple[int, ...]) -> None:
    student, teacher = noise(4, *shape).float(), noise(4, *shape, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(student, teacher)
    assert torch.equal(inside, loss(student, teacher))


@every_loss()
def test_teacher_gets_no_gradient_and_every_image_of_the_student_does(
    noise: Noise, name: str, loss: Loss, shape: tuple[int, ...]
) -> None:
    student, teacher = noise(4, *shape).requires_grad_(), noise(4, *shape, seed=1).requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad.flatten(1) != 0).any(dim=1).all()


@every_loss()
def test_one_image_is_defined_or_refused_with_the_reason(
    noise: Noise, name: str, loss: Loss, shape: tuple[int, ...]
) -> None:
    student, teacher = noise(1, *shape).requires_grad_(), noise(1, *shape, seed=1)
    if name in NEEDS_MORE:
        with pytest.raises(RequestError, match=f"a batch of 1 image is too small: .*; give {NEEDS_MORE[name]} images"):
            loss(student, teacher)
        return
    value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


@every_loss(without=["ctkd"])  # its temperature is a float32 parameter
def test_float64_stays_float64(noise: Noise, name: str, loss: Loss, shape: tuple[int, ...]) -> None:
    assert loss(noise(4, *shape), noise(4, *shape, seed=1)).dtype == torch.float64
