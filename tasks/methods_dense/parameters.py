"""What the dense methods' parameters share: the labels' term of each task, and the methods' own settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import BaseModel, Field

from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.losses import MaskLoss, PixelLabels, TermFunction
from densedistill.distill.losses.maps_affinity import MOST_NODES
from densedistill.distill.objective import LossTerm
from densedistill.tasks.methods.parameters import Positive, Share, Weight


class Labelled(BaseModel, ABC):
    """Parameters that know their task's own loss and, in either of two ways, how much it counts beside a teacher."""

    model_config = FROZEN

    @abstractmethod
    def label_loss(self) -> TermFunction:
        """The loss of the labels, which needs no teacher."""

    @abstractmethod
    def own(self) -> LossTerm:
        """`hard`, of that loss."""


class MaskLabels(Labelled):
    """The truth of maps whose pixels are on or off, such as edges: BCE(pos_weight) + dice_weight·Dice loss."""

    pos_weight: Positive = 10.0
    """How many times more a missed positive pixel costs than a false one."""
    dice_weight: Weight = 0.0
    """Of the Dice loss beside the cross-entropy, in every arm."""

    def label_loss(self) -> TermFunction:
        """`MaskLoss`."""
        return MaskLoss(pos_weight=self.pos_weight, dice_weight=self.dice_weight)


class ClassLabels(Labelled):
    """The truth of maps of classes: cross-entropy of the labelled pixels."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def label_loss(self) -> TermFunction:
        """`PixelLabels`."""
        return PixelLabels(self.label_smoothing)


class Blend(Labelled, ABC):
    """α·method + (1 - α)·labels."""

    alpha: Share = 0.5
    """The teacher's share; 0 is plain training."""

    def own(self) -> LossTerm:
        """`hard`, of the rest."""
        return LossTerm(name="hard", fn=self.label_loss(), weight=1.0 - self.alpha, alone_weight=1.0)


class Softened(Blend):
    """Parameters of `kd`."""

    temperature: Positive = 1.0


class Bounded(Softened):
    """Parameters of `boundary`."""

    boundary_width: Positive = 3.0
    """Standard deviation of the neighbourhood of a boundary, in pixels."""
    boundary_strength: Weight = 10.0
    """What a boundary's own pixels count more; 0 is `kd`."""


class Beside(Labelled, ABC):
    """weight·method + hard_weight·labels."""

    weight: Weight = 1.0
    """Of the method's term; 0 is plain training."""
    hard_weight: Weight = 1.0
    """Of the labels' term beside it; alone, in the control arm, its weight is 1."""

    def own(self) -> LossTerm:
        """`hard`."""
        return LossTerm(name="hard", fn=self.label_loss(), weight=self.hard_weight, alone_weight=1.0)


class Channelwise(Beside):
    """Parameters of `cwd`, the paper's for the logits of 19 classes."""

    weight: Weight = 3.0
    temperature: Positive = 4.0


class Pairwise(Beside):
    """Parameters of `affinity`, the paper's weight. Its code has 0.5, nine nodes by max-pooling, and no gradient
    through the features' lengths.

    The edge demonstration's U-Nets start with a gradient three times the labels', which falls to theirs within 10 steps
    and below it within 30; beside PiDiNet as the teacher it starts with six to nine times theirs.
    """

    weight: Weight = 10.0
    nodes: Annotated[int, Field(ge=2)] = MOST_NODES
    """Places of a map that are compared at most; each pair of them."""
