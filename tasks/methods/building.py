"""What building a method's terms takes: its own term, checks of what the networks answer, and pairs of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Feature, Features, Role
from densedistill.distill.losses import TermFunction, WarmedUp
from densedistill.distill.losses.checks import ONE_CHANNEL, check_images, check_logits
from densedistill.distill.losses.feature_terms import Pair
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import OwnContext, TermContext


class HasOwn(Protocol):
    """Parameters that know their task's own term."""

    def own(self) -> LossTerm:
        """The term that reads no teacher, such as cross-entropy with the labels."""


def own_terms(parameters: HasOwn, _context: OwnContext) -> tuple[LossTerm, ...]:
    """The one term that most methods have without a teacher."""
    return (parameters.own(),)


def check_classes(context: TermContext, at_least: int = 2, why: str = ONE_CHANNEL) -> int:
    """The number of classes that both networks tell apart.

    Raises:
        RequestError: they tell different numbers apart, fewer than `at_least` (`why` ends the sentence), or are no
            classifiers.
    """
    for shape in (context.student_output, context.teacher_output):
        check_logits(torch.empty(shape, device="meta"), at_least, why)
    student, teacher = context.student_output[1], context.teacher_output[1]
    if student != teacher:
        raise RequestError(
            f"the student tells {student} classes apart and the teacher {teacher}: give networks of the same classes, "
            "or a method that reads features alone"
        )
    return student


def check_batch(context: TermContext, at_least: int, why: str) -> None:
    """Refuse batches too small for a method that compares images; `why` says what fewer cannot tell.

    Raises:
        RequestError: fewer images than `at_least` at once.
    """
    check_images(torch.empty(context.batch_size, device="meta"), at_least, why)


def check_warm_up(context: TermContext, epochs: int) -> None:
    """Say so where the warm-up does not end before the training does."""
    if epochs > context.epochs:
        context.warn(
            f"the method's warm-up takes {epochs} epochs and the arm has {context.epochs}: its term never reaches its "
            "full weight; method.warmup_epochs sets another length"
        )


def warmed_up(context: TermContext, term: TermFunction, epochs: int) -> TermFunction:
    """`term`, growing over the first `epochs`; 0 leaves it as it is."""
    check_warm_up(context, epochs)
    return WarmedUp(term, epochs) if epochs else term


def student_features(context: TermContext, method: str, role: Role) -> tuple[Feature, ...]:
    """The student's features of one role.

    Raises:
        RequestError: it has none.
    """
    return _required(context.student_features, method, role, "student")


def pairs(
    context: TermContext, method: str, role: Role, *, aligned: bool, teachers: Role | None = None
) -> tuple[Pair, ...]:
    """Both networks' features of one role, paired from the deepest on; with `teachers` the teacher's of that one.

    Where one network has more, its shallowest are left out; where `aligned`, maps of unlike size will be made alike.
    Both are said.

    Raises:
        RequestError: a network has none.
    """
    mine = student_features(context, method, role)
    theirs = _required(context.teacher_features, method, teachers or role, "teacher")
    count = min(len(mine), len(theirs))
    if len(mine) != len(theirs):
        context.warn(
            f"{method} compares the deepest {count} of the student's {len(mine)} and the teacher's {len(theirs)} stages"
        )
    paired = tuple(zip(mine[-count:], theirs[-count:], strict=True))
    if aligned:
        _say_unlike(context, method, paired)
    return paired


def _say_unlike(context: TermContext, method: str, paired: Sequence[Pair]) -> None:
    unlike = [
        f"{mine.path} ({_size(mine)}) with {theirs.path} ({_size(theirs)})"
        for mine, theirs in paired
        if mine.is_map and theirs.is_map and _size(mine) != _size(theirs)
    ]
    if unlike:
        context.warn(f"{method} averages the larger of two feature maps to the smaller: {', '.join(unlike)}")


def _size(feature: Feature) -> str:
    tokens = len(feature.shape) == 3
    return f"{feature.shape[1]} tokens" if tokens else "x".join(str(side) for side in feature.shape[2:])


def _required(features: Features, method: str, role: Role, whose: str) -> tuple[Feature, ...]:
    found = features.of(role)
    if not found or (role != "embedding" and not all(feature.is_map for feature in found)):
        raise RequestError(
            f"{method} reads feature maps, and the {whose} shows none at its taps: name module paths that give maps "
            "(B, C, H, W) or tokens (B, L, C) in its `taps`, such as networks.0.taps for the teacher"
        )
    return found
