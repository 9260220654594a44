"""Losses on maps: closed forms, loops in NumPy, gradients, invariances, extremes and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import (
    affinity_loss,
    bernoulli_kl,
    boundary_weight,
    channel_kl,
    dice_loss,
    kd_loss,
    label_boundaries,
    pixel_cross_entropy,
    pixel_kl,
)
from densedistill.distill.losses.maps_affinity import grid_within

Noise = Callable[..., Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]

TAUGHT: dict[str, tuple[Loss, int]] = {
    "bernoulli": (lambda s, t: bernoulli_kl(s, t.detach(), 2.0), 1),
    "pixel": (lambda s, t: pixel_kl(s, t.detach(), 2.0), 3),
    "channel": (lambda s, t: channel_kl(s, t.detach()), 3),
    "affinity": (affinity_loss, 3),
    "dice": (lambda s, t: dice_loss(s, t.detach().sigmoid()), 1),
    "labels": (lambda s, t: pixel_cross_entropy(s, t.detach().argmax(1)), 3),
}
"""Losses of a student's map against something of its teacher's, and how many channels they are tried with."""
every_loss = pytest.mark.parametrize("name", TAUGHT)


def test_bernoulli_kl_by_hand() -> None:
    student, teacher = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), math.log(3))
    # At temperature 1 of 3/4 from 1/2.
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert bernoulli_kl(student, teacher).item() == pytest.approx(expected, rel=1e-6)
    # At temperature 2 the odds are the root of 3, times T squared.
    p = math.sqrt(3) / (1 + math.sqrt(3))
    soft = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert bernoulli_kl(student, teacher, 2.0).item() == pytest.approx(4 * soft, rel=1e-6)


def test_bernoulli_kl_is_kl_of_two_classes(noise: Noise) -> None:
    student, teacher = noise(2, 1, 4, 3, scale=3), noise(2, 1, 4, 3, seed=1, scale=3)
    classes = [torch.cat((torch.zeros_like(logits), logits), dim=1) for logits in (student, teacher)]
    torch.testing.assert_close(bernoulli_kl(student, teacher, 3.0), pixel_kl(*classes, 3.0))


def test_pixel_kl_is_kd_of_every_pixel(noise: Noise) -> None:
    student, teacher = noise(2, 5, 3, 4), noise(2, 5, 3, 4, seed=1)
    rows = [logits.permute(0, 2, 3, 1).reshape(-1, 5) for logits in (student, teacher)]
    torch.testing.assert_close(pixel_kl(student, teacher, 4.0), kd_loss(*rows, 4.0))


def test_weighted_pixels_are_averaged_by_their_weights(noise: Noise) -> None:
    student, teacher = noise(2, 3, 2, 2), noise(2, 3, 2, 2, seed=1)
    weight = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    weight[0, 0, 1, 0], weight[1, 0, 0, 1] = 1.0, 3.0
    single = [
        pixel_kl(student[i : i + 1, :, y : y + 1, x : x + 1], teacher[i : i + 1, :, y : y + 1, x : x + 1])
        for i, y, x in ((0, 1, 0), (1, 0, 1))
    ]
    torch.testing.assert_close(pixel_kl(student, teacher, weight=weight), (single[0] + 3 * single[1]) / 4)
    even = torch.full((2, 1, 2, 2), 7.0)
    torch.testing.assert_close(pixel_kl(student, teacher, weight=even), pixel_kl(student, teacher))


def test_channel_kl_by_loops(noise: Noise) -> None:
    student, teacher = noise(2, 3, 2, 4), noise(2, 3, 2, 4, seed=1)
    total = 0.0
    for image in range(2):
        for channel in range(3):
            own, wanted = (np.exp(values[image, channel].numpy().ravel() / 4.0) for values in (student, teacher))
            own, wanted = own / own.sum(), wanted / wanted.sum()
            total += float((wanted * np.log(wanted / own)).sum())
    assert channel_kl(student, teacher).item() == pytest.approx(16 * total / 6, rel=1e-9)


def test_channel_kl_does_not_see_what_a_channel_has_everywhere(noise: Noise) -> None:
    student, teacher = noise(2, 3, 2, 4), noise(2, 3, 2, 4, seed=1)
    moved = student + noise(2, 3, 1, 1, seed=2, scale=9)
    torch.testing.assert_close(channel_kl(moved, teacher), channel_kl(student, teacher))


def test_affinity_by_loops(noise: Noise) -> None:
    student, teacher = noise(2, 3, 2, 3), noise(2, 5, 2, 3, seed=1)

    def cosines(feature: np.ndarray) -> np.ndarray:
        vectors = feature.reshape(feature.shape[0], -1).T
        return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors])

    expected = np.mean([(cosines(s.numpy()) - cosines(t.numpy())) ** 2 for s, t in zip(student, teacher, strict=True)])
    assert affinity_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_affinity_does_not_see_lengths_nor_rotations_of_channels(noise: Noise) -> None:
    student, teacher = noise(2, 4, 3, 3), noise(2, 4, 3, 3, seed=1)
    rotation, _ = torch.linalg.qr(noise(4, 4, seed=2))
    turned = torch.einsum("ij,bjhw->bihw", rotation, student) * noise(2, 1, 3, 3, seed=3).abs()
    torch.testing.assert_close(affinity_loss(turned, teacher), affinity_loss(student, teacher))


def test_affinity_compares_a_grid_of_large_maps(noise: Noise) -> None:
    student, teacher = noise(1, 2, 8, 16), noise(1, 2, 4, 8, seed=1)
    small = [torch.nn.functional.adaptive_avg_pool2d(values, (2, 4)) for values in (student, teacher)]
    torch.testing.assert_close(affinity_loss(student, teacher, nodes=8), affinity_loss(*small))


@pytest.mark.parametrize(
    ("size", "nodes", "grid"),
    [((4, 5), 20, (4, 5)), ((4, 5), 100, (4, 5)), ((64, 64), 576, (24, 24)), ((32, 128), 64, (4, 16))],
)
def test_grids_keep_the_shape_within_their_nodes(size: tuple[int, int], nodes: int, grid: tuple[int, int]) -> None:
    assert grid_within(*size, nodes) == grid


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (481, 321), (7, 90)])
@pytest.mark.parametrize("nodes", [2, 5, 64, 576])
def test_no_grid_is_larger_than_asked_for(size: tuple[int, int], nodes: int) -> None:
    rows, columns = grid_within(*size, nodes)
    assert 1 <= rows * columns <= nodes
    assert rows <= size[0]
    assert columns <= size[1]


def test_dice_loss_by_hand() -> None:
    # Probabilities (1/2, 3/4) and a mask (0, 1): 2·3/4 over 1/4 + 9/16 + 1, one pixel added to both.
    logits, mask = torch.tensor([0.0, math.log(3)]).view(1, 1, 1, 2), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert dice_loss(logits, mask).item() == pytest.approx(1 - 2.5 / 2.8125, rel=1e-6)


def test_dice_loss_is_zero_at_the_target_and_where_nothing_is_said_of_nothing(noise: Noise) -> None:
    logits = noise(3, 1, 4, 4)
    assert dice_loss(logits, logits.sigmoid()).item() == pytest.approx(0, abs=1e-12)
    assert dice_loss(torch.full((1, 1, 4, 4), -100.0), torch.zeros(1, 1, 4, 4)).item() == 0


def test_boundary_weight_is_the_gaussian_of_the_distance_to_the_nearest_boundary() -> None:
    generator = torch.Generator().manual_seed(0)
    boundary = (torch.rand(2, 1, 14, 11, generator=generator) > 0.97).double()
    boundary[1] = 0
    weight = boundary_weight(boundary, 1.5, 10.0)
    places = boundary[0, 0].nonzero().numpy()
    assert len(places) > 1
    for y in range(14):
        for x in range(11):
            down, right = np.abs(places - (y, x)).T
            near = np.exp(-(down**2 + right**2) / (2 * 1.5**2))[(down <= 5) & (right <= 5)]
            assert weight[0, 0, y, x].item() == pytest.approx(1 + 10 * near.max(initial=0), rel=1e-9)
    assert (weight[1] == 1).all()


def test_soft_boundaries_weigh_by_their_share() -> None:
    boundary = torch.zeros(1, 1, 1, 9)
    boundary[..., 4] = 0.5
    weight = boundary_weight(boundary, 2.0, 4.0)[0, 0, 0]
    assert weight[4].item() == pytest.approx(3.0)
    assert weight[2].item() == pytest.approx(1 + 2 * math.exp(-0.5), rel=1e-6)


def test_label_boundaries_mark_both_sides_and_not_the_unlabelled() -> None:
    labels = torch.tensor([[[0, 0, 1], [0, 0, 1], [2, 255, 1]]])
    expected = torch.tensor([[[0, 1, 1], [1, 1, 1], [1, 0, 0]]])
    assert torch.equal(label_boundaries(labels, ignored=255)[:, 0].long(), expected)
    assert label_boundaries(labels)[0, 0, 2].tolist() == [1, 1, 1]


def test_pixel_cross_entropy_leaves_unlabelled_pixels_out(noise: Noise) -> None:
    logits = noise(2, 3, 2, 2).requires_grad_()
    labels = torch.tensor([[[0, 255], [255, 255]], [[255, 255], [2, 255]]])
    loss = pixel_cross_entropy(logits, labels)
    log_shares = logits.log_softmax(1)
    torch.testing.assert_close(loss, -(log_shares[0, 0, 0, 0] + log_shares[1, 2, 1, 0]) / 2)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[(labels == 255)[:, None].expand_as(gradient)] == 0).all()


def test_pixel_cross_entropy_of_unlabelled_ground_is_zero_and_teaches_nothing() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_cross_entropy(logits, torch.full((1, 2, 2), 255), label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert (gradient == 0).all()


@every_loss
def test_gradients_match_finite_differences(noise: Noise, name: str) -> None:
    loss, channels = TAUGHT[name]
    student, teacher = noise(2, channels, 3, 2).requires_grad_(), noise(2, channels, 3, 2, seed=1)
    assert torch.autograd.gradcheck(lambda values: loss(values, teacher), student)


@every_loss
@pytest.mark.parametrize("kind", ["opposed", "constant", "equal"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_extremes_under_autocast_are_finite_and_in_float32(
    noise: Noise, name: str, kind: str, dtype: torch.dtype
) -> None:
    loss, channels = TAUGHT[name]
    signs = noise(1, channels, 4, 4).sign().to(dtype) * 100
    student = torch.full_like(signs, 100.0) if kind == "constant" else signs.clone()
    student.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(student, -signs if kind == "opposed" else signs)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.isfinite().all()
    if kind == "equal" and name != "labels":
        assert value.item() == pytest.approx(0, abs=1e-6)


@every_loss
def test_autocast_changes_nothing_in_float32_and_float64_stays(noise: Noise, name: str) -> None:
    loss, channels = TAUGHT[name]
    student, teacher = noise(2, channels, 4, 4), noise(2, channels, 4, 4, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(student.float(), teacher.float())
    assert torch.equal(inside, loss(student.float(), teacher.float()))
    assert loss(student, teacher).dtype == torch.float64


@every_loss
def test_teacher_gets_no_gradient_and_one_image_is_enough(noise: Noise, name: str) -> None:
    loss, channels = TAUGHT[name]
    student, teacher = noise(1, channels, 4, 4).requires_grad_(), noise(1, channels, 4, 4, seed=1).requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad != 0).any()


def test_shapes_that_do_not_fit_are_refused() -> None:
    one, three, small = torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 2)
    for loss in (pixel_kl, channel_kl):
        with pytest.raises(RequestError, match="the student's map has shape"):
            loss(three, small)
    with pytest.raises(RequestError, match="the student's map has shape"):
        bernoulli_kl(one, three)
    with pytest.raises(RequestError, match="the target"):
        dice_loss(one, torch.zeros(1, 4, 4))
    with pytest.raises(RequestError, match="weight of pixels"):
        bernoulli_kl(one, one, weight=torch.ones(1, 1, 1, 4))
    with pytest.raises(RequestError, match="is no map"):
        channel_kl(torch.zeros(2, 10), torch.zeros(2, 10))
    with pytest.raises(RequestError, match="1 output channel: "):
        pixel_kl(one, one)
    with pytest.raises(RequestError, match="one class number for each pixel"):
        pixel_cross_entropy(three, torch.zeros(1, 1, 4, 4, dtype=torch.long))


def test_settings_out_of_range_are_refused() -> None:
    one = torch.zeros(1, 1, 4, 4)
    for temperature in (0.0, -1.0, math.inf):
        with pytest.raises(RequestError, match="temperature"):
            bernoulli_kl(one, one, temperature)
    with pytest.raises(RequestError, match="boundary_width 0"):
        boundary_weight(one, 0.0, 1.0)
    with pytest.raises(RequestError, match="boundary_strength -1"):
        boundary_weight(one, 1.0, -1.0)
    with pytest.raises(RequestError, match="1 nodes: give 2 or more"):
        affinity_loss(one, one, nodes=1)
