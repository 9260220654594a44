"""What the methods' parameters share: their types with bounds, and the labels' term beside what is taught."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.losses import HardLabels
from densedistill.distill.losses.checks import check_fraction, check_temperature
from densedistill.distill.objective import LossTerm

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""0 leaves the term out."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""An exponent, a variance or a length."""
Epochs = Annotated[int, Field(ge=0)]


def _temperature(value: float) -> float:
    check_temperature(value)
    return value


def _share(value: float) -> float:
    check_fraction("the teacher's share", value)
    return value


# The losses' own checks, since a bound alone would not say why it is there.
Temperature = Annotated[float, AfterValidator(_temperature)]
"""T > 0, by which logits are divided."""
Share = Annotated[float, AfterValidator(_share)]
"""α, in [0, 1]."""


class Labels(BaseModel):
    """Cross-entropy with the labels, which stands beside every method. Alone, in the control arm, its weight is 1."""

    model_config = FROZEN

    hard_weight: Weight = 1.0
    """Of the cross-entropy; 0 leaves it out."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def own(self) -> LossTerm:
        """`hard`."""
        fn = HardLabels(self.label_smoothing)
        return LossTerm(name="hard", fn=fn, weight=self.hard_weight, alone_weight=1.0)


class Weighted(Labels):
    """hard_weight·CE + weight·method."""

    weight: Weight = 1.0
    """Of the method's term; 0 is plain training."""


class Blended(BaseModel):
    """(1 - α)·CE + α·method."""

    model_config = FROZEN

    alpha: Share = 0.9
    """The teacher's share; 0 is plain training."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def own(self) -> LossTerm:
        """`hard`."""
        fn = HardLabels(self.label_smoothing)
        return LossTerm(name="hard", fn=fn, weight=1.0 - self.alpha, alone_weight=1.0)
