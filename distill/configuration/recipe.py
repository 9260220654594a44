"""How an arm is trained: optimiser, schedule, length, batch, clipping, stopping, averaging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
"""Of every part of a configuration. Infinity and not-a-number are refused: JSON has neither, so that a run would end
without its result."""


class EarlyStopping(BaseModel):
    """Stop when the validation figure has not improved for `patience` evaluations in a row."""

    model_config = FROZEN

    monitor: Literal["loss", "metric"] = "metric"
    patience: int = Field(default=30, ge=1)


class Recipe(BaseModel):
    """The training recipe of one arm."""

    model_config = FROZEN

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD only."""
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    """Applies to every trainable parameter, as in the reference recipes."""

    schedule: Literal["cosine", "plateau", "steps", "constant"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0)
    """Linear warm-up from 0, counted in steps; it comes before any schedule."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    milestones: tuple[int, ...] = ()
    """Epochs after which `steps` multiplies the rate by `gamma`."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    plateau_patience: int = Field(default=2, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)

    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=128, ge=1)
    """Images in one optimiser step, over all processes together."""
    views_per_epoch: int | None = Field(default=None, ge=1)
    """Augmented views in an epoch; None: each training image once."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between two evaluations on the validation part; the last epoch is always evaluated."""

    clip_norm: float | None = Field(default=None, gt=0)
    """Bound on the norm of the gradient; None leaves it as it is."""
    clip_projectors: bool = True
    """Whether the bound holds for projectors too, and not for the student alone. Reference 004 found that leaving them
    out holds feature distillation back; it stays as an arm to measure that."""
    early_stopping: EarlyStopping | None = None
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and saved."""
    freeze_batch_norm: bool = False
    """Keep the student's batch-norm statistics as they were at the start."""

    @model_validator(mode="after")
    def _check_clipping(self) -> Self:
        """Refuse to leave projectors out of a clipping that there is not."""
        if self.clip_norm is None and not self.clip_projectors:
            raise ValueError(
                "clip_projectors=False leaves projectors out of clipping, and nothing is clipped: give clip_norm, "
                "such as 1.0, or leave clip_projectors at True"
            )
        return self

    def changed(self, changes: Mapping[str, object]) -> Recipe:
        """This recipe with some fields changed and validated again."""
        return Recipe.model_validate({**self.model_dump(), **changes})
