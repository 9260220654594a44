"""Losses on images.

Outputs are compared as the network gave them, not clamped to [0, 1]: a clamp has no gradient outside its
range, so a pixel that overshoots would never be called back. Metrics clamp and round; losses do not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.losses.checks import check_same_shape
from densedistill.distill.losses.precision import widened, without_autocast
from densedistill.distill.outputs import StepOutputs


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of pixels.

    Args:
        image: (B, 3, H, W), any range; `truth` has image range [0, 1].
        truth: the same shape.

    Returns:
        Scalar >= 0, in units of the image range.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the output image", image, "the true image", truth)
    return F.l1_loss(widened(image), widened(truth))


def perceptual_l1(features: Callable[[Tensor], Tensor], image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of features, |φ(image) - φ(truth)|.

    The feature reconstruction loss of Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style
    Transfer and Super-Resolution", 2016, equation 2, with an absolute difference in place of the squared one.

    Args:
        features: φ, from (B, 3, H, W) in [0, 1] to features of any shape; normalises its input itself.
        image: (B, 3, H, W). Its gradient passes through φ.
        truth: the same shape, in [0, 1]; φ(truth) is a constant.

    Returns:
        Scalar >= 0, in units of the features. φ runs in float32 or wider too: two images that are close have
        features whose difference bfloat16 mostly rounds away.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the output image", image, "the true image", truth)
    with without_autocast(image):
        with torch.no_grad():
            wanted = features(widened(truth))
        return F.l1_loss(features(widened(image)), wanted)


class Perceptual(nn.Module):
    """`perceptual_l1` between the student's output and the target, through a frozen extractor.

    The extractor is held in a tuple, out of reach of `nn.Module`'s registry, since it is no part of what is
    trained. It appears in neither `parameters()` nor `state_dict()`: no optimizer, checkpoint, gradient clip
    or process group sees it; `train()` cannot wake its dropout or batch-norm, nor `half()` round its weights.
    It follows the images it is given to their device.
    """

    def __init__(self, features: nn.Module) -> None:
        """Freeze `features`, a map from (B, 3, H, W) in [0, 1] to features, and put it in eval mode."""
        super().__init__()
        self._extractor = (features.eval().requires_grad_(False),)

    def forward(self, outputs: StepOutputs) -> Tensor:
        """Scalar loss of the student's image (B, 3, H, W) against `target`."""
        image = outputs.student.output
        return perceptual_l1(self._extractor[0].to(image.device), image, outputs.target)
