"""Contrast of images: near the teacher's, far from blurred ones.

Shapes: B images of H by W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_same_shape
from densedistill.distill.losses.precision import widened, without_autocast
from densedistill.distill.outputs import StepOutputs

Layers = Callable[[Tensor], Sequence[Tensor]]
"""From images (B, 3, H, W) in [0, 1] to their features at one layer or several, each with B as its first dimension."""

_TINY = 1e-7
"""Keeps the ratio finite where the student's image is the negative's."""


def contrast_ratio(
    layers: Layers, image: Tensor, positive: Tensor, negative: Tensor, weights: Sequence[float], negatives: int
) -> Tensor:
    """Distance to the positive over the summed distances to the negatives, a weighted sum over layers.

    Wang et al., "Towards Compact Single Image Super-Resolution via Contrastive Self-distillation", IJCAI 2021,
    the contrastive loss, with the mean absolute difference as the distance. The ratio is taken image by image, so
    that one image whose negatives lie far away does not hide another.

    Args:
        layers: the space that distances are measured in; normalises its input itself.
        image: (B, 3, H, W), the student's. Its gradient passes through `layers`.
        positive: the same shape, the teacher's image; a constant.
        negative: the same shape, such as the inputs enlarged bicubically; constants.
        weights: one for each layer, >= 0.
        negatives: K >= 1; image b is kept from negatives b, b + 1, ... of the batch, its own first, at most B of them.

    Returns:
        Scalar >= 0, dimensionless; 0 where `image` is `positive`. In float32 or wider throughout.

    Raises:
        RequestError: shapes that differ, no negative, or not one weight for each layer.
    """
    check_same_shape("the output image", image, "the teacher's", positive)
    check_same_shape("the output image", image, "the negatives", negative)
    if negatives < 1:
        raise RequestError(f"{negatives} negatives are nothing to contrast an image with: give 1 or more")
    with without_autocast(image):
        with torch.no_grad():
            wanted, unwanted = layers(widened(positive)), layers(widened(negative))
        found = layers(widened(image))
        if len(found) != len(weights):
            raise RequestError(f"{len(weights)} weights came for {len(found)} layers: give one for each")
        ratios = [
            weight * _distance(mine, theirs) / (_far(mine, others, negatives) + _TINY)
            for weight, mine, theirs, others in zip(weights, found, wanted, unwanted, strict=True)
        ]
        return torch.stack(ratios).sum(dim=0).mean()


def _distance(feature: Tensor, other: Tensor) -> Tensor:
    """(B,) mean absolute difference."""
    return (feature - other).abs().flatten(start_dim=1).mean(dim=1)


def _far(feature: Tensor, others: Tensor, negatives: int) -> Tensor:
    """(B,) sum of the distances to that many of the batch's `others`."""
    count = min(negatives, len(feature))
    return torch.stack([_distance(feature, others.roll(-shift, dims=0)) for shift in range(count)]).sum(dim=0)


def pixels(images: Tensor) -> list[Tensor]:
    """The images themselves: distances of pixels."""
    return [images]


class ContrastedImages(nn.Module):
    """`contrast_ratio` of the student's image; the negatives are the batch's inputs, enlarged. Needs the teacher.

    A network behind `layers` is kept out of reach of `nn.Module`'s registry, as in `Perceptual`: it is no part of
    what is trained or saved.
    """

    def __init__(
        self, layers: Layers, weights: Sequence[float], negatives: int, network: nn.Module | None = None
    ) -> None:
        """Freeze `network`, on which `layers` depends, and put it in eval mode; None: it depends on none."""
        super().__init__()
        self._layers, self.weights, self.negatives = (layers,), tuple(weights), negatives
        self._network = () if network is None else (network.eval().requires_grad_(False),)

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The ratio for the student's image (B, 3, H, W)."""
        image = outputs.student.output
        for network in self._network:
            network.to(image.device)
        enlarged = F.interpolate(outputs.batch["input"], size=image.shape[-2:], mode="bicubic", align_corners=False)
        return contrast_ratio(
            self._layers[0], image, outputs.taught().output.detach(), enlarged, self.weights, self.negatives
        )
