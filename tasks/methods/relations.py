"""Methods that compare images with each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import Tensor

from densedistill.distill.features.sources import Role
from densedistill.distill.losses import OnFeatures, pkt_loss, rkd_loss, similarity_loss
from densedistill.distill.losses.vectors import pooled
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.tasks.methods.building import check_batch, own_terms, pairs
from densedistill.tasks.methods.parameters import Weight, Weighted


class Similarity(Weighted):
    """Parameters of `sp`."""

    weight: Weight = 3000.0


class Relations(Weighted):
    """Parameters of `rkd`."""

    distance_weight: Weight = 25.0
    angle_weight: Weight = 50.0


class Transfer(Weighted):
    """Parameters of `pkt`."""

    weight: Weight = 30000.0


def sp_terms(parameters: Similarity, context: TermContext) -> Sequence[LossTerm]:
    """`sp`."""
    return _terms(parameters, context, "sp", "last", similarity_loss, 2)


def rkd_terms(parameters: Relations, context: TermContext) -> Sequence[LossTerm]:
    """`rkd`."""
    loss = functools.partial(rkd_loss, distance_weight=parameters.distance_weight, angle_weight=parameters.angle_weight)
    return _terms(parameters, context, "rkd", "embedding", _of_vectors(loss), 3)


def pkt_terms(parameters: Transfer, context: TermContext) -> Sequence[LossTerm]:
    """`pkt`."""
    return _terms(parameters, context, "pkt", "embedding", _of_vectors(pkt_loss), 2)


def _of_vectors(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """`loss` of one vector for each image: a network without an embedding gives its last map, which is averaged."""
    return lambda student, teacher: loss(pooled(student), pooled(teacher))


def _terms(
    parameters: Weighted,
    context: TermContext,
    name: str,
    role: Role,
    loss: Callable[[Tensor, Tensor], Tensor],
    images: int,
) -> Sequence[LossTerm]:
    if parameters.weight:
        check_batch(context, images, f"{name} compares {images} images or more with each other")
    paired = pairs(context, name, role, aligned=False)
    return [LossTerm(name=name, fn=OnFeatures(paired, [loss]), weight=parameters.weight)]


RELATION_METHODS = (
    Method(
        name="sp",
        summary="similarity preserving: which images of a batch resemble each other",
        paper="Tung and Mori, ICCV 2019, arXiv:1907.09682, section 3",
        parameters=Similarity(),
        own=own_terms,
        taught=sp_terms,
        needs=Needs(features=("last",)),
    ),
    Method(
        name="rkd",
        summary="relations: distances of pairs and angles of triples of images",
        paper="Park et al., CVPR 2019, arXiv:1904.05068, section 3.2",
        parameters=Relations(),
        own=own_terms,
        taught=rkd_terms,
        needs=Needs(features=("embedding",)),
    ),
    Method(
        name="pkt",
        summary="probabilities of meeting an image in another's neighbourhood",
        paper="Passalis and Tefas, ECCV 2018, arXiv:1803.10837, section 3",
        parameters=Transfer(),
        own=own_terms,
        taught=pkt_terms,
        needs=Needs(features=("embedding",)),
    ),
)
