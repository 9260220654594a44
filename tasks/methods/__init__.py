"""Methods for classification, each with its parameters, its paper and what it needs."""

from __future__ import annotations

from densedistill.distill.spec import Method
from densedistill.tasks.methods.logits import LOGIT_METHODS


def classification_methods() -> dict[str, Method]:
    """Every method by name, `kd` first."""
    return {method.name: method for method in LOGIT_METHODS}
