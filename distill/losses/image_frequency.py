"""A loss on images' spectra: what differs at each frequency, however it is spread over the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from densedistill.distill.losses.checks import check_same_shape
from densedistill.distill.losses.precision import widened, without_autocast
from densedistill.distill.outputs import StepOutputs


def frequency_l1(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the real and imaginary parts of two images' Fourier transforms.

    The frequency reconstruction loss of Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring",
    ICCV 2021, at one scale. The transform is the orthonormal one, so that the loss does not grow with the
    image and an error that is white noise costs about what it costs in `l1`; the mean is over the whole spectrum.

    Args:
        image: (B, 3, H, W), any range; `truth` has image range [0, 1].
        truth: the same shape. Differentiable too: detach it, as the engine does.

    Returns:
        Scalar >= 0, in units of the image range.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the output image", image, "the true image", truth)
    with without_autocast(image):
        # The transform is linear: that of the difference is the difference of the transforms.
        spectrum = torch.fft.rfft2(widened(image) - widened(truth), norm="ortho")
        size = torch.view_as_real(spectrum).abs().mean(dim=-1)
        return (size * _multiplicity(image.shape[-1], size)).sum() / image.numel()


def _multiplicity(width: int, like: Tensor) -> Tensor:
    """How often each column of the half spectrum (width // 2 + 1,) stands in the whole one."""
    counts = torch.full((width // 2 + 1,), 2.0, dtype=like.dtype, device=like.device)
    counts[0] = 1.0
    if width % 2 == 0:
        counts[-1] = 1.0
    return counts


@dataclass(frozen=True, slots=True)
class TaughtFrequencies:
    """`frequency_l1` of the student's image (B, 3, H, W) against the teacher's. Needs the teacher."""

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Mean absolute difference of spectra, image range [0, 1]."""
        return frequency_l1(outputs.student.output, outputs.taught().output.detach())
