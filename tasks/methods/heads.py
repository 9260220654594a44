"""Heads on the student's stages, for unlike architectures."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from densedistill.distill.errors import RequestError
from densedistill.distill.features.classifier import classifier_of
from densedistill.distill.losses import LogitHead, OnHeads, OnLogits, ofa_loss
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.tasks.methods.building import check_classes, own_terms, student_features
from densedistill.tasks.methods.parameters import Positive, Temperature, Weight, Weighted


class OneForAll(Weighted):
    """Parameters of `ofa`: weight for the student's own logits, stage_weight for those of the heads."""

    stage_weight: Weight = 1.0
    gamma: Positive = 1.0
    """Above 1 it leans towards the label where the teacher is sure of it; the paper goes up to 1.6."""
    temperature: Temperature = 1.0


def ofa_terms(parameters: OneForAll, context: TermContext) -> Sequence[LossTerm]:
    """`ofa` and `ofa_stages`."""
    classes = check_classes(context)
    features = student_features(context, "ofa", "stages")
    if any(not feature.is_map for feature in features):
        raise RequestError("ofa puts heads on feature maps, and a tap gives vectors: name taps that give maps")
    width = max(features[-1].channels, classifier_of(context.teacher_network).in_features)
    heads = [
        LogitHead(feature.channels, classes, width, len(features) - 1 - place, context.seed + 2 * place)
        for place, feature in enumerate(features)
    ]
    loss = OnLogits(
        loss=functools.partial(ofa_loss, gamma=parameters.gamma, temperature=parameters.temperature), labelled=True
    )
    return [
        LossTerm(name="ofa", fn=loss, weight=parameters.weight),
        LossTerm(name="ofa_stages", fn=OnHeads(features, heads, loss), weight=parameters.stage_weight),
    ]


HEAD_METHODS = (
    Method(
        name="ofa",
        summary="one for all: logits from each stage of the student against the teacher's, for unlike architectures",
        paper="Hao et al., NeurIPS 2023, arXiv:2310.19444, section 3",
        parameters=OneForAll(),
        own=own_terms,
        taught=ofa_terms,
        needs=Needs(labels=True, student_features=("stages",), trains="heads", classifier=True, whole_logits=True),
    ),
)
