"""Negatives: never the image or its class, all others alike, and the same after a restart."""

from __future__ import annotations

import pytest
import torch

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.negatives import Negatives


def test_every_other_image_is_drawn_alike() -> None:
    draws = Negatives(5, 20_000, seed=3)(torch.tensor([0, 2, 4]))
    for own, row in zip((0, 2, 4), draws, strict=True):
        counts = torch.bincount(row, minlength=5)
        assert counts[own] == 0
        # 5000 of each are expected, with a standard deviation of 61.
        assert (counts[counts > 0] - 5000).abs().max() < 300
        assert (counts > 0).sum() == 4


def test_no_image_of_the_own_class_is_drawn_and_all_others_are() -> None:
    classes = torch.tensor([7, 0, 7, 3, 0, 7])
    draws = Negatives(6, 2000, classes)(torch.arange(6))
    for image, row in enumerate(draws.tolist()):
        assert set(row) == {other for other in range(6) if classes[other] != classes[image]}


def test_draws_follow_the_seed_and_go_on_after_a_restart() -> None:
    index = torch.arange(4)
    first = Negatives(100, 50, seed=1)
    one, two, three = (first(index) for _ in range(3))
    assert not torch.equal(one, two)
    again = Negatives(100, 50, seed=1)
    assert torch.equal(again(index), one)
    resumed = Negatives(100, 50, seed=1)
    resumed.load_state_dict(again.state_dict())
    assert torch.equal(resumed(index), two)
    assert torch.equal(resumed(index), three)
    assert not torch.equal(Negatives(100, 50, seed=2)(index), one)


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    Negatives(10, 5)(torch.arange(3))
    assert torch.equal(torch.rand(3), untouched)


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="1 image has nothing"):
        Negatives(1, 5)
    with pytest.raises(RequestError, match="1 class has nothing"):
        Negatives(3, 5, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(RequestError, match=r"\(2,\) do not fit 3"):
        Negatives(3, 5, torch.tensor([0, 1]))
