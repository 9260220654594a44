"""SP, PKT and RKD against loops over images, their invariances, and collapsed features."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import (
    pkt_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    rkd_loss,
    similarity_loss,
)

Noise = Callable[..., Tensor]
LOSSES = [similarity_loss, pkt_loss, rkd_distance_loss, rkd_angle_loss, rkd_loss]


def huber(a: float, b: float) -> float:
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


def test_similarity_equals_loops_and_ignores_scale(noise: Noise) -> None:
    student, teacher = noise(4, 2, 3, 3), noise(4, 5, 2, 2, seed=1)
    rows = []
    for feature in (student, teacher):
        flat = feature.reshape(4, -1).numpy()
        gram = np.array([[float(a @ b) for b in flat] for a in flat])
        rows.append(np.array([row / math.sqrt((row**2).sum()) for row in gram]))
    expected = ((rows[0] - rows[1]) ** 2).sum() / 16
    assert similarity_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)
    assert similarity_loss(3 * student, teacher / 7).item() == pytest.approx(expected, rel=1e-9)


def test_pkt_equals_loops_and_ignores_each_images_scale(noise: Noise) -> None:
    student, teacher = noise(4, 6), noise(4, 3, seed=1)
    kernels = []
    for feature in (student, teacher):
        vectors = feature.numpy()
        kernel = np.zeros((4, 4))
        for i in range(4):
            for j in range(4):
                cosine = vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
                kernel[i, j] = (cosine + 1) / 2
        kernels.append(kernel / kernel.sum(1, keepdims=True))
    expected = (kernels[1] * np.log(kernels[1] / kernels[0])).mean()
    assert pkt_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)
    scales = torch.tensor([[1.0], [2.0], [0.5], [9.0]]).double()
    assert pkt_loss(student * scales, teacher).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spread", [1.0, 10.0])
def test_rkd_equals_loops_on_both_branches_of_the_huber_loss(noise: Noise, spread: float) -> None:
    student, teacher = noise(4, 3), noise(4, 5, seed=1)
    student[0] *= spread
    distances, angles = [], []
    for feature in (student.numpy(), teacher.numpy()):
        matrix = np.array([[np.linalg.norm(a - b) for b in feature] for a in feature])
        distances.append(matrix / (matrix.sum() / 12))
        cosines = np.zeros((4, 4, 4))
        for i in range(4):
            for j in range(4):
                for k in range(4):
                    if i not in (j, k):
                        a, b = feature[j] - feature[i], feature[k] - feature[i]
                        cosines[i, j, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        angles.append(cosines)
    distance = np.mean([huber(a, b) for a, b in zip(distances[0].flat, distances[1].flat, strict=True)])
    angle = np.mean([huber(a, b) for a, b in zip(angles[0].flat, angles[1].flat, strict=True)])
    assert np.abs(angles[0] - angles[1]).max() > 1
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(distance, rel=1e-9)
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(angle, rel=1e-9)
    assert rkd_loss(student, teacher).item() == pytest.approx(25 * distance + 50 * angle, rel=1e-9)


def test_rkd_ignores_shift_scale_and_rotation(noise: Noise) -> None:
    teacher = noise(5, 3)
    rotation = torch.linalg.qr(noise(3, 3, seed=1)).Q
    student = 4 * teacher @ rotation + 7
    assert rkd_loss(student, teacher).item() == pytest.approx(0.0, abs=1e-12)
    assert similarity_loss(teacher @ rotation, teacher).item() == pytest.approx(0.0, abs=1e-12)


def test_close_images_keep_their_digits_in_float32(noise: Noise) -> None:
    teacher, student = noise(5, 8), 1000 + 0.01 * noise(5, 8, seed=1)
    precise = rkd_distance_loss(student.float().double(), teacher)
    assert rkd_distance_loss(student.float(), teacher.float()).item() == pytest.approx(precise.item(), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_matches_finite_differences(noise: Noise, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    student, teacher = noise(4, 3).requires_grad_(), noise(4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)


@pytest.mark.parametrize("loss", LOSSES)
def test_dead_and_repeated_images_keep_the_gradient_bounded(
    noise: Noise, loss: Callable[[Tensor, Tensor], Tensor]
) -> None:
    dead = torch.zeros(4, 3)
    repeated = noise(4, 3).float()
    repeated[1] = repeated[0]
    repeated[2] = 0
    for feature in (dead, repeated):
        student = feature.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(student, noise(4, 5, seed=1).float()), student)
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1e3


@pytest.mark.parametrize(
    ("loss", "images", "why"),
    [
        (similarity_loss, 1, "similar to itself in every network; give 2 images"),
        (pkt_loss, 1, "probability 1 in every network; give 2 images"),
        (rkd_distance_loss, 2, "over its mean is always 1; give 3 images"),
        (rkd_angle_loss, 2, "three images to form an angle; give 3 images"),
        (rkd_loss, 1, "give 3 images"),
    ],
)
def test_too_few_images_are_refused_with_the_reason(loss: Callable[..., Tensor], images: int, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        loss(torch.zeros(images, 3), torch.zeros(images, 3))


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="of 3 images and the teacher's of 4"):
        similarity_loss(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(RequestError, match="RKD's angles"):
        rkd_loss(torch.zeros(3, 2), torch.zeros(3, 2), angle_weight=-1.0)
