"""Image quality: PSNR and SSIM on Y and on RGB, as super-resolution reports them.

Shapes: B images of H by W pixels, N images of the split; planes P are Y, R, G and B, in 8-bit units (0..255).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.metrics.table import ImageTable, as_dicts, check_same_shape, sum_dtype

PSNR_CAP = 100.0
"""dB. Identical images have no finite PSNR, and JSON and means have no infinity: PSNR is the lesser of the two."""

_WINDOW = 11
_SIGMA = 1.5
_PEAK = 255.0
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2
_STRIP_PIXELS = 2**16
"""Images are read in strips of about this many pixels, so that memory stays small for photographs of any size."""


class ImageQuality:
    """PSNR in dB and SSIM of the output against the truth, means over images.

    Both images are rounded to 8 bits, x -> round(255 x), halves to even, and `scale` pixels are shaved on every
    side. Y is BT.601 in studio range, 16 + 65.481 R + 128.553 G + 24.966 B, not rounded. PSNR is
    10 log10(255² / MSE), at most `PSNR_CAP`; on RGB its MSE is over all three channels. SSIM is that of Wang et al.,
    "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, equation 13: an 11x11 Gaussian
    of sigma 1.5, K1 = 0.01, K2 = 0.03, data range 255, over the window positions that lie inside the image; on
    RGB the mean of the channels.
    """

    name = "psnr_y"
    unit = "dB"
    higher_is_better = True

    def __init__(self, scale: int) -> None:
        """Shave `scale` pixels, 0 or more."""
        if scale < 0:
            raise RequestError(f"a border of {scale} pixels cannot be shaved: give 0 or more")
        self.scale = scale
        self._table = ImageTable(("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"))

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take images (B, 3, H, W) in [0, 1] and their `target` of the same shape.

        Raises:
            RequestError: shapes that differ, not three channels, or fewer than 11 pixels a side after shaving.
        """
        target = batch["target"]
        check_same_shape(prediction, target)
        self._check_size(prediction)
        for image, truth in zip(prediction, target, strict=True):
            mse_P, ssim_P = _compare(self._shaved(image), self._shaved(truth))
            self._table.add(
                _psnr(mse_P[:1]),
                ssim_P[:1],
                _psnr(mse_P[1:].mean(dim=0, keepdim=True)),
                ssim_P[1:].mean(dim=0, keepdim=True),
            )

    def compute(self) -> dict[str, float]:
        """`psnr_y`, `ssim_y`, `psnr_rgb`, `ssim_rgb`.

        Raises:
            RequestError: no image was seen.
            RunFailedError: a pixel was not finite.
        """
        return {name: column.mean().item() for name, column in self._table.read().items()}

    def per_image(self) -> list[dict[str, float]]:
        """The same four of each image."""
        return as_dicts(self._table.read())

    def _shaved(self, image: Tensor) -> Tensor:
        border = self.scale
        return image[:, border : image.shape[1] - border, border : image.shape[2] - border]

    def _check_size(self, images: Tensor) -> None:
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1] != 3:
            raise RequestError(f"images of shape {shape} are not RGB: give (batch, 3, height, width)")
        if min(shape[2:]) - 2 * self.scale < _WINDOW:
            raise RequestError(
                f"an image of {shape[2]}x{shape[3]} pixels without a border of {self.scale} is smaller than SSIM's "
                f"{_WINDOW}x{_WINDOW} window: give at least {_WINDOW + 2 * self.scale} pixels a side"
            )


def _compare(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(P,) mean squared error and (P,) mean SSIM of two (3, H, W) images in [0, 1]."""
    height, width = image.shape[1:]
    squared = torch.stack(
        [
            (_planes(image[:, rows]) - _planes(truth[:, rows])).square().sum(dim=(1, 2))
            for rows in _strips(height, width, overlap=0)
        ]
    )
    similar = torch.stack(
        [
            _ssim(_planes(image[:, rows]), _planes(truth[:, rows])).sum(dim=(1, 2))
            for rows in _strips(height, width, overlap=_WINDOW - 1)
        ]
    )
    windows = (height - _WINDOW + 1) * (width - _WINDOW + 1)
    return squared.sum(dim=0) / (height * width), similar.sum(dim=0) / windows


def _strips(height: int, width: int, overlap: int) -> Iterator[slice]:
    """Row ranges that share `overlap` rows with the next, so that each window position lies in exactly one."""
    step = max(2 * _WINDOW, _STRIP_PIXELS // width)
    for start in range(0, height - overlap, step):
        yield slice(start, min(start + step + overlap, height))


def _planes(image: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] to Y, R, G, B (4, H, W) in 8-bit units; R, G and B are whole numbers."""
    rgb = (image.float().clamp(0, 1) * _PEAK).round().to(sum_dtype(image.device))
    red, green, blue = rgb / _PEAK
    luma = 16.0 + 65.481 * red + 128.553 * green + 24.966 * blue
    return torch.cat((luma[None], rgb))


def _psnr(mse: Tensor) -> Tensor:
    return (10.0 * torch.log10(_PEAK**2 / mse)).clamp_max(PSNR_CAP)


def _ssim(image: Tensor, truth: Tensor) -> Tensor:
    """SSIM of each window position, (P, H - 10, W - 10), of two (P, H, W) images in 8-bit units."""
    moments = torch.stack((image, truth, image.square() + truth.square(), image * truth))
    mean_image, mean_truth, squares, product = _blurred(_blurred(moments, dim=-2), dim=-1)
    means_squared = mean_image.square() + mean_truth.square()
    means_product = mean_image * mean_truth
    structure = (2 * (product - means_product) + _C2) / (squares - means_squared + _C2)
    luminance = (2 * means_product + _C1) / (means_squared + _C1)
    similarity: Tensor = luminance * structure
    return similarity


def _blurred(maps: Tensor, dim: int) -> Tensor:
    """The Gaussian window along one dimension. Shifted sums: convolution in float64 unfolds, 12 times slower."""
    weights = _gaussian()
    length = maps.shape[dim] - _WINDOW + 1
    blurred = maps.narrow(dim, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        blurred.add_(maps.narrow(dim, shift, length), alpha=weight)
    return blurred


def _gaussian() -> list[float]:
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    return (weights / weights.sum()).tolist()
