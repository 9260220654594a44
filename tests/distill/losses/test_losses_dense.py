"""Losses on maps and images, and the frozen extractor of the perceptual loss."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import Perceptual, l1, perceptual_l1, probability_mse, weighted_bce
from densedistill.distill.objective import LossTerm, Objective
from densedistill.distill.outputs import Prediction, StepOutputs


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_probability_mse_by_hand() -> None:
    student = torch.tensor([0.0, math.log(3)]).view(1, 1, 1, 2)
    teacher = torch.tensor([math.log(3), -math.log(3)]).view(1, 1, 1, 2)
    # Probabilities (1/2, 3/4) against (3/4, 1/4).
    assert probability_mse(student, teacher).item() == pytest.approx((0.0625 + 0.25) / 2, rel=1e-6)


def test_weighted_bce_by_hand_with_a_soft_target() -> None:
    logits = torch.full((1, 1, 1, 3), math.log(3))
    mask = torch.tensor([1.0, 0.0, 0.5]).view(1, 1, 1, 3)
    positive, negative = math.log(4 / 3), math.log(4)
    expected = (10 * positive + negative + (10 * 0.5 * positive + 0.5 * negative)) / 3
    assert weighted_bce(logits, mask, 10.0).item() == pytest.approx(expected, rel=1e-6)


def test_l1_by_hand_without_clamping() -> None:
    image = torch.tensor([1.5, 0.25, -0.5]).view(1, 3, 1, 1).requires_grad_()
    loss = l1(image, torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(1.25 / 3)
    assert image.grad is not None
    torch.testing.assert_close(image.grad.flatten(), torch.tensor([1.0, -1.0, -1.0]) / 3)


def test_gradients_match_finite_differences() -> None:
    student, teacher = noise(2, 1, 3, 3).requires_grad_(), noise(2, 1, 3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: probability_mse(s, teacher), student)
    assert torch.autograd.gradcheck(lambda s: weighted_bce(s, teacher.sigmoid(), 10.0), student)
    assert torch.autograd.gradcheck(lambda s: l1(s, teacher), student)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_extreme_logits_stay_finite_in_float32_under_autocast(dtype: torch.dtype) -> None:
    student = torch.tensor([100.0, -100.0]).view(1, 1, 1, 2).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [
            probability_mse(student, -student.detach()),
            weighted_bce(student, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), 10.0),
            l1(student, torch.zeros(1, 1, 1, 2)),
        ]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, student, retain_graph=True)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert gradient.isfinite().all()
    assert losses[1].item() == pytest.approx((100 + 10 * 100) / 2)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(RequestError, match="mask"):
        weighted_bce(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))
    with pytest.raises(RequestError, match="teacher"):
        probability_mse(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    with pytest.raises(RequestError, match="true image"):
        l1(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("pos_weight", [0.0, -1.0, math.nan, math.inf])
def test_pos_weight_must_be_positive(pos_weight: float) -> None:
    with pytest.raises(RequestError, match="pos_weight"):
        weighted_bce(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), pos_weight)


def extractor() -> nn.Sequential:
    """A fixed linear map: the mean of the channels, doubled; dropout shows whether it is in eval mode."""
    layers = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Dropout(0.9))
    nn.init.constant_(layers[0].weight, 2 / 3)
    nn.init.constant_(layers[0].bias, 1.0)
    return layers


def step(image: Tensor, truth: Tensor) -> StepOutputs:
    return StepOutputs(batch={"input": truth, "target": truth}, student=Prediction(output=image, taps={}))


def test_perceptual_by_hand() -> None:
    image, truth = torch.full((2, 3, 4, 4), 0.75, requires_grad=True), torch.full((2, 3, 4, 4), 0.25)
    loss = Perceptual(extractor())(step(image, truth))
    loss.backward()
    assert loss.item() == pytest.approx(1.0, rel=1e-6)
    assert image.grad is not None
    torch.testing.assert_close(image.grad, torch.full_like(image, 2 / 3 / 32))


def test_perceptual_extractor_is_frozen_and_out_of_optimizer_and_checkpoint() -> None:
    features = extractor()
    objective = Objective([LossTerm(name="perceptual", fn=Perceptual(features))])
    objective.train()
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert not features.training
    objective(step(torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4)))["perceptual"].backward()
    assert all(parameter.grad is None for parameter in features.parameters())
    assert copy.deepcopy(objective).state_dict() == {}


def test_perceptual_extractor_follows_the_image_to_its_device() -> None:
    features = extractor()
    image = torch.zeros(1, 3, 4, 4, device="meta")
    assert Perceptual(features)(step(image, image)).device.type == "meta"
    assert features[0].weight.device.type == "meta"


def test_perceptual_runs_in_float32_under_autocast() -> None:
    image, truth = noise(1, 3, 8, 8).float(), noise(1, 3, 8, 8, seed=1).float()
    expected = perceptual_l1(extractor().eval(), image, truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = Perceptual(extractor())(step(image, truth))
    assert torch.equal(loss, expected)
