"""The variance of distillation gradients under Mixup: moments in closed form, against quadrature and sampling."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.logit_gradients import linear_nckd_gradient, nckd_gradient
from densedistill.distill.mixup_gradients import measure_mixup, sampled_spread
from densedistill.distill.mixup_moments import beta_moment, quadratic_moments, quadrature, variance_factor

CONCENTRATIONS = (0.2, 0.8, 1.0, 3.0)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_beta_moments(concentration: float) -> None:
    c = concentration
    assert beta_moment(c, 1, 0) == pytest.approx(0.5)
    assert beta_moment(c, 2, 0) == pytest.approx((c + 1) / (2 * (2 * c + 1)))
    assert beta_moment(c, 1, 1) == pytest.approx(c / (2 * (2 * c + 1)))
    assert beta_moment(c, 4, 0) == pytest.approx(
        c * (c + 1) * (c + 2) * (c + 3) / math.prod(2 * c + k for k in range(4))
    )
    assert 2 * beta_moment(c, 2, 0) == pytest.approx(variance_factor(c))
    assert variance_factor(c) < 1


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_quadratic_moments_agree_with_quadrature(concentration: float) -> None:
    first, cross, last = (noise(4, 3, seed=seed) for seed in range(3))
    mean, variance = quadratic_moments(first, cross, last, concentration)
    nodes, weights = quadrature(concentration, nodes=4)
    values = [share**2 * first + share * (1 - share) * cross + (1 - share) ** 2 * last for share in nodes]
    weighed = torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum(dim=0)
    squares = torch.stack([weight * value**2 for weight, value in zip(weights, values, strict=True)]).sum(dim=0)
    torch.testing.assert_close(mean, weighed)
    torch.testing.assert_close(variance, squares - weighed**2)


def test_what_does_not_depend_on_the_share_has_no_variance() -> None:
    value = noise(3, 3)
    mean, variance = quadratic_moments(value, 2 * value, value, 0.8)
    torch.testing.assert_close(mean, value)
    assert variance.abs().max() < 1e-12


@pytest.mark.parametrize("nodes", [1, 8])
def test_quadrature_s_weights_add_up(nodes: int) -> None:
    places, weights = quadrature(0.8, nodes)
    assert float(weights.sum()) == pytest.approx(1)
    assert float((weights * places).sum()) == pytest.approx(0.5)
    assert ((places > 0) & (places < 1)).all()


def test_mixing_independent_images_leaves_the_factor_of_their_variance() -> None:
    """The corollary, by sampling: of images that are alike in distribution, whose labels are not among what varies."""
    images, classes, concentration = 20000, 12, 0.8
    difference, other = noise(images, classes), noise(images, classes, seed=1)
    target = torch.zeros(images, dtype=torch.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        share = torch.distributions.Beta(concentration, concentration).sample((images, 1)).double()
    plain, mixed = (
        float(linear_nckd_gradient(d, target).var(dim=0).sum())
        for d in (difference, share * difference + (1 - share) * other)
    )
    assert mixed / plain == pytest.approx(variance_factor(concentration), rel=0.02)


def test_spread_is_recovered_from_draws() -> None:
    between, within = 2.0 * noise(4000, 1, seed=2), 3.0 * noise(6, 4000, 1, seed=3)
    found = sampled_spread(between[None] + within)
    assert found.within == pytest.approx(9, rel=0.05)
    assert found.between == pytest.approx(4, rel=0.1)
    assert found.total == pytest.approx(13, rel=0.05)


class Linear:
    """Logits that are linear in the pixels: for them superposition is exact."""

    def __init__(self, classes: int, seed: int) -> None:
        self.weight = noise(12, classes, seed=seed)

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1).double() @ self.weight


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return noise(60, 3, 2, 2, seed=5), torch.arange(60) % 6


def test_for_networks_that_superpose_the_measured_spread_is_the_superposed_one(batch: tuple[Tensor, Tensor]) -> None:
    found = measure_mixup(Linear(6, 1), Linear(6, 2), *batch, draws=300, temperature=2.0)
    for loss in (found.nckd, found.kd):
        assert loss.measured.within == pytest.approx(loss.superposed.within, rel=0.05)
        assert loss.measured.between == pytest.approx(loss.superposed.between, rel=0.05)
    images, target = batch
    plain = nckd_gradient(Linear(6, 1)(images), Linear(6, 2)(images), target, 2.0)
    assert found.nckd.plain == pytest.approx(float(plain.var(dim=0).sum()))
    assert found.nckd.change == pytest.approx(found.nckd.measured.total / found.nckd.plain)


def test_at_high_temperature_the_closed_form_is_exact(batch: tuple[Tensor, Tensor]) -> None:
    found = measure_mixup(Linear(6, 1), Linear(6, 2), *batch, draws=2, temperature=1e5)
    for loss in (found.nckd, found.kd):
        assert loss.closed_form.within == pytest.approx(loss.superposed.within, rel=1e-3)
        assert loss.closed_form.between == pytest.approx(loss.superposed.between, rel=1e-3)
        assert loss.linear_plain == pytest.approx(loss.plain, rel=1e-3)
        assert loss.closed_form.total < loss.linear_plain


def test_a_student_that_is_its_teacher_has_no_gradient(batch: tuple[Tensor, Tensor]) -> None:
    found = measure_mixup(Linear(6, 1), Linear(6, 1), *batch, draws=2)
    assert found.nckd.plain == found.nckd.measured.total == found.kd.closed_form.total == 0


def test_it_repeats_by_seed_and_leaves_the_global_generator_alone(batch: tuple[Tensor, Tensor]) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (measure_mixup(Linear(6, 1), Linear(6, 2), *batch, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first == again != other


def test_faults(batch: tuple[Tensor, Tensor]) -> None:
    images, target = batch
    pair = Linear(6, 1), Linear(6, 2)
    with pytest.raises(RequestError, match="1 draws of 60 images show no variance"):
        measure_mixup(*pair, images, target, draws=1)
    with pytest.raises(RequestError, match="give 2 draws or more and 3 images or more"):
        measure_mixup(*pair, images[:2], target[:2])
    with pytest.raises(RequestError, match="no parameter of Beta"):
        measure_mixup(*pair, images, target, concentration=0.0)
    with pytest.raises(RequestError, match="three or more"):
        measure_mixup(Linear(2, 1), Linear(2, 2), images, target % 2)
