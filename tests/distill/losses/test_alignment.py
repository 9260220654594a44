"""Two features at one size, and weights that only their own seed decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import aligned
from densedistill.distill.losses.alignment import check_batch_norm, seeded

Noise = Callable[..., Tensor]


def test_the_larger_is_averaged_to_the_smaller_and_the_teacher_is_constant(noise: Noise) -> None:
    student, teacher = noise(2, 3, 8, 2).requires_grad_(), noise(2, 5, 4, 4, seed=1).requires_grad_()
    mine, theirs = aligned(student, teacher)
    torch.testing.assert_close(mine, student.unflatten(2, (4, 2)).mean(3))
    torch.testing.assert_close(theirs, teacher.unflatten(3, (2, 2)).mean(4).detach())
    assert mine.requires_grad
    assert not theirs.requires_grad


def test_tokens_meet_maps(noise: Noise) -> None:
    tokens, teacher = noise(2, 16, 3), noise(2, 5, 2, 2, seed=1)
    mine, theirs = aligned(tokens, teacher)
    assert torch.equal(theirs, teacher)
    torch.testing.assert_close(mine[:, :, 0, 0], tokens[:, [0, 1, 4, 5]].mean(1))


def test_other_images_are_refused(noise: Noise) -> None:
    with pytest.raises(RequestError, match="of 2 images and the teacher's of 3"):
        aligned(noise(2, 3, 4, 4), noise(3, 3, 4, 4))


def test_seeded_leaves_the_global_generator_alone_even_where_building_fails() -> None:
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (seeded(lambda: nn.Linear(4, 4), seed).weight for seed in (1, 1, 2))
    with pytest.raises(ZeroDivisionError):
        seeded(lambda: nn.Linear(4 // 0, 4), 1)
    assert torch.equal(torch.rand(3), untouched)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_single_value_has_no_variance_in_training() -> None:
    module = nn.BatchNorm2d(2)
    for images, height, width in ((2, 1, 1), (1, 2, 1)):
        check_batch_norm(module, images, height, width)
    with pytest.raises(RequestError, match="one image with a feature of 1x1"):
        check_batch_norm(module, 1, 1, 1)
    check_batch_norm(module.eval(), 1, 1, 1)
