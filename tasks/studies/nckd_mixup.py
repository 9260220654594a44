"""NCKD under Mixup: does DKD lose by it what KD does not?

The variance of the gradient itself is a measurement of trained networks and no training; `tools/nckd_mixup.py`
makes it for any run, also for the runs of this study, beside its derivation.
"""

from __future__ import annotations

from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, Contrast, StudyDefinition
from densedistill.tasks.studies.parts import WEAK, small_crops, small_crops_teacher

_CLAIM = Claim(
    text="Mixed images contaminate the teacher's non-target logits, so that the variance of NCKD's gradient grows "
    "until DKD with a high β collapses; a closed form is asked for.",
    source="reference 000, sections 4.1 and 7.1",
    expects={"cost-8": "worse", "cost-rising": "worse"},
)
_KD = ("mixup-kd", "plain-kd")
_CONTRASTS = {
    **{
        f"cost-{beta}": Contrast(
            label=f"Mixup − plain, DKD β {beta} − KD",
            of=(f"mixup-dkd-{beta}", f"plain-dkd-{beta}"),
            minus=_KD,
        )
        for beta in (1, 2, 8)
    },
    "cost-rising": Contrast(
        label="Mixup − plain, DKD β 8 − β 1",
        of=("mixup-dkd-8", "plain-dkd-8"),
        minus=("mixup-dkd-1", "plain-dkd-1"),
    ),
}


def _study(size: str, **fields: Any) -> StudyDefinition:
    def dkd(beta: float) -> dict[str, Any]:
        own = {"method.temperature": 4.0, "method.hard_weight": 0.0, "method.warmup_epochs": 0}
        return {"method": "dkd", "method.nckd_weight": beta, **own}

    return StudyDefinition(
        name="nckd-mixup",
        size=size,
        question="Does Mixup cost DKD more than it costs KD, and the more, the higher β is?",
        claim=_CLAIM,
        task="cls",
        control="kd",
        varies=("method", "data.augmentation"),
        conditions={
            "plain": {"data.augmentation": WEAK},
            "mixup": {"data.augmentation": {**WEAK, "mixup": {"beta": 0.8}}},
        },
        arms={
            "kd": ArmDefinition(label="KD", settings={"method.alpha": 1.0}),
            **{f"dkd-{beta}": ArmDefinition(label=f"DKD, β {beta}", settings=dkd(beta)) for beta in (1, 2, 8)},
        },
        contrasts=_CONTRASTS,
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops; no arm has a loss of labels, so that the teacher's term is all there is."""
    teacher = {**small_crops_teacher(), "data.augmentation": {"crop_padding": 2}}
    return _study("demo", seeds=(0, 1, 2), base=small_crops(), teacher=teacher)


def paper() -> StudyDefinition:
    """The reference's networks and recipe on CIFAR-100, without its early stopping: that would end arms at different
    points of their schedules.
    """
    return _study(
        "paper",
        preset="v2",
        seeds=(0, 1, 2),
        base={"recipe.early_stopping": None},
        teacher={"data.augmentation": WEAK},
    )


STUDIES = {"nckd-mixup": {"demo": demo, "paper": paper}}
