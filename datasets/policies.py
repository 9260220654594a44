"""AutoAugment and RandAugment with operations that belong to each view: which, how strong and in which direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from densedistill.datasets.base import ViewPlan
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.operations import OPERATIONS
from densedistill.datasets.views import uniform

_NAMES = tuple(OPERATIONS)
_AUTO_LEVELS = 10

CIFAR10_POLICY: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("Invert", 0.1, 0), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 0), ("Equalize", 0.9, 0)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 0), ("Equalize", 0.5, 0)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, 0), ("AutoContrast", 0.4, 0)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 0)),
    (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 0), ("Equalize", 0.6, 0)),
    (("Color", 0.9, 9), ("Equalize", 0.6, 0)),
    (("AutoContrast", 0.8, 0), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 0)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 0), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, 0), ("Invert", 0.1, 0)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 0)),
)
"""Operation, probability and level (of 10) of the 25 sub-policies that AutoAugment found on reduced CIFAR-10 (Cubuk et
al., 2019, table 7), with torchvision's ranges of magnitudes. The level of an operation without one is 0."""

RANDOM_OPERATIONS = tuple(name for name in _NAMES if name != "Invert")
"""RandAugment's 14 operations."""


class RandAugment(BaseModel):
    """RandAugment (Cubuk et al., 2020): so many operations, drawn evenly, all at one magnitude."""

    model_config = FROZEN

    operations: int = Field(default=2, ge=1)
    """Applied one after another; one may be drawn twice."""
    magnitude: int = Field(default=9, ge=0, le=30)
    """Level of 0 to 30."""


_RANDOM_LEVELS = 31


@dataclass(frozen=True, slots=True)
class Step:
    """One operation for each of B images."""

    names: np.ndarray
    """(B,) of str, keys of `OPERATIONS`."""
    magnitudes: np.ndarray
    """(B,) float32, in each operation's own unit."""

    def apply(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> the same, each image by its own operation."""
        result = images.clone()
        magnitudes = torch.from_numpy(self.magnitudes).to(images.device)
        for name in np.unique(self.names):
            if name != "Identity":
                rows = torch.from_numpy(np.flatnonzero(self.names == name)).to(images.device)
                result[rows] = OPERATIONS[str(name)].apply(images[rows], magnitudes[rows])
        return result


def auto_augment_steps(plan: ViewPlan, height: int, width: int, *, seed: int) -> tuple[Step, Step]:
    """AutoAugment's policy for CIFAR-10: a sub-policy for each view, whose operations each happen or not."""
    draws = uniform(seed, plan.images, plan.views, "auto augment", 5)
    chosen = (draws[:, 0] * len(CIFAR10_POLICY)).astype(np.int64)
    steps = []
    for place in range(2):
        names, odds, levels = (np.array(column)[chosen] for column in zip(*_column(place), strict=True))
        happens = draws[:, 1 + place] < odds
        names = np.where(happens, names, "Identity")
        steps.append(_step(names, levels, _AUTO_LEVELS, draws[:, 3 + place] < 0.5, height, width))
    return steps[0], steps[1]


def rand_augment_steps(plan: ViewPlan, height: int, width: int, options: RandAugment, *, seed: int) -> tuple[Step, ...]:
    """RandAugment: operations drawn for each view."""
    draws = uniform(seed, plan.images, plan.views, "rand augment", 2 * options.operations)
    names = np.array(RANDOM_OPERATIONS)[(draws[:, ::2] * len(RANDOM_OPERATIONS)).astype(np.int64)]
    levels = np.full(len(names), options.magnitude)
    return tuple(
        _step(names[:, place], levels, _RANDOM_LEVELS, draws[:, 2 * place + 1] < 0.5, height, width)
        for place in range(options.operations)
    )


def _column(place: int) -> list[tuple[str, float, int]]:
    """The first or second operation of every sub-policy."""
    return [pair[place] for pair in CIFAR10_POLICY]


def _step(names: np.ndarray, levels: np.ndarray, count: int, negated: np.ndarray, height: int, width: int) -> Step:
    """`names` at `levels` of `count`; the magnitudes of operations with a direction are `negated`."""
    magnitudes = np.zeros(len(names), dtype=np.float32)
    for name in np.unique(names):
        rows = names == name
        operation = OPERATIONS[str(name)]
        magnitudes[rows] = operation.levels(count, height, width)[levels[rows]]
        if operation.signed:
            magnitudes[rows & negated] *= -1
    return Step(names, magnitudes)
