"""Heads on intermediate features: sizes, widths, and what they demand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import LogitHead

Noise = Callable[..., Tensor]


@pytest.mark.parametrize(("halvings", "widths"), [(0, []), (1, [20]), (3, [16, 32, 20])])
def test_blocks_halve_the_map_and_double_the_channels(noise: Noise, halvings: int, widths: list[int]) -> None:
    head = LogitHead(8, 5, width=20, halvings=halvings)
    feature = noise(2, 8, 8, 8).float()
    sizes = []
    for block in head.blocks:
        feature = block(feature)
        sizes.append(tuple(feature.shape[1:]))
    expected = [(width, 8 >> step, 8 >> step) for step, width in enumerate(widths, start=1)]
    assert sizes == (expected or [(20, 8, 8)])
    assert head(noise(2, 8, 8, 8).float()).shape == (2, 5)


def test_last_stage_is_a_linear_map_of_the_mean(noise: Noise) -> None:
    head = LogitHead(3, 5, width=4).double()
    feature = noise(2, 3, 4, 4)
    convolution = head.blocks[0]
    hidden = feature.mean((2, 3)) @ convolution.weight[:, :, 0, 0].T + convolution.bias
    torch.testing.assert_close(head(feature), hidden @ head.classifier.weight.T + head.classifier.bias)
    torch.testing.assert_close(head(feature.flatten(2).transpose(1, 2)), head(feature))


def test_every_weight_is_trained(noise: Noise) -> None:
    head = LogitHead(4, 5, width=6, halvings=2)
    (head(noise(4, 4, 8, 8).float()) * noise(4, 5, seed=1).float()).sum().backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()


def test_one_image_needs_more_than_one_place_at_the_end(noise: Noise) -> None:
    head = LogitHead(4, 5, width=6, halvings=2)
    assert head(noise(1, 4, 5, 5).float()).isfinite().all()
    with pytest.raises(RequestError, match="no variance"):
        head(noise(1, 4, 4, 4).float())
    assert LogitHead(4, 5, width=6)(noise(1, 4, 1, 1).float()).isfinite().all()


def test_faults_of_the_request(noise: Noise) -> None:
    with pytest.raises(RequestError, match="halvings -1"):
        LogitHead(4, 5, width=6, halvings=-1)
    with pytest.raises(RequestError, match="width 0"):
        LogitHead(4, 5, width=0)
    with pytest.raises(RequestError, match="3 channels and its projector takes 4"):
        LogitHead(4, 5, width=6)(noise(2, 3, 2, 2).float())
