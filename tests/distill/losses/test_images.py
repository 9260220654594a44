"""Losses on spectra of images and on contrast of images: closed forms, loops in NumPy, gradients, extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from densedistill.backbones import vgg19_features
from densedistill.distill.errors import RequestError
from densedistill.distill.losses import ContrastedImages, TaughtFrequencies, contrast_ratio, frequency_l1, l1
from densedistill.distill.losses.image_contrast import pixels
from densedistill.distill.outputs import Prediction, StepOutputs

Noise = Callable[..., Tensor]


# -- frequencies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (6, 1), (1, 1), (8, 5)])
def test_half_a_spectrum_weighs_as_the_whole_one(noise: Noise, size: tuple[int, int]) -> None:
    image, truth = noise(2, 3, *size), noise(2, 3, *size, seed=1)
    found, wanted = (np.fft.fft2(part.numpy()) / math.sqrt(size[0] * size[1]) for part in (image, truth))
    parts = np.stack([found.real - wanted.real, found.imag - wanted.imag])
    assert frequency_l1(image, truth).item() == pytest.approx(np.abs(parts).mean(), rel=1e-12)


def test_a_constant_error_lies_in_one_frequency_and_a_wave_in_two() -> None:
    truth = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    # The zero frequency alone: 8 of the 128 real and imaginary parts of a channel.
    assert frequency_l1(truth + 0.5, truth).item() == pytest.approx(0.5 * 8 / 128)
    wave = torch.cos(2 * math.pi * torch.arange(8, dtype=torch.float64) * 2 / 8).expand(1, 3, 8, 8)
    assert frequency_l1(wave, truth).item() == pytest.approx(2 * 0.5 * 8 / 128)


def test_white_noise_costs_what_it_costs_in_pixels_and_a_shift_of_either_changes_nothing(noise: Noise) -> None:
    error = noise(1, 3, 128, 128)
    # |Re| and |Im| have 1/sqrt(2) of the deviation of a pixel.
    assert frequency_l1(error, 0 * error).item() == pytest.approx(l1(error, 0 * error).item() / math.sqrt(2), rel=0.02)
    assert frequency_l1(error + 7, torch.full_like(error, 7)).item() == pytest.approx(
        frequency_l1(error, 0 * error).item()
    )


def test_frequency_gradients(noise: Noise) -> None:
    image, truth = noise(2, 3, 4, 5).requires_grad_(), noise(2, 3, 4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda given: frequency_l1(given, truth), image)
    same = truth.clone().requires_grad_()
    frequency_l1(same, truth).backward()
    assert same.grad is not None
    assert not same.grad.any()


# -- contrast -----------------------------------------------------------------------------------------------------


def test_contrast_by_loops(noise: Noise) -> None:
    image, positive, negative = (noise(3, 3, 4, 5, seed=seed) for seed in range(3))

    def layers(images: Tensor) -> list[Tensor]:
        return [images.square(), images[:, :, ::2].sum(1)]

    expected = 0.0
    for place in range(3):
        for layer, weight in ((0, 0.5), (1, 2.0)):
            mine, near = layers(image)[layer][place], layers(positive)[layer][place]
            far = [layers(negative)[layer][(place + shift) % 3] for shift in range(2)]
            away = sum((mine - other).abs().mean().item() for other in far)
            expected += weight * (mine - near).abs().mean().item() / (away + 1e-7) / 3
    found = contrast_ratio(layers, image, positive, negative, (0.5, 2.0), negatives=2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_contrast_falls_towards_the_teacher_and_rises_towards_the_negative(noise: Noise) -> None:
    teacher, blurred = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    shares = torch.linspace(0, 1, 5).tolist()
    values = [
        contrast_ratio(pixels, torch.lerp(teacher, blurred, share), teacher, blurred, (1.0,), 1).item()
        for share in shares
    ]
    assert values[0] == 0
    # On the way from one to the other the ratio is share / (1 - share).
    assert values[1:4] == pytest.approx([share / (1 - share) for share in shares[1:4]], rel=1e-5)
    assert math.isfinite(values[4])


def test_contrast_does_not_depend_on_the_unit_of_the_features(noise: Noise) -> None:
    image, positive, negative = (noise(2, 3, 4, 4, seed=seed) for seed in range(3))
    plain = contrast_ratio(pixels, image, positive, negative, (1.0,), 2)
    scaled = contrast_ratio(lambda images: [100 * images], image, positive, negative, (1.0,), 2)
    assert scaled.item() == pytest.approx(plain.item(), rel=1e-6)


def test_one_image_has_its_own_negative_alone(noise: Noise) -> None:
    image, positive, negative = (noise(1, 3, 4, 4, seed=seed) for seed in range(3))
    assert contrast_ratio(pixels, image, positive, negative, (1.0,), 4) == contrast_ratio(
        pixels, image, positive, negative, (1.0,), 1
    )


def test_contrast_gradients_reach_the_student_alone(noise: Noise) -> None:
    positive, negative = (noise(2, 3, 3, 3, seed=seed).requires_grad_() for seed in (1, 2))
    image = noise(2, 3, 3, 3).requires_grad_()

    def loss(given: Tensor) -> Tensor:
        return contrast_ratio(lambda images: [images.tanh()], given, positive, negative, (1.0,), 2)

    assert torch.autograd.gradcheck(loss, image)
    loss(image).backward()
    assert positive.grad is None
    assert negative.grad is None


@pytest.mark.parametrize(
    ("weights", "negatives", "message"), [((1.0, 1.0), 1, "2 weights came for 1 layers"), ((1.0,), 0, "0 negatives")]
)
def test_contrast_refusals(noise: Noise, weights: tuple[float, ...], negatives: int, message: str) -> None:
    image = noise(1, 3, 4, 4)
    with pytest.raises(RequestError, match=message):
        contrast_ratio(pixels, image, image, image, weights, negatives)


# -- as terms -----------------------------------------------------------------------------------------------------


def outputs(student: Tensor, teacher: Tensor) -> StepOutputs:
    return StepOutputs(
        batch={"input": student.detach()[..., ::2, ::2].contiguous()},
        student=Prediction(output=student, taps={}),
        teacher=Prediction(output=teacher, taps={}),
    )


def test_terms_are_float32_and_finite_at_extremes_in_bfloat16() -> None:
    for level in (100.0, -100.0):
        student = torch.full((2, 3, 8, 8), level, dtype=torch.bfloat16, requires_grad=True)
        step = outputs(student, -student.detach())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for term in (TaughtFrequencies(), ContrastedImages(pixels, (1.0,), 2)):
                loss = term(step)
                assert loss.dtype == torch.float32
                assert loss.isfinite()
                (slope,) = torch.autograd.grad(loss, student)
                assert slope.isfinite().all()


def test_the_extractor_is_no_part_of_what_is_trained_and_its_layers_end_where_the_perceptual_loss_does() -> None:
    torch.manual_seed(0)
    network = vgg19_features("none").module
    images = torch.rand(2, 3, 16, 16)
    found = network.layers(images)  # type: ignore[operator]
    assert [tuple(layer.shape[1:]) for layer in found] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (256, 4, 4)]
    assert all((layer >= 0).all() for layer in found[:3])
    torch.testing.assert_close(found[-1], network(images))
    first = network.get_submodule("features.0")(
        (images - network.get_buffer("mean")) / network.get_buffer("std")
    ).relu()
    torch.testing.assert_close(found[0], first)
    term = ContrastedImages(network.layers, (1.0,) * 4, 1, network)  # type: ignore[arg-type]
    assert isinstance(term, nn.Module)
    assert not list(term.parameters())
    assert not term.state_dict()
    student = torch.rand(2, 3, 16, 16, requires_grad=True)
    term(outputs(student, torch.rand(2, 3, 16, 16))).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
