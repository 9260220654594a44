"""Unit vectors where there is none, and one vector from each kind of feature."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.vectors import pooled, unit

Noise = Callable[..., Tensor]


def test_unit_keeps_directions_and_leaves_zero_alone(noise: Noise) -> None:
    vectors = noise(3, 4)
    vectors[1] = 0
    vectors.requires_grad_()
    directions = unit(vectors)
    torch.testing.assert_close(directions[0], vectors[0] / vectors[0].norm())
    assert (directions[1] == 0).all()
    (gradient,) = torch.autograd.grad(directions.sum(), vectors)
    assert gradient[1].tolist() == [1.0] * 4


def test_gradient_matches_finite_differences(noise: Noise) -> None:
    assert torch.autograd.gradcheck(unit, noise(2, 3).requires_grad_())


def test_maps_tokens_and_vectors_are_pooled_to_channels(noise: Noise) -> None:
    feature = noise(2, 3, 4, 5)
    tokens = feature.flatten(2).transpose(1, 2)
    expected = feature.numpy().reshape(2, 3, 20).mean(2)
    for given in (feature, tokens, torch.from_numpy(expected)):
        torch.testing.assert_close(pooled(given), torch.from_numpy(expected))
    with pytest.raises(RequestError, match=r"\(2,\): tap a layer"):
        pooled(torch.zeros(2))
