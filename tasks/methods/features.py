"""Methods that compare feature maps stage by stage."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from densedistill.distill.losses import (
    FeatureMatching,
    HintRegression,
    OnFeatures,
    OnStages,
    ReadAs,
    ReviewDistillation,
    VariationalDistillation,
    attention_loss,
)
from densedistill.distill.losses.features import Projection
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.tasks.methods.building import own_terms, pairs, warmed_up
from densedistill.tasks.methods.parameters import Blended, Epochs, Positive, Share, Weight, Weighted


class Hint(Weighted):
    """Parameters of `fitnet`."""

    weight: Weight = 100.0


class Attention(Weighted):
    """Parameters of `at`."""

    weight: Weight = 1000.0
    power: Positive = 2.0


class Variational(Weighted):
    """Parameters of `vid`."""

    initial_variance: Positive = 5.0


class Review(Weighted):
    """Parameters of `reviewkd`. The authors take weights from 0.6 to 8, pair by pair: presets of pairs have theirs."""

    warmup_epochs: Epochs = 20
    """Over which the term grows; 0 for none."""


class Matching(Blended):
    """Parameters of `feature`: the plain squared distance. The capacity study's own code has cosine_weight 0.5 and
    linear projectors, which the presets `capacity-…-feature` take."""

    alpha: Share = 0.5
    cosine_weight: Weight = 0.0
    """Of 1 - cosine of the averaged maps, beside each stage's squared distance."""
    projector: Projection = "affine"
    """A 1x1 convolution with bias (`affine`), or without and with Glorot's weights (`linear`)."""


def fitnet_terms(parameters: Hint, context: TermContext) -> Sequence[LossTerm]:
    """`fitnet`."""
    paired = pairs(context, "fitnet", "hint", aligned=True)
    losses = [HintRegression(mine.channels, theirs.channels, context.seed) for mine, theirs in paired]
    return [LossTerm(name="fitnet", fn=OnFeatures(paired, losses), weight=parameters.weight)]


def at_terms(parameters: Attention, context: TermContext) -> Sequence[LossTerm]:
    """`at`."""
    paired = pairs(context, "at", "stages", aligned=True)
    loss = functools.partial(attention_loss, power=parameters.power)
    return [LossTerm(name="at", fn=OnFeatures(paired, [loss] * len(paired)), weight=parameters.weight)]


def vid_terms(parameters: Variational, context: TermContext) -> Sequence[LossTerm]:
    """`vid`."""
    paired = pairs(context, "vid", "stages", aligned=True)
    losses = [
        VariationalDistillation(mine.channels, theirs.channels, parameters.initial_variance, context.seed + place)
        for place, (mine, theirs) in enumerate(paired)
    ]
    return [LossTerm(name="vid", fn=OnFeatures(paired, losses), weight=parameters.weight)]


def review_terms(parameters: Review, context: TermContext) -> Sequence[LossTerm]:
    """`reviewkd`."""
    # As the authors have it, the student is read after its activations and the teacher before them, and the review
    # begins with what both see of the whole image.
    stages = pairs(context, "reviewkd", "stages", aligned=True, teachers="preactivations")
    paired = (*stages, *pairs(context, "reviewkd", "embedding", aligned=False))
    module = ReviewDistillation(
        [mine.channels for mine, _theirs in paired], [theirs.channels for _mine, theirs in paired], seed=context.seed
    )
    term = warmed_up(context, OnStages(paired, module), parameters.warmup_epochs)
    return [LossTerm(name="reviewkd", fn=term, weight=parameters.weight)]


def feature_terms(parameters: Matching, context: TermContext) -> Sequence[LossTerm]:
    """`feature`."""
    paired = pairs(context, "feature", "stages", aligned=True)
    matching = FeatureMatching(
        [(mine.path, theirs.path) for mine, theirs in paired],
        [mine.channels for mine, _theirs in paired],
        [theirs.channels for _mine, theirs in paired],
        context.seed,
        cosine_weight=parameters.cosine_weight,
        projection=parameters.projector,
    )
    return [LossTerm(name="feature", fn=ReadAs(paired, matching), weight=parameters.alpha)]


FEATURE_METHODS = (
    Method(
        name="fitnet",
        summary="a hint: the stage before the last, regressed to the teacher's",
        paper="Romero et al., ICLR 2015, arXiv:1412.6550, equation 3",
        parameters=Hint(),
        own=own_terms,
        taught=fitnet_terms,
        needs=Needs(features=("hint",), trains="projector"),
    ),
    Method(
        name="at",
        summary="attention transfer: where each stage's features are large",
        paper="Zagoruyko and Komodakis, ICLR 2017, arXiv:1612.03928, equation 2",
        parameters=Attention(),
        own=own_terms,
        taught=at_terms,
        needs=Needs(features=("stages",)),
    ),
    Method(
        name="vid",
        summary="a variational bound on what each stage tells of the teacher's",
        paper="Ahn et al., CVPR 2019, arXiv:1904.05835, section 2",
        parameters=Variational(),
        own=own_terms,
        taught=vid_terms,
        needs=Needs(features=("stages",), trains="projector"),
    ),
    Method(
        name="reviewkd",
        summary="knowledge review: each stage, fused with the deeper ones, against the teacher's",
        paper="Chen et al., CVPR 2021, arXiv:2104.09044, section 3",
        parameters=Review(),
        own=own_terms,
        taught=review_terms,
        needs=Needs(
            features=("embedding",),
            student_features=("stages",),
            teacher_features=("preactivations",),
            trains="projector",
        ),
    ),
    Method(
        name="feature",
        summary="plain feature distillation: α·mean squared difference of all stages + (1 - α)·CE",
        paper="Student Capacity Moderates Knowledge Distillation Effectiveness, arXiv:2605.31191 (its L2 term)",
        parameters=Matching(),
        own=own_terms,
        taught=feature_terms,
        needs=Needs(features=("stages",), trains="projector"),
    ),
)
