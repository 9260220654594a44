"""DIST and multi-level distillation against numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import dist_loss, kd_loss, mlkd_loss, standardise

Noise = Callable[..., Tensor]


def probabilities(logits: Tensor, temperature: float) -> np.ndarray:
    powers = np.exp(logits.numpy() / temperature)
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize(("inter", "intra", "temperature"), [(2.0, 2.0, 4.0), (1.0, 0.0, 1.0), (0.0, 3.0, 2.0)])
def test_dist_equals_numpy_correlations(noise: Noise, inter: float, intra: float, temperature: float) -> None:
    student, teacher = noise(5, 4), noise(5, 4, seed=1)
    mine, theirs = probabilities(student, temperature), probabilities(teacher, temperature)
    rows = np.mean([1 - np.corrcoef(mine[b], theirs[b])[0, 1] for b in range(5)])
    columns = np.mean([1 - np.corrcoef(mine[:, k], theirs[:, k])[0, 1] for k in range(4)])
    loss = dist_loss(student, teacher, inter, intra, temperature)
    assert loss.item() == pytest.approx(temperature**2 * (inter * rows + intra * columns), rel=1e-5)


def test_dist_is_zero_for_a_linear_image_of_the_teacher() -> None:
    # (p + 1/K) / 2 is a distribution that is linear in p with the same factors everywhere.
    teacher = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
    student = (teacher + 1 / 3) / 2
    assert dist_loss(student.log(), teacher.log(), temperature=1.0).item() == pytest.approx(0.0, abs=1e-5)
    assert kd_loss(student.log(), teacher.log(), 1.0).item() > 0.05


def test_dist_of_one_image_needs_the_intra_term_off(noise: Noise) -> None:
    student, teacher = noise(1, 4), noise(1, 4, seed=1)
    with pytest.raises(RequestError, match="one image has no correlation"):
        dist_loss(student, teacher)
    expected = 2 * 16 * (1 - np.corrcoef(probabilities(student, 4.0)[0], probabilities(teacher, 4.0)[0])[0, 1])
    assert dist_loss(student, teacher, intra_weight=0.0).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("images", [1, 5])
def test_mlkd_equals_loops(noise: Noise, images: int) -> None:
    student, teacher = noise(images, 4), noise(images, 4, seed=1)
    expected = 0.0
    for temperature in (2.0, 4.0):
        mine, theirs = probabilities(student, temperature), probabilities(teacher, temperature)
        expected += temperature**2 * (theirs * np.log(theirs / mine)).sum() / images
        for i in range(images):
            for j in range(images):
                expected += (mine[i] @ mine[j] - theirs[i] @ theirs[j]) ** 2 / images
        for k in range(4):
            for m in range(4):
                expected += (mine[:, k] @ mine[:, m] - theirs[:, k] @ theirs[:, m]) ** 2 / 4
    assert mlkd_loss(student, teacher, (2.0, 4.0)).item() == pytest.approx(expected, rel=1e-9)


def test_mlkd_weighs_its_levels_and_standardises_the_first_alone(noise: Noise) -> None:
    student, teacher = noise(5, 4), noise(5, 4, seed=1)

    def level(name: str, **options: bool) -> Tensor:
        weights = {f"{other}_weight": float(other == name) for other in ("instance", "batch", "class")}
        return mlkd_loss(student, teacher, (2.0, 4.0), **weights, **options)

    each = {name: level(name) for name in ("instance", "batch", "class")}
    whole = mlkd_loss(student, teacher, (2.0, 4.0), instance_weight=1.5, batch_weight=0.5, class_weight=0.25)
    torch.testing.assert_close(whole, 1.5 * each["instance"] + 0.5 * each["batch"] + 0.25 * each["class"])
    assert torch.equal(level("batch", standardised=True), each["batch"])
    plain = kd_loss(standardise(student), standardise(teacher), 2.0) + kd_loss(
        standardise(student), standardise(teacher), 4.0
    )
    torch.testing.assert_close(level("instance", standardised=True), plain)
    with pytest.raises(RequestError, match="MLKD's class level"):
        mlkd_loss(student, teacher, class_weight=-1.0)


def test_mlkd_levels_stay_in_float32_under_autocast(noise: Noise) -> None:
    student, teacher = noise(8, 10).float(), noise(8, 10, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mlkd_loss(student, teacher)
    assert torch.equal(inside, mlkd_loss(student, teacher))


def test_gradients_match_finite_differences(noise: Noise) -> None:
    student, teacher = noise(3, 4).requires_grad_(), noise(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: dist_loss(s, teacher, temperature=1.0), student)
    assert torch.autograd.gradcheck(lambda s: mlkd_loss(s, teacher), student)


def test_faults_of_the_request() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(RequestError, match="no temperature"):
        mlkd_loss(logits, logits, ())
    with pytest.raises(RequestError, match=r"temperature 0\.0"):
        mlkd_loss(logits, logits, (4.0, 0.0))
    with pytest.raises(RequestError, match="intra-class"):
        dist_loss(logits, logits, intra_weight=-1.0)
    with pytest.raises(RequestError, match="two or more classes"):
        dist_loss(logits[:, :1], logits[:, :1])
