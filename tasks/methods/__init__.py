"""Methods for classification, each with its parameters, its paper and what it needs."""

from __future__ import annotations

from densedistill.distill.spec import AnyMethod, filed
from densedistill.tasks.methods.contrast import CONTRAST_METHODS
from densedistill.tasks.methods.features import FEATURE_METHODS
from densedistill.tasks.methods.heads import HEAD_METHODS
from densedistill.tasks.methods.logits import LOGIT_METHODS
from densedistill.tasks.methods.relations import RELATION_METHODS
from densedistill.tasks.methods.reused import REUSED_METHODS


def classification_methods() -> dict[str, AnyMethod]:
    """Every method by name, `kd` first."""
    return filed(*LOGIT_METHODS, *FEATURE_METHODS, *RELATION_METHODS, *CONTRAST_METHODS, *HEAD_METHODS, *REUSED_METHODS)
