"""Methods of super-resolution: L1 to the true image, and what a student takes from its teacher beside it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Feature, Features
from densedistill.distill.losses import (
    ContrastedImages,
    FeatureMatching,
    OnFeatures,
    ReadAs,
    Reconstruction,
    TaughtFrequencies,
    TaughtReconstruction,
    attention_loss,
)
from densedistill.distill.losses.feature_terms import Pair
from densedistill.distill.losses.image_contrast import pixels
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, OwnContext, TermContext
from densedistill.tasks.methods.building import own_terms, pairs
from densedistill.tasks.methods.parameters import Positive, Weight
from densedistill.tasks.sr_perceptual import perceptual_term, required_vgg19

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1.0)
"""Of VGG19's layers in the contrast, as the authors' code has them. Its five reach conv5_1; the extractor here ends at
conv3_4, which stands for the two deepest, of weights 1/4 and 1."""


class Restoration(BaseModel):
    """l1_weight·L1(student, truth) + α·method. Alone, in the control arm and the teacher, L1's weight is 1."""

    model_config = FROZEN

    alpha: Weight = 1.0
    """Weight of the teacher's term; a plain weight, since the reference and the field add these terms."""
    l1_weight: Weight = 1.0
    """Of L1 beside the teacher's term; 0 leaves it out."""

    def own(self) -> LossTerm:
        """`l1`."""
        return LossTerm(name="l1", fn=Reconstruction(), weight=self.l1_weight, alone_weight=1.0)


class FeatureDistillation(Restoration):
    """Parameters of `features`: L1 + α·feature matching + perceptual."""

    perceptual_weight: Weight = 1.0
    vgg19: Path | None = None
    """VGG19's weights for the perceptual term: Keras's `.npz` or torchvision's `.pth`. None: torchvision's own, where
    `--pretrained` allows and they can be had; the term is off otherwise, and the result says so."""


class AttentionMaps(Restoration):
    """Parameters of `at`. The classifiers' weight of 1000 would leave L1, which is small here, no say."""

    alpha: Weight = 3.0
    power: Positive = 2.0


class Contrast(Restoration):
    """Parameters of `contrastive`. The authors' code comes to an alpha of 0.78 with 10 negatives for images in 0..1."""

    alpha: Weight = 0.1
    negatives: int = Field(default=4, ge=1)
    """Enlarged inputs that each image is kept from: its own and the next ones of the batch, as many as it has."""
    space: Literal["vgg19", "pixels"] = "vgg19"
    """Where distances are measured. The paper's is VGG19."""
    vgg19: Path | None = None
    """As in `features`, but an error where it cannot be had."""


def output_terms(parameters: Restoration, _context: TermContext) -> Sequence[LossTerm]:
    """`output`."""
    return [LossTerm(name="output", fn=TaughtReconstruction(), weight=parameters.alpha)]


def frequency_terms(parameters: Restoration, _context: TermContext) -> Sequence[LossTerm]:
    """`frequency`."""
    return [LossTerm(name="frequency", fn=TaughtFrequencies(), weight=parameters.alpha)]


def attention_terms(parameters: AttentionMaps, context: TermContext) -> Sequence[LossTerm]:
    """`at`, unless alpha is 0."""
    if not parameters.alpha:
        return []
    paired = pairs(context, "at", "stages", aligned=True)
    loss = functools.partial(attention_loss, power=parameters.power)
    return [LossTerm(name="at", fn=OnFeatures(paired, [loss] * len(paired)), weight=parameters.alpha)]


def contrast_terms(parameters: Contrast, context: TermContext) -> Sequence[LossTerm]:
    """`contrastive`, unless alpha is 0: VGG19 need not be there then."""
    if not parameters.alpha:
        return []
    if parameters.space == "pixels":
        fn = ContrastedImages(pixels, (1.0,), parameters.negatives)
    else:
        network = required_vgg19(parameters.vgg19, context)
        fn = ContrastedImages(network.layers, LAYER_WEIGHTS, parameters.negatives, network)
    return [LossTerm(name="contrastive", fn=fn, weight=parameters.alpha)]


def perceived_terms(parameters: FeatureDistillation, context: OwnContext) -> Sequence[LossTerm]:
    """`l1` and, where it can be had, `perceptual`."""
    perceptual = perceptual_term(parameters.perceptual_weight, parameters.vgg19, context)
    if perceptual is None:
        return [parameters.own()]
    return [parameters.own(), LossTerm(name="perceptual", fn=perceptual, weight=parameters.perceptual_weight)]


def feature_terms(parameters: FeatureDistillation, context: TermContext) -> Sequence[LossTerm]:
    """`features`, unless alpha is 0: the networks need show none then."""
    if not parameters.alpha:
        return []
    return [LossTerm(name="features", fn=matching(context), weight=parameters.alpha)]


def matching(context: TermContext) -> ReadAs:
    """Feature matching of the taps that the configuration gives, pair by pair, else of the bodies' last features.

    Raises:
        RequestError: the two networks show unlike numbers of features, or none.
    """
    mine = _matched(context.student_features, given=bool(context.student_taps))
    theirs = _matched(context.teacher_features, given=bool(context.teacher_taps))
    if not mine or len(mine) != len(theirs) or not all(feature.is_map for feature in (*mine, *theirs)):
        raise RequestError(
            f"feature matching needs as many taps of the student ({len(mine)}) as of the teacher ({len(theirs)}), one "
            "at least, of modules that give maps (B, C, H, W) or tokens (B, L, C): name module paths with "
            "--set networks.0.taps=[...] and --set networks.1.taps=[...], or turn the term off with --set "
            "method.alpha=0."
        )
    paired: Sequence[Pair] = tuple(zip(mine, theirs, strict=True))
    term = FeatureMatching(
        [(student.path, teacher.path) for student, teacher in paired],
        [student.channels for student in mine],
        [teacher.channels for teacher in theirs],
        seed=context.seed,
    )
    return ReadAs(paired, term)


def _matched(features: Features, *, given: bool) -> tuple[Feature, ...]:
    return features.stages if given else features.stages[-1:]


METHODS = (
    Method(
        name="features",
        summary="L1 + α·matching of the bodies' last features through trainable 1x1 projectors + VGG19 perceptual loss",
        paper="reference 003, equations 5 to 7; FitNets (Romero et al. 2015, eq. 3)",
        parameters=FeatureDistillation(),
        own=perceived_terms,
        taught=feature_terms,
        own_first=True,
        needs=Needs(features=("last",), trains="projector"),
    ),
    Method(
        name="output",
        summary="L1 + α·L1 to the teacher's image",
        paper="He et al., FAKD, ICIP 2020, the teacher supervision",
        parameters=Restoration(),
        own=own_terms,
        taught=output_terms,
    ),
    Method(
        name="frequency",
        summary="L1 + α·L1 to the teacher's image between Fourier transforms",
        paper="Cho et al., MIMO-UNet, ICCV 2021, arXiv:2108.05054, the frequency loss with the teacher for the truth",
        parameters=Restoration(),
        own=own_terms,
        taught=frequency_terms,
    ),
    Method(
        name="at",
        summary="L1 + α·attention transfer: where features along the body are large",
        paper="Zagoruyko and Komodakis, ICLR 2017, arXiv:1612.03928, equation 2",
        parameters=AttentionMaps(),
        own=own_terms,
        taught=attention_terms,
        needs=Needs(features=("stages",)),
    ),
    Method(
        name="contrastive",
        summary="L1 + α·contrast: near the teacher's image, far from inputs enlarged bicubically, by VGG19",
        paper="Wang et al., CSD, IJCAI 2021, arXiv:2105.11683, the contrastive loss",
        parameters=Contrast(),
        own=own_terms,
        taught=contrast_terms,
    ),
)
"""The methods of super-resolution, the usual one first."""
