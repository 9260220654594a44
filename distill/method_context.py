"""What a method is told of its networks and data before it builds its loss terms, and how methods are added up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import NO_FEATURES, Features, Role, found_features, given_features
from densedistill.distill.features.taps import Tapped, evaluating
from densedistill.distill.objective import LossTerm, without_teacher
from densedistill.distill.reuse import Adaptation
from densedistill.distill.seeds import derive
from densedistill.distill.spec import AnyMethod, OwnContext, TermContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one pass showed of a network."""

    output: torch.Size
    taps: Mapping[str, torch.Size]
    """By module path, as the modules give them."""
    features: Features
    """None of them where no role is asked for."""


@runtime_checkable
class Labelled(Protocol):
    """A training set that tells each image's class without making the image."""

    labels: Tensor
    """(images,) int64."""


def features_of(network: nn.Module, images: Tensor, given: Sequence[str]) -> Features:
    """The features at the taps that the configuration gives, else those that the network itself shows.

    Raises:
        RequestError: a tap that the network does not have.
    """
    return given_features(network, images, given) if given else found_features(network, images)


@torch.no_grad()
def look(network: nn.Module, images: Tensor, given: Sequence[str], roles: Sequence[Role]) -> Seen:
    """Shapes of `network`'s answer to `images` (B, C, H, W), of the taps given and of the features in `roles`.

    The network keeps its mode, weights and statistics.
    """
    with Tapped(network, given) as tapped, evaluating(network):
        answer = tapped(images)
    return Seen(
        output=answer.output.shape,
        taps={path: feature.shape for path, feature in answer.taps.items()},
        features=features_of(network, images, given) if roles else NO_FEATURES,
    )


def training_labels(data: TaskData) -> Tensor | None:
    """The class of each training image, (images,) int64, where the set has them at hand."""
    labels = data.train.labels if isinstance(data.train, Labelled) else None
    whole = isinstance(labels, Tensor) and labels.shape == (len(data.train),) and not labels.is_floating_point()
    return labels if whole else None


def adapted(
    methods: Sequence[tuple[AnyMethod, BaseModel]], student: nn.Module, context: TermContext
) -> Adaptation | None:
    """The student as the first method changes it, or None.

    Raises:
        RequestError: a further method would change it.
    """
    (first, parameters), *others = methods
    for method, _parameters in others:
        if method.adapt is not None:
            raise RequestError(
                f"method.also names '{method.name}', which changes the student itself: make it the method, and "
                f"'{first.name}' one of method.also"
            )
    return None if first.adapt is None else first.adapt(parameters, student, context)


def moved(context: TermContext, parent: str) -> TermContext:
    """`context` once the student has become the module `parent` of another network."""
    return dataclasses.replace(
        context,
        student_taps={f"{parent}.{path}": shape for path, shape in context.student_taps.items()},
        student_features=context.student_features.within(parent),
    )


def own_terms(methods: Sequence[tuple[AnyMethod, BaseModel]], context: OwnContext) -> tuple[LossTerm, ...]:
    """The terms of an arm without a teacher: the first method's own, at the weight they have alone."""
    first, parameters = methods[0]
    return without_teacher(first.own(parameters, context))


def combined_terms(methods: Sequence[tuple[AnyMethod, BaseModel]], context: TermContext) -> tuple[LossTerm, ...]:
    """A student's terms: the first method's, and of each other method those that are taught.

    What the task itself asks for, such as cross-entropy with the labels, is the first method's: it counts once. Where
    none of that method's taught terms has weight it is what it is without a teacher, since a small share of it alone
    would be plain training at a fraction of the learning rate.

    A term whose name is taken gets its method's name in front. Each further method initialises its projectors from a
    seed of its own.
    """
    (first, parameters), *others = methods
    own: Sequence[LossTerm] = first.own(parameters, context)
    taught = _taught(first, parameters, context)
    if not any(term.weight for term in taught):
        own = without_teacher(own)
    terms = [*own, *taught] if first.own_first else [*taught, *own]
    for method, chosen in others:
        seeded = dataclasses.replace(context, seed=derive(context.seed, "method", method.name))
        for term in _taught(method, chosen, seeded):
            taken = any(term.name == other.name for other in terms)
            terms.append(dataclasses.replace(term, name=f"{method.name}_{term.name}" if taken else term.name))
    return tuple(terms)


def _taught(method: AnyMethod, parameters: BaseModel, context: TermContext) -> list[LossTerm]:
    return [dataclasses.replace(term, needs_teacher=True) for term in method.taught(parameters, context)]
