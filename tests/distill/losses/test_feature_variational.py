"""VID against torch's Gaussian, and its trainable parts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import VariationalDistillation, vid_loss

Noise = Callable[..., Tensor]


@pytest.mark.parametrize("images", [1, 3])
def test_equals_the_gaussian_likelihood_without_its_constant(noise: Noise, images: int) -> None:
    mean, teacher = noise(images, 4, 2, 3), noise(images, 4, 2, 3, seed=1)
    variance = noise(4, seed=2).exp()
    gaussian = torch.distributions.Normal(mean, variance.sqrt()[:, None, None])
    expected = -gaussian.log_prob(teacher).mean() - math.log(2 * math.pi) / 2
    torch.testing.assert_close(vid_loss(mean, variance, teacher), expected)


def test_best_variance_is_the_mean_squared_error(noise: Noise) -> None:
    mean, teacher = noise(3, 2, 2, 2), noise(3, 2, 2, 2, seed=1)
    best = (mean - teacher).square().mean((0, 2, 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(vid_loss(mean, best, teacher), best)
    torch.testing.assert_close(gradient, torch.zeros(2).double())


def test_gradients_match_finite_differences(noise: Noise) -> None:
    mean, variance, teacher = noise(2, 3, 2, 2), noise(3, seed=2).exp(), noise(2, 3, 2, 2, seed=1)
    inputs = (mean.requires_grad_(), variance.requires_grad_())
    assert torch.autograd.gradcheck(lambda m, v: vid_loss(m, v, teacher), inputs)
    module = VariationalDistillation(2, 3).double()
    assert torch.autograd.gradcheck(lambda s: module(s, teacher), noise(2, 2, 4, 4).requires_grad_())


def test_module_is_the_loss_of_its_parts(noise: Noise) -> None:
    module = VariationalDistillation(2, 3).double()
    first, second, third = (module.mean[place].weight[:, :, 0, 0] for place in (0, 2, 4))
    student, teacher = noise(2, 2, 4, 4), noise(2, 3, 2, 2, seed=1)
    small = student.unflatten(3, (2, 2)).mean(4).unflatten(2, (2, 2)).mean(3)
    hidden = torch.einsum("oc,bchw->bohw", first, small).clamp_min(0)
    hidden = torch.einsum("oc,bchw->bohw", second, hidden).clamp_min(0)
    mean = torch.einsum("oc,bchw->bohw", third, hidden)
    torch.testing.assert_close(module(student, teacher), vid_loss(mean, torch.full((3,), 5.0).double(), teacher))


def test_variance_starts_as_asked_stays_positive_and_is_trained(noise: Noise) -> None:
    module = VariationalDistillation(2, 3, initial_variance=0.7)
    torch.testing.assert_close(module.variance, torch.full((3,), 0.7))
    module(noise(2, 2, 2, 2).float(), noise(2, 3, 2, 2, seed=1).float()).backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()
    module.level.data.fill_(-1000.0)
    assert (module.variance > 0).all()


def test_faults_of_the_request(noise: Noise) -> None:
    with pytest.raises(RequestError, match="teacher channels 0"):
        VariationalDistillation(2, 0)
    with pytest.raises(RequestError, match="initial variance"):
        VariationalDistillation(2, 3, initial_variance=0.0)
    with pytest.raises(RequestError, match="4 channels and its projector takes 2"):
        VariationalDistillation(2, 3)(noise(2, 4, 2, 2), noise(2, 3, 2, 2))
    with pytest.raises(RequestError, match="predicted mean"):
        vid_loss(noise(2, 3, 2, 2), torch.ones(3), noise(2, 3, 2, 1))
