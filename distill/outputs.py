"""What one step hands to the losses: a batch, the student's outputs and, where a term asks for them, the teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Batch = Mapping[str, Tensor]
"""A batch by name. Always `input` (B, C, H, W) float32 and `index` (B,) int64, the image's place in its set.

`target` is whatever the task learns: class labels (B,) int64, an image (B, 3, H, W) in [0, 1], or a mask (B, 1, H, W)
in [0, 1]. A batch with mixed labels also holds `mixed_target` (B,) int64 and `mix` (B,) float32, the share of `target`.
"""


IGNORED = 255
"""In maps of classes, the label of pixels that have none, as the field's 8-bit masks mark them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A network's output and the features tapped on the way."""

    output: Tensor
    """Raw output: logits (B, K), an image (B, 3, H, W), or mask logits (B, 1, H, W)."""
    taps: Mapping[str, Tensor]
    """Features by module path, as the module returned them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutputs:
    """Everything a loss term may read."""

    batch: Batch
    student: Prediction
    teacher: Prediction | None = None
    """None where no term of the objective needs a teacher."""
    progress: float = 0.0
    """Epochs done before this step, not necessarily whole."""

    @property
    def target(self) -> Tensor:
        """The batch's target."""
        return self.batch["target"]

    def taught(self) -> Prediction:
        """The teacher's prediction.

        Raises:
            RuntimeError: a term that declared `needs_teacher=False` asked for the teacher.
        """
        if self.teacher is None:
            raise RuntimeError("this step has no teacher: the loss term must be declared with needs_teacher=True")
        return self.teacher
