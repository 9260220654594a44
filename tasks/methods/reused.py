"""The teacher's classifier, reused by the student."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features.classifier import classifier_of
from densedistill.distill.features.sources import Feature
from densedistill.distill.features.taps import Tapped
from densedistill.distill.losses import OnFeatures, aligned, as_map, simkd_loss
from densedistill.distill.objective import LossTerm
from densedistill.distill.reuse import PROJECTED, Adaptation, ReusedHead, answers_linearly
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.distill.teacher import teacher_input
from densedistill.tasks.methods.building import own_terms, pairs
from densedistill.tasks.methods.parameters import Weight, Weighted


class Reused(Weighted):
    """Parameters of `simkd`. The paper has no cross-entropy with the labels."""

    hard_weight: Weight = 0.0
    reduction: int = Field(default=2, ge=1)
    """What divides the teacher's channels inside the projector."""


def simkd_student(parameters: Reused, student: nn.Module, context: TermContext) -> Adaptation | None:
    """The student with a projector and a frozen copy of the teacher's classifier behind its last map.

    Raises:
        RequestError: the teacher's logits are no linear layer of its averaged last map.
    """
    if not parameters.weight:
        return None
    ((mine, theirs),) = pairs(context, "simkd", "final", aligned=True)
    size = _teacher_size(context.teacher_network, theirs, teacher_input(context.probe))
    classifier = classifier_of(context.teacher_network)
    head = ReusedHead(
        tap=mine.path,
        channels_last=mine.channels_last,
        prefix_tokens=mine.prefix_tokens,
        student_channels=mine.channels,
        teacher_channels=theirs.channels,
        classes=classifier.out_features,
        bias=classifier.bias is not None,
        teacher_size=size,
        reduction=parameters.reduction,
    )
    device = context.probe["input"].device
    network = head.around(student, classifier, context.seed).to(device)
    network.freeze_unused(context.probe["input"])
    return Adaptation(network=network, taps=(PROJECTED,), moved="student", record=head)


def simkd_terms(parameters: Reused, context: TermContext) -> Sequence[LossTerm]:
    """`simkd`."""
    ((mine, theirs),) = pairs(context, "simkd", "final", aligned=False)
    projected = Feature(path=PROJECTED, shape=torch.Size((mine.shape[0], theirs.channels, 1, 1)))
    fn = OnFeatures([(projected, theirs)], [_aligned_simkd])
    return [LossTerm(name="simkd", fn=fn, weight=parameters.weight)]


def _aligned_simkd(projected: Tensor, teacher: Tensor) -> Tensor:
    return simkd_loss(*aligned(projected, teacher))


def _teacher_size(teacher: nn.Module, final: Feature, images: Tensor) -> tuple[int, int]:
    """Height and width of the teacher's last map, once it is sure that its classifier reads that map's mean."""
    with Tapped(teacher, (final.path,)) as tapped, torch.no_grad():
        answer = tapped(images)
    feature = final.read(answer)
    last_map = as_map(feature, feature)
    if not answers_linearly(teacher, last_map, answer.output):
        raise RequestError(
            f"simkd reuses the teacher's classifier on its averaged last map ('{final.path}'), but "
            f"{type(teacher).__name__} answers otherwise: name the tap of the map that its classifier averages, "
            "or take another teacher, such as a ResNet"
        )
    return (last_map.shape[2], last_map.shape[3])


REUSED_METHODS = (
    Method(
        name="simkd",
        summary="the student answers through its teacher's classifier: mean squared difference of the last maps",
        paper="Chen et al., CVPR 2022, arXiv:2203.14001, section 3.2",
        parameters=Reused(),
        own=own_terms,
        taught=simkd_terms,
        needs=Needs(features=("final",), trains="projector", classifier=True),
        adapt=simkd_student,
    ),
)
