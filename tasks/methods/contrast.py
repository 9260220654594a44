"""Contrast with remembered images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import ContrastiveDistillation, OnImages
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.tasks.methods.building import own_terms, pairs
from densedistill.tasks.methods.parameters import Temperature, Weight, Weighted


class Contrast(Weighted):
    """Parameters of `crd`, the paper's.

    A mixed image is remembered under the number and the class of the image that it was mixed into: both networks see
    the same pixels, so what is contrasted is still one image with itself.
    """

    weight: Weight = 0.8
    embedding: int = Field(default=128, ge=1)
    negatives: int = Field(default=16384, ge=1)
    """Drawn for each image and step."""
    negatives_from: Literal["other-classes", "other-images"] = "other-classes"
    """Which images an image is contrasted with."""
    temperature: Temperature = 0.07
    momentum: float = Field(default=0.5, ge=0, lt=1)
    """Share of what is remembered of an image that stays when it comes again."""


def crd_terms(parameters: Contrast, context: TermContext) -> Sequence[LossTerm]:
    """`crd`."""
    ((mine, theirs),) = pairs(context, "crd", "embedding", aligned=False)
    module = ContrastiveDistillation(
        mine.channels,
        theirs.channels,
        context.images,
        classes=_classes(parameters, context),
        embedding=parameters.embedding,
        negatives=parameters.negatives,
        temperature=parameters.temperature,
        momentum=parameters.momentum,
        seed=context.seed,
    )
    return [LossTerm(name="crd", fn=OnImages((mine, theirs), module), weight=parameters.weight)]


def _classes(parameters: Contrast, context: TermContext) -> Tensor | None:
    if parameters.negatives_from == "other-images":
        return None
    if context.labels is None:
        raise RequestError(
            "crd draws negatives from other classes, and this data set does not tell its images' classes ahead: give "
            "method.negatives_from=other-images"
        )
    return context.labels


CONTRAST_METHODS = (
    Method(
        name="crd",
        summary="contrast: an image's embedding close to the teacher's of it, far from those of other images",
        paper="Tian, Krishnan and Isola, ICLR 2020, arXiv:1910.10699, section 3",
        parameters=Contrast(),
        own=own_terms,
        taught=crd_terms,
        needs=Needs(features=("embedding",), trains="embeddings", index=True),
    ),
)
