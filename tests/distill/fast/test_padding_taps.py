"""Kernel taps that only see padding get no gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from densedistill.distill.fast.padding_taps import guard_padding_taps, meeting_taps


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "padding", "expected"),
    [
        (1, 3, 2, 1, [False, True, False]),
        (1, 3, 1, 1, [False, True, False]),
        (2, 3, 2, 1, [False, True, True]),
        (4, 3, 2, 1, [True, True, True]),
        (2, 7, 1, 3, [False, False, True, True, True, False, False]),
    ],
)
def test_taps_that_meet_a_pixel(length: int, kernel: int, stride: int, padding: int, expected: list[bool]) -> None:
    assert meeting_taps(length, kernel, stride, padding, 1) == expected


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_guard_leaves_a_right_gradient_as_it_is(size: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    images = torch.randn(3, 4, size, size)
    convolution(images).square().sum().backward()
    right = convolution.weight.grad
    assert right is not None
    convolution.zero_grad()
    guard_padding_taps(convolution, {"input": images})
    convolution(images).square().sum().backward()
    assert convolution.weight.grad is not None
    assert torch.equal(convolution.weight.grad, right)


def test_the_guard_drops_what_padding_taps_are_given_and_nothing_else() -> None:
    convolution = nn.Conv2d(2, 2, 3, stride=2, padding=1)
    handles = guard_padding_taps(convolution, {"input": torch.randn(1, 2, 1, 1)})
    (convolution.weight * float("nan")).sum().backward()
    assert convolution.weight.grad is not None
    unmet = torch.ones(3, 3, dtype=torch.bool)
    unmet[1, 1] = False
    assert (convolution.weight.grad[..., unmet] == 0).all()
    assert convolution.weight.grad[..., 1, 1].isnan().all()
    assert len(handles) == 1
    assert convolution.training


def test_a_convolution_on_maps_of_several_sizes_keeps_what_any_of_them_meets() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(images).mean() + self.head(images.mean(dim=(2, 3), keepdim=True)).mean()

    torch.manual_seed(0)
    network, images = Shared(), torch.randn(2, 2, 8, 8)
    network(images).backward()
    assert network.head.weight.grad is not None
    right = network.head.weight.grad.clone()
    network.zero_grad()
    guard_padding_taps(network, {"input": images})
    network(images).backward()
    assert torch.equal(network.head.weight.grad, right)
