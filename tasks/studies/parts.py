"""Settings that several built-in studies start from."""

from __future__ import annotations

from typing import Any

WEAK = {"crop_padding": 4, "flip": True}
"""What the authors of DKD trained with."""
MIXED = {**WEAK, "mixup": {"beta": 0.8}, "cutmix": {"beta": 1.0}}
"""What references 000 and 001 trained their first version with."""
STRONG = {**MIXED, "auto_augment": "cifar10", "random_erasing": {"probability": 0.25, "scale": [0.02, 0.2]}}
"""Their later versions' augmentation."""


def small_crops(epochs: int = 4) -> dict[str, Any]:
    """`demo`: networks of 0.3 and 0.08 million parameters on embedded crops, some seconds a run."""
    return {
        "teacher": "cifar/resnet20",
        "student": "cifar/resnet8",
        "recipe.epochs": epochs,
        "recipe.evaluate_every": 2,
        "recipe.learning_rate": 4e-3,
        "data.augmentation": {"crop_padding": 2},
    }


def small_crops_teacher() -> dict[str, Any]:
    """The teacher of `small_crops`, four times as long in training: it is to know what its student does not."""
    return {"recipe.epochs": 16}
