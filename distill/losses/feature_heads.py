"""Logits from an intermediate feature, where networks of unlike architectures can be compared.

Shapes: B images, C channels, H by W positions, K classes.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.alignment import check_batch_norm, seeded
from densedistill.distill.losses.checks import check_at_least_one, check_channels
from densedistill.distill.losses.features import as_map
from densedistill.distill.losses.vectors import pooled


class LogitHead(nn.Module):
    """A head on one stage of the student, for `ofa_loss` against the teacher's logits.

    Hao et al., "One-for-All", NeurIPS 2023, section 3: what an architecture leaves in its features is discarded
    by mapping them to logits. As in the authors' code for convolutional students, `halvings` separable blocks of
    stride 2 (the channels double in each, the last gives `width`) or, without any, one 1x1 convolution; then the
    mean over positions and a linear layer. Tokens without a class token are read as a map, where the authors take
    transformer blocks. It runs in the precision of the networks around it.
    """

    def __init__(self, channels: int, classes: int, width: int, halvings: int = 0, seed: int = 0) -> None:
        """Build the head from a generator of its own.

        Args:
            channels: C of the tapped feature.
            classes: K.
            width: features before the linear layer; the authors take the wider of both networks' last stages.
            halvings: stages that follow the tapped one: 3 for the first of four stages, 0 for the last.
            seed: gives the head's weights.

        Raises:
            RequestError: a count below 1, or below 0 for `halvings`.
        """
        super().__init__()
        for name, value in (("channels", channels), ("classes", classes), ("width", width)):
            check_at_least_one(name, value)
        if halvings < 0:
            raise RequestError(f"halvings {halvings} would enlarge the map: give 0 or more")
        self.channels, self.halvings = channels, halvings
        self.blocks = seeded(lambda: _blocks(channels, width, halvings), seed)
        self.classifier = seeded(lambda: nn.Linear(width, classes), seed + 1)

    def forward(self, feature: Tensor) -> Tensor:
        """Logits (B, K) of a feature (B, C, H, W) or of tokens (B, L, C).

        Raises:
            RequestError: another shape, other channels than promised, or a single value for each channel of a
                batch-norm.
        """
        images, _, height, width = (feature_map := as_map(feature, feature)).shape
        check_channels(feature_map, self.channels, "the student's")
        if self.halvings:
            step = 2**self.halvings
            check_batch_norm(self, images, -(-height // step), -(-width // step))
        logits: Tensor = self.classifier(pooled(self.blocks(feature_map)))
        return logits


def _blocks(channels: int, width: int, halvings: int) -> nn.Sequential:
    if not halvings:
        return nn.Sequential(nn.Conv2d(channels, width, kernel_size=1))
    widths = [channels * 2**step for step in range(halvings)] + [width]
    return nn.Sequential(*itertools.starmap(_separable, itertools.pairwise(widths)))


def _separable(channels: int, wanted: int) -> nn.Sequential:
    """Two depthwise separable convolutions, the first of stride 2."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, wanted, kernel_size=1, bias=False),
        nn.BatchNorm2d(wanted),
        nn.ReLU(inplace=True),
    )
