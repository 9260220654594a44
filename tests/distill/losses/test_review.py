"""ReviewKD: the pyramid against loops, the fusion against its definition, and the order of stages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import AttentionFusion, ReviewDistillation, hcl_loss

Noise = Callable[..., Tensor]


@pytest.mark.parametrize(("size", "levels"), [(8, (4, 2, 1)), (4, (2, 1)), (2, (1,)), (1, ())])
@pytest.mark.parametrize("images", [1, 2])
def test_pyramid_equals_loops(noise: Noise, images: int, size: int, levels: tuple[int, ...]) -> None:
    student, teacher = noise(images, 3, size, size), noise(images, 3, size, size, seed=1)
    difference = (student - teacher).numpy()
    total, weight, weights = float((difference**2).mean()), 1.0, 1.0
    for level in levels:
        weight /= 2
        weights += weight
        step = size // level
        squares = [
            difference[:, :, i * step : (i + 1) * step, j * step : (j + 1) * step].mean((2, 3)) ** 2
            for i in range(level)
            for j in range(level)
        ]
        total += weight * float(np.mean(squares))
    assert hcl_loss(student, teacher).item() == pytest.approx(total / weights, rel=1e-9)


def test_pyramid_of_an_oblong_map_uses_the_levels_below_its_shorter_side(noise: Noise) -> None:
    student, teacher = noise(1, 1, 2, 8), noise(1, 1, 2, 8, seed=1)
    difference = student - teacher
    expected = (difference.square().mean() + difference.mean().square() / 2) / 1.5
    torch.testing.assert_close(hcl_loss(student, teacher), expected)


def test_gradients_match_finite_differences(noise: Noise) -> None:
    teacher = noise(1, 2, 4, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: hcl_loss(s, teacher), noise(1, 2, 4, 4).requires_grad_())
    module = ReviewDistillation([2, 3], [2, 2]).double().eval()
    teachers = [noise(1, 2, 4, 4), noise(1, 2, 2, 2)]
    students = noise(1, 2, 4, 4, seed=1).requires_grad_(), noise(1, 3, 2, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: module([a, b], teachers), students)


def test_fusion_equals_its_definition(noise: Noise) -> None:
    fusion = AttentionFusion(3, 4, 5, fuses=True).double().eval()
    feature, deeper = noise(2, 3, 4, 4), noise(2, 4, 2, 2, seed=1)
    fused, review = fusion(feature, deeper)
    reduced = torch.einsum("oc,bchw->bohw", fusion.reduce[0].weight[:, :, 0, 0], feature) / (1 + 1e-5) ** 0.5
    enlarged = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    attention = fusion.attention[0]
    levels = torch.einsum("oc,bchw->bohw", attention.weight[:, :, 0, 0], torch.cat((reduced, enlarged), 1))
    share = 1 / (1 + (-(levels + attention.bias[:, None, None])).exp())
    torch.testing.assert_close(review, reduced * share[:, :1] + enlarged * share[:, 1:])
    torch.testing.assert_close(fused, fusion.expand(review))
    assert fused.shape == (2, 5, 4, 4)


def test_deeper_stages_reach_shallower_losses_and_not_the_other_way(noise: Noise) -> None:
    module = ReviewDistillation([2, 3, 4], [2, 2, 2]).double().eval()
    sizes = (8, 4, 2)
    students = [
        noise(2, channels, size, size, seed=channels).requires_grad_()
        for channels, size in zip((2, 3, 4), sizes, strict=True)
    ]
    review, fused = None, {}
    for stage in (2, 1, 0):
        fused[stage], review = module.fusions[stage](students[stage], review)
    reached = {
        stage: [
            gradient is not None and bool((gradient != 0).any())
            for gradient in torch.autograd.grad(
                fused[stage].square().sum(), students, allow_unused=True, retain_graph=True
            )
        ]
        for stage in fused
    }
    assert reached == {2: [False, False, True], 1: [False, True, True], 0: [True, True, True]}
    teachers = [noise(2, 2, size, size, seed=9) for size in sizes]
    expected = torch.stack([hcl_loss(fused[stage], teachers[stage]) for stage in range(3)]).sum()
    torch.testing.assert_close(module(students, teachers), expected)


def test_unlike_sizes_meet_at_the_smaller(noise: Noise) -> None:
    module = ReviewDistillation([3], [2]).double().eval()
    student, teacher = noise(2, 3, 4, 4), noise(2, 2, 8, 8, seed=1)
    fused, _ = module.fusions[0](student, None)
    small = teacher.unflatten(3, (4, 2)).mean(4).unflatten(2, (4, 2)).mean(3)
    torch.testing.assert_close(module([student], [teacher]), hcl_loss(fused, small))


def test_every_weight_is_trained_and_the_inside_is_bounded(noise: Noise) -> None:
    module = ReviewDistillation([2, 3], [2, 2])
    students = [noise(4, 2, 4, 4).float(), noise(4, 3, 2, 2).float()]
    module(students, [noise(4, 2, 4, 4, seed=1).float(), noise(4, 2, 2, 2, seed=1).float()]).backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()
    assert ReviewDistillation([1024], [1]).fusions[0].reduce[0].out_channels == 512


def test_faults_of_the_request(noise: Noise) -> None:
    for student, teacher in (([], []), ([2], [2, 3])):
        with pytest.raises(RequestError, match="as many taps of either network"):
            ReviewDistillation(student, teacher)
    with pytest.raises(RequestError, match="channels 0"):
        ReviewDistillation([2], [0])
    module = ReviewDistillation([2], [2])
    with pytest.raises(RequestError, match="2 student and 1 teacher features"):
        module([noise(1, 2, 2, 2)] * 2, [noise(1, 2, 2, 2)])
    with pytest.raises(RequestError, match="3 channels and its projector takes 2"):
        module([noise(1, 3, 2, 2)], [noise(1, 2, 2, 2)])
    with pytest.raises(RequestError, match="no variance"):
        module([noise(1, 2, 1, 1).float()], [noise(1, 2, 1, 1).float()])
    with pytest.raises(RequestError, match="fused feature"):
        hcl_loss(noise(1, 2, 2, 2), noise(1, 3, 2, 2))
