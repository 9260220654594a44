"""Losses on maps as terms of an objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densedistill.distill.losses.checks import check_label_smoothing, check_pos_weight, check_weight
from densedistill.distill.losses.maps import weighted_bce
from densedistill.distill.losses.maps_boundaries import boundary_weight
from densedistill.distill.losses.maps_dice import dice_loss
from densedistill.distill.losses.maps_labels import pixel_cross_entropy
from densedistill.distill.losses.precision import widened
from densedistill.distill.losses.terms import TermFunction
from densedistill.distill.outputs import Prediction, StepOutputs

MapLoss = Callable[..., Tensor]
"""(student's map, teacher's map) -> scalar; where pixels are weighed also (..., weight=(B, 1, H, W))."""


@dataclass(frozen=True, slots=True)
class OnMaps:
    """A loss of both networks' maps (B, C, H, W). Needs the teacher."""

    loss: MapLoss

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """The loss of this step."""
        return self.loss(outputs.student.output, outputs.taught().output.detach())


@dataclass(frozen=True, slots=True)
class OnProbabilities:
    """A loss of the student's logits (B, 1, H, W) against the teacher's probabilities. Needs the teacher."""

    loss: MapLoss

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """The loss of this step."""
        return self.loss(outputs.student.output, widened(outputs.taught().output.detach()).sigmoid())


@dataclass(frozen=True, kw_only=True, slots=True)
class NearBoundaries:
    """A loss of both networks' maps in which pixels near the truth's boundaries count more. Needs the teacher."""

    loss: MapLoss
    boundaries: Callable[[Tensor], Tensor]
    """From the batch's target to a mask (B, 1, H, W) in [0, 1]."""
    width: float
    """See `boundary_weight`."""
    strength: float

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """The loss of this step."""
        weight = boundary_weight(self.boundaries(outputs.target), self.width, self.strength)
        return self.loss(outputs.student.output, outputs.taught().output.detach(), weight=weight)


class AtUnitScale(nn.Module):
    """A term that finds each of the teacher's features with a mean square of 1 in the batch. Needs the teacher.

    Networks without normalisation layers have features of any size, and their squared errors with them: a few units in
    a published edge detector's finest stage, hundreds in its coarsest.
    """

    def __init__(self, term: TermFunction) -> None:
        """Wrap `term`; a module's parameters become this one's."""
        super().__init__()
        self.term = term

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The term's loss."""
        taught = outputs.taught()
        taps = {path: _at_unit_scale(feature) for path, feature in taught.taps.items()}
        return self.term(dataclasses.replace(outputs, teacher=Prediction(output=taught.output, taps=taps)))


def _at_unit_scale(feature: Tensor) -> Tensor:
    wide = widened(feature.detach())
    square = wide.square().mean()
    # A dead feature stays what it is.
    return wide * torch.where(square > 0, square, 1.0).rsqrt()


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskLoss:
    """`weighted_bce` of the student's map (B, 1, H, W) against the batch's mask + `dice_weight` times `dice_loss`."""

    pos_weight: float = 1.0
    dice_weight: float = 0.0
    """>= 0."""

    def __post_init__(self) -> None:
        check_pos_weight(self.pos_weight)
        check_weight("dice_weight", self.dice_weight)

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Weighted cross-entropy in nats, plus Dice's share."""
        cross_entropy = weighted_bce(outputs.student.output, outputs.target, self.pos_weight)
        if not self.dice_weight:
            return cross_entropy
        return cross_entropy + self.dice_weight * dice_loss(outputs.student.output, outputs.target)


@dataclass(frozen=True, slots=True)
class PixelLabels:
    """`pixel_cross_entropy` of the student's map (B, K, H, W) against the batch's labels (B, H, W)."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_label_smoothing(self.label_smoothing)

    def __call__(self, outputs: StepOutputs) -> Tensor:
        """Cross-entropy in nats."""
        return pixel_cross_entropy(outputs.student.output, outputs.target, self.label_smoothing)
