"""DKD against KD under weak and strong augmentation: does it collapse, or is it stopped?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, Contrast, StudyDefinition
from densedistill.tasks.studies.parts import STRONG, WEAK, small_crops, small_crops_teacher

_CLAIM = Claim(
    text="DKD with β 8 collapses under strong augmentation (66.85 % against 76.19 % of KD, stopped early at epoch 84 "
    "of 200), and recovers with β 2 (75.63 %), because augmentation spoils the non-target logits.",
    source="reference 000, sections 3.2 and 4.1",
    # That augmentation is the reason is a statement about the distance to KD, which it is to widen.
    expects={"strong-dkd-8": "worse", "augmentation": "worse", "beta": "better"},
)
_QUESTION = "Does DKD with β 8 collapse under strong augmentation, or is it stopped while its learning rate is high?"


def _dkd(beta: float, *, labels: float = 0.0, warmup: float = 0.0) -> dict[str, Any]:
    """The reference has neither cross-entropy nor warm-up; the authors of DKD have both."""
    return {
        "method": "dkd",
        "method.temperature": 4.0,
        "method.tckd_weight": 1.0,
        "method.nckd_weight": beta,
        "method.hard_weight": labels,
        "method.warmup_epochs": warmup,
    }


def _arms(epochs: int, patience: int, warmup: int) -> dict[str, ArmDefinition]:
    stopped = {"recipe.early_stopping": {"monitor": "loss", "patience": patience}}
    half = {"recipe.epochs": epochs // 2}
    eight, two = _dkd(8.0), _dkd(2.0)
    eight_labels, warmed = _dkd(8.0, labels=1.0), _dkd(8.0, labels=1.0, warmup=warmup)
    return {
        "scratch": ArmDefinition(label="no teacher", trains="gen_02_scratch"),
        "kd": ArmDefinition(label="KD, α 0.7"),
        "dkd-8": ArmDefinition(label="DKD, β 8", settings=eight, against="kd"),
        "dkd-2": ArmDefinition(label="DKD, β 2", settings=two, against="kd"),
        "dkd-8-labels": ArmDefinition(label="DKD, β 8, with CE", settings=eight_labels, against="kd"),
        "dkd-2-labels": ArmDefinition(label="DKD, β 2, with CE", settings=_dkd(2.0, labels=1.0), against="kd"),
        "dkd-8-warmed": ArmDefinition(label="DKD, β 8, with CE and warm-up", settings=warmed, against="dkd-8-labels"),
        "dkd-8-stopped": ArmDefinition(
            label=f"DKD, β 8, early stopping after {patience}", settings={**eight, **stopped}, against="dkd-8"
        ),
        "kd-stopped": ArmDefinition(label=f"KD, early stopping after {patience}", settings=stopped, against="kd"),
        "dkd-8-half": ArmDefinition(label="DKD, β 8, half as long", settings={**eight, **half}, against="dkd-8"),
    }


_CONTRASTS = {
    "augmentation": Contrast(label="DKD β 8 − KD, strong − weak", of="strong-dkd-8", minus="weak-dkd-8"),
    "augmentation-labels": Contrast(
        label="DKD β 8 + CE − KD, strong − weak", of="strong-dkd-8-labels", minus="weak-dkd-8-labels"
    ),
    "beta": Contrast(label="DKD β 2 − β 8 (strong)", of="strong-dkd-2", minus="strong-dkd-8"),
    "stopping": Contrast(
        label="stopping, DKD β 8 − KD (strong)",
        of="strong-dkd-8-stopped",
        minus="strong-kd-stopped",
    ),
}


def _study(size: str, epochs: int, patience: int, warmup: int, **fields: Any) -> StudyDefinition:
    conditions: Mapping[str, dict[str, Any]] = {
        "weak": {"data.augmentation": WEAK},
        "strong": {"data.augmentation": STRONG},
    }
    return StudyDefinition(
        name="dkd",
        size=size,
        question=_QUESTION,
        claim=_CLAIM,
        task="cls",
        control="scratch",
        conditions=dict(conditions),
        varies=("method", "recipe.early_stopping", "recipe.epochs", "data.augmentation"),
        arms=_arms(epochs, patience, warmup),
        contrasts=_CONTRASTS,
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops; one teacher, trained under weak augmentation."""
    return _study(
        "demo",
        epochs=8,
        patience=2,
        warmup=1,
        seeds=(0, 1),
        base={**small_crops(8), "recipe.evaluate_every": 1, "method.alpha": 0.7},
        teacher={**small_crops_teacher(), "data.augmentation": {"crop_padding": 2}},
    )


def paper() -> StudyDefinition:
    """The reference's networks and recipe on CIFAR-100; its early stopping is an arm, not a habit."""
    return _study(
        "paper",
        epochs=200,
        patience=30,
        warmup=20,
        preset="v2",
        seeds=(0, 1, 2),
        base={"recipe.early_stopping": None},
        teacher={"data.augmentation": STRONG},
    )


STUDIES = {"dkd": {"demo": demo, "paper": paper}}
