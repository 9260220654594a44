"""A student that answers through its teacher's classifier: how it is made, and made again from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.features.classifier import classifier_of
from densedistill.distill.features.sources import Feature
from densedistill.distill.features.taps import evaluating
from densedistill.distill.losses.feature_reused import ReusedClassifier
from densedistill.distill.outputs import Prediction

PROJECTED = "head.projector"
"""Where a `ReusingNetwork` has its last map as its teacher's classifier reads it."""


class ReusedHead(BaseModel):
    """All that is needed, beside the weights, to build the head of a `ReusingNetwork`. Recorded with the arm."""

    model_config = FROZEN

    tap: str
    """The student's module whose map is projected."""
    channels_last: bool
    prefix_tokens: int
    student_channels: int
    teacher_channels: int
    classes: int
    bias: bool
    """Of the teacher's classifier."""
    teacher_size: tuple[int, int]
    reduction: int

    def around(self, student: nn.Module, classifier: nn.Linear | None = None, seed: int = 0) -> ReusingNetwork:
        """`student` behind this head; without the teacher's `classifier` its weights are yet to be loaded."""
        return ReusingNetwork(
            student,
            Feature(
                path=self.tap,
                shape=torch.Size((1, self.student_channels, 1, 1)),
                channels_last=self.channels_last,
                prefix_tokens=self.prefix_tokens,
            ),
            ReusedClassifier(
                self.student_channels,
                self.teacher_channels,
                classifier or nn.Linear(self.teacher_channels, self.classes, bias=self.bias, device="cpu"),
                self.teacher_size,
                self.reduction,
                seed,
            ),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """A student changed by its method, with what its record says of the change."""

    network: nn.Module
    taps: tuple[str, ...]
    """Module paths of the changed network that the method reads."""
    moved: str
    """What the paths of the student's own modules now begin with."""
    record: ReusedHead


class ReusingNetwork(nn.Module):
    """Images (B, 3, H, W) to logits (B, K): the student's last map, projected, through the teacher's classifier.

    Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022. The student's own layers after
    that map are kept, so that its weights load, but have no part in the answer and are frozen.
    """

    def __init__(self, student: nn.Module, feature: Feature, head: ReusedClassifier) -> None:
        super().__init__()
        self.student, self.head, self._feature = student, head, feature
        self._kept: Tensor | None = None
        # A bound method: copies of this network get a hook of their own.
        student.get_submodule(feature.path).register_forward_hook(self._keep)
        declared: Any = getattr(student, "feature_info", ())
        self.feature_info = tuple(_moved(info) for info in declared)

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._kept = output

    def forward(self, images: Tensor) -> Tensor:
        """Classify; see the class for shapes."""
        self.student(images)
        kept, self._kept = self._kept, None
        if kept is None:
            raise RuntimeError(f"the student did not run its module '{self._feature.path}'")
        logits: Tensor = self.head(self._feature.read(Prediction(output=kept, taps={self._feature.path: kept})))
        return logits

    def get_classifier(self) -> nn.Module:
        """The teacher's."""
        return self.head.classifier

    def freeze_unused(self, images: Tensor) -> None:
        """Freeze what the answer does not depend on: data parallelism waits for the gradient of all the rest."""
        wanted = [value for value in self.parameters() if value.requires_grad]
        with torch.enable_grad(), evaluating(self):
            gradients = torch.autograd.grad(self(images).sum(), wanted, allow_unused=True)
        for value, gradient in zip(wanted, gradients, strict=True):
            value.requires_grad_(gradient is not None)


def answers_linearly(teacher: nn.Module, final: Tensor, logits: Tensor) -> bool:
    """Whether the teacher's logits (B, K) are its classifier's answer to its averaged last map (B, C, H, W)."""
    classifier = classifier_of(teacher)
    if final.shape[1] != classifier.in_features:
        return False
    again = classifier(final.float().mean(dim=(2, 3)))
    if again.shape != logits.shape:
        return False
    # As TF32 sums them on a GPU; a layer left out changes them by about as much as they are.
    return bool((again - logits.float()).abs().max() <= 1e-2 * logits.abs().max())


def _moved(info: Mapping[str, Any]) -> dict[str, Any]:
    paths = {key: f"student.{info[key]}" for key in ("module", "preact") if key in info}
    return {**info, **paths}
