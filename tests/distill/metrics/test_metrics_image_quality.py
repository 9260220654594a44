"""PSNR and SSIM against scikit-image and hand values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.metrics import PSNR_CAP, ImageQuality
from densedistill.distill.metrics import image_quality as subject


def photograph(height: int, width: int) -> Tensor:
    pixels = torch.from_numpy(data.astronaut()[40 : 40 + height, 120 : 120 + width].copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


def noisy(image: Tensor, amount: float = 0.05) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + amount * noise).clamp(0, 1)


def figures(prediction: Tensor, truth: Tensor, scale: int) -> dict[str, float]:
    metric = ImageQuality(scale)
    metric.update(prediction, {"target": truth})
    return metric.compute()


def by_skimage(prediction: Tensor, truth: Tensor, scale: int) -> dict[str, float]:
    rgb = []
    for image in (prediction, truth):
        pixels = np.round(image[0].permute(1, 2, 0).double().numpy() * 255)
        rgb.append(pixels[scale : pixels.shape[0] - scale, scale : pixels.shape[1] - scale])
    luma = [16 + pixels @ np.array([65.481, 128.553, 24.966]) / 255 for pixels in rgb]
    ssim = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return {
        "psnr_y": peak_signal_noise_ratio(*luma, data_range=255),
        "ssim_y": structural_similarity(*luma, **ssim),
        "psnr_rgb": peak_signal_noise_ratio(*rgb, data_range=255),
        "ssim_rgb": structural_similarity(*rgb, **ssim, channel_axis=2),
    }


@pytest.mark.parametrize("scale", [0, 2, 4])
@pytest.mark.parametrize("size", [(64, 80), (51, 33)])
def test_agrees_with_scikit_image(scale: int, size: tuple[int, int]) -> None:
    truth = photograph(*size)
    prediction = noisy(truth)
    ours = figures(prediction, truth, scale)
    assert ours == pytest.approx(by_skimage(prediction, truth, scale), abs=1e-9)
    assert next(iter(ours)) == ImageQuality.name


def test_flat_regions_keep_their_precision() -> None:
    # The variance of a bright flat region is a small difference of large squares.
    truth = torch.full((1, 3, 40, 40), 250 / 255)
    prediction = truth.clone()
    prediction[..., ::3] -= 1 / 255
    assert figures(prediction, truth, 0) == pytest.approx(by_skimage(prediction, truth, 0), abs=1e-9)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = photograph(64, 80)
    whole = figures(noisy(truth), truth, 4)
    for pixels in (1, 72 * 23, 72 * 45, 72 * 46, 72 * 47):
        monkeypatch.setattr(subject, "_STRIP_PIXELS", pixels)
        assert figures(noisy(truth), truth, 4) == pytest.approx(whole, abs=1e-9)


def test_constant_offset_by_hand() -> None:
    truth = torch.full((1, 3, 16, 16), 100 / 255)
    ours = figures(torch.full((1, 3, 16, 16), 110 / 255), truth, 0)
    assert ours["psnr_rgb"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-9)
    assert ours["psnr_y"] == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-9)
    constant = (0.01 * 255) ** 2
    assert ours["ssim_rgb"] == pytest.approx((2 * 100 * 110 + constant) / (100**2 + 110**2 + constant), abs=1e-9)


def test_prediction_is_rounded_to_8_bits() -> None:
    truth = photograph(20, 20)
    assert figures(truth + 0.4 / 255, truth, 0) == figures(truth, truth, 0)
    assert figures(truth - 0.6 / 255, truth, 0)["psnr_rgb"] == pytest.approx(20 * math.log10(255), abs=0.2)


def test_identical_images_have_the_cap_and_similarity_one() -> None:
    truth = photograph(20, 20)
    expected = {"psnr_y": PSNR_CAP, "ssim_y": 1.0, "psnr_rgb": PSNR_CAP, "ssim_rgb": 1.0}
    assert figures(truth, truth, 2) == pytest.approx(expected, abs=1e-12)


def test_border_is_not_seen() -> None:
    truth = photograph(30, 30)
    prediction = noisy(truth)
    framed = torch.zeros_like(prediction)
    framed[..., 4:26, 4:26] = prediction[..., 4:26, 4:26]
    assert figures(framed, truth, 4) == figures(prediction, truth, 4)
    assert figures(framed, truth, 3)["psnr_y"] < figures(prediction, truth, 3)["psnr_y"] - 1


def test_means_over_images_of_several_sizes() -> None:
    metric = ImageQuality(2)
    first, second = photograph(24, 30), photograph(40, 20)
    metric.update(noisy(first, 0.02).repeat(2, 1, 1, 1), {"target": first.repeat(2, 1, 1, 1)})
    metric.update(noisy(second), {"target": second})
    alone = [figures(noisy(first, 0.02), first, 2), figures(noisy(second), second, 2)]
    assert metric.per_image() == [alone[0], alone[0], alone[1]]
    for name, value in metric.compute().items():
        assert value == pytest.approx((2 * alone[0][name] + alone[1][name]) / 3)


def test_a_diverged_network_is_named() -> None:
    truth = photograph(20, 20)
    prediction = truth.clone()
    prediction[0, 0, 10, 10] = math.nan
    with pytest.raises(RunFailedError, match="not finite"):
        figures(prediction, truth, 2)


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="0 or more"):
        ImageQuality(-1)
    with pytest.raises(RequestError, match="at least 19 pixels"):
        ImageQuality(4).update(torch.zeros(1, 3, 18, 40), {"target": torch.zeros(1, 3, 18, 40)})
    with pytest.raises(RequestError, match="not RGB"):
        ImageQuality(4).update(torch.zeros(1, 1, 40, 40), {"target": torch.zeros(1, 1, 40, 40)})
    with pytest.raises(RequestError, match="same size"):
        ImageQuality(4).update(torch.zeros(1, 3, 40, 40), {"target": torch.zeros(1, 3, 44, 40)})
    with pytest.raises(RequestError, match="no image"):
        ImageQuality(4).compute()
