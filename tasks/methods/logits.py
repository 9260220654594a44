"""Methods on logits."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pydantic import Field

from densedistill.distill.losses import (
    DistilledLogits,
    LearnedTemperature,
    OnLogits,
    dist_loss,
    kd_loss,
    mixed_dkd_loss,
    mlkd_loss,
    nkd_loss,
    wttm_loss,
)
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext
from densedistill.tasks.methods.building import check_batch, check_classes, own_terms, warmed_up
from densedistill.tasks.methods.parameters import Blended, Epochs, Labels, Positive, Temperature, Weight, Weighted

_NON_TARGET = (
    "{} needs three classes or more, because with a single class beside the target its non-target term is always 0, "
    "so use kd instead"
)


class SoftTargets(Blended):
    """Parameters of `kd`: α·T²·KL(teacher ‖ student) + (1 - α)·CE."""

    temperature: Temperature = 4.0


class Decoupled(Labels):
    """Parameters of `dkd`, with weights in place of an α: the paper's for ResNet32x4 → ResNet8x4. Presets of other
    pairs have theirs."""

    tckd_weight: Weight = 1.0
    """Of the target class against all others; α in the paper."""
    nckd_weight: Weight = 8.0
    """Of the other classes among themselves; β in the paper."""
    temperature: Temperature = 4.0
    warmup_epochs: Epochs = 20
    """Over which the term grows, in 20 steps; 0 for none."""


class Standardised(Weighted):
    """Parameters of `lskd`: weight·T²·KL of standardised logits + hard_weight·CE."""

    weight: Weight = 9.0
    hard_weight: Weight = 0.1
    temperature: Temperature = 2.0


class StandardisedDecoupled(Decoupled):
    """Parameters of `lskd-dkd`, the authors' for ResNet32x4 → ResNet8x4: DKD's weights times 9, at the temperature of
    LSKD."""

    tckd_weight: Weight = 9.0
    nckd_weight: Weight = 72.0
    temperature: Temperature = 2.0


class Correlated(Weighted):
    """Parameters of `dist`."""

    inter_weight: Weight = 2.0
    """Of the classes of an image."""
    intra_weight: Weight = 2.0
    """Of the images of a class."""
    temperature: Temperature = 4.0


class MultiLevel(Weighted):
    """Parameters of `mlkd`, as the authors' code comes to with one view of each image in place of two. It trains at
    half of the field's learning rate: for ResNet-56 → ResNet-20 at 0.025."""

    weight: Weight = 0.9
    hard_weight: Weight = 0.2
    temperatures: tuple[Temperature, ...] = Field(default=(2.0, 3.0, 4.0, 5.0, 6.0), min_length=1)
    instance_weight: Weight = 1.5
    batch_weight: Weight = 0.5
    class_weight: Weight = 0.5
    """Grows like 1 / classes²: published for 100 classes and more, the largest level for 10."""
    standardised: bool = False
    """Standardise both networks' logits for the instance level (LSKD on MLKD; the paper then takes a weight of 9)."""


class Normalised(Weighted):
    """Parameters of `nkd`, the authors' for ImageNet; for CIFAR-100 they have γ 3.5 at T 3, as presets of pairs do."""

    gamma: Weight = 1.5
    """Of the non-target part."""
    temperature: Temperature = 1.0
    """Of the non-target part."""


class Transformed(Weighted):
    """Parameters of `wttm`. The paper tunes both for each pair; these are the ones its code's examples have."""

    weight: Weight = 4.0
    temperature: Temperature = 5.0


class Curriculum(Blended):
    """Parameters of `ctkd`."""

    start: Temperature = 1.0
    """Lower bound of the temperature."""
    span: Positive = 20.0
    """Upper bound minus lower bound."""
    curriculum_epochs: Positive = 10.0
    """After which the temperature works against the student with full strength."""


def kd_terms(parameters: SoftTargets, context: TermContext) -> Sequence[LossTerm]:
    """`soft`."""
    check_classes(context)
    return [LossTerm(name="soft", fn=DistilledLogits(parameters.temperature), weight=parameters.alpha)]


def dkd_terms(
    parameters: Decoupled, context: TermContext, name: str = "dkd", standardised: bool = False
) -> Sequence[LossTerm]:
    """`dkd`."""
    check_classes(context, 3, _NON_TARGET.format("DKD"))
    loss = functools.partial(
        mixed_dkd_loss,
        alpha=parameters.tckd_weight,
        beta=parameters.nckd_weight,
        temperature=parameters.temperature,
    )
    term = OnLogits(loss=loss, labelled=True, standardised=standardised)
    weight = 1.0 if parameters.tckd_weight or parameters.nckd_weight else 0.0
    return [LossTerm(name=name, fn=warmed_up(context, term, parameters.warmup_epochs), weight=weight)]


def lskd_terms(parameters: Standardised, context: TermContext) -> Sequence[LossTerm]:
    """`lskd`."""
    loss = functools.partial(kd_loss, temperature=parameters.temperature)
    return _weighted(parameters, context, "lskd", OnLogits(loss=loss, standardised=True))


def dist_terms(parameters: Correlated, context: TermContext) -> Sequence[LossTerm]:
    """`dist`."""
    if parameters.weight and parameters.intra_weight:
        check_batch(context, 2, "DIST correlates the images of a class, and one image has no correlation")
    loss = functools.partial(
        dist_loss,
        inter_weight=parameters.inter_weight,
        intra_weight=parameters.intra_weight,
        temperature=parameters.temperature,
    )
    return _weighted(parameters, context, "dist", OnLogits(loss=loss))


def mlkd_terms(parameters: MultiLevel, context: TermContext) -> Sequence[LossTerm]:
    """`mlkd`."""
    loss = functools.partial(
        mlkd_loss,
        temperatures=parameters.temperatures,
        instance_weight=parameters.instance_weight,
        batch_weight=parameters.batch_weight,
        class_weight=parameters.class_weight,
        standardised=parameters.standardised,
    )
    return _weighted(parameters, context, "mlkd", OnLogits(loss=loss))


def nkd_terms(parameters: Normalised, context: TermContext) -> Sequence[LossTerm]:
    """`nkd`."""
    check_classes(context, 3, _NON_TARGET.format("NKD"))
    loss = functools.partial(nkd_loss, gamma=parameters.gamma, temperature=parameters.temperature)
    return _weighted(parameters, context, "nkd", OnLogits(loss=loss, labelled=True))


def wttm_terms(parameters: Transformed, context: TermContext) -> Sequence[LossTerm]:
    """`wttm`."""
    loss = functools.partial(wttm_loss, temperature=parameters.temperature)
    return _weighted(parameters, context, "wttm", OnLogits(loss=loss))


def ctkd_terms(parameters: Curriculum, context: TermContext) -> Sequence[LossTerm]:
    """`ctkd`."""
    check_classes(context)
    fn = LearnedTemperature(parameters.start, parameters.span, parameters.curriculum_epochs)
    return [LossTerm(name="ctkd", fn=fn, weight=parameters.alpha)]


def _weighted(parameters: Weighted, context: TermContext, name: str, term: OnLogits) -> Sequence[LossTerm]:
    check_classes(context)
    return [LossTerm(name=name, fn=term, weight=parameters.weight)]


LOGIT_METHODS = (
    Method(
        name="kd",
        summary="soft targets: α·T²·KL(teacher ‖ student) + (1 - α)·CE",
        paper="Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2",
        parameters=SoftTargets(),
        own=own_terms,
        taught=kd_terms,
    ),
    Method(
        name="dkd",
        summary="KD in two parts with weights of their own: the target class, and the others among themselves",
        paper="Zhao et al., CVPR 2022, arXiv:2203.08679, equation 7",
        parameters=Decoupled(),
        own=own_terms,
        taught=dkd_terms,
        needs=Needs(labels=True, whole_logits=True),
    ),
    Method(
        name="lskd",
        summary="KD on logits with mean 0 and standard deviation 1",
        paper="Sun et al., CVPR 2024, arXiv:2403.01427, algorithm 2",
        parameters=Standardised(),
        own=own_terms,
        taught=lskd_terms,
        needs=Needs(whole_logits=True),
    ),
    Method(
        name="lskd-dkd",
        summary="DKD on logits with mean 0 and standard deviation 1",
        paper="Sun et al., CVPR 2024, arXiv:2403.01427, algorithm 2",
        parameters=StandardisedDecoupled(),
        own=own_terms,
        taught=functools.partial(dkd_terms, name="lskd_dkd", standardised=True),
        needs=Needs(labels=True, whole_logits=True),
    ),
    Method(
        name="dist",
        summary="correlations of classes within an image and of images within a class, for strong teachers",
        paper="Huang et al., NeurIPS 2022, arXiv:2205.10536, section 4",
        parameters=Correlated(),
        own=own_terms,
        taught=dist_terms,
        needs=Needs(whole_logits=True),
    ),
    Method(
        name="mlkd",
        summary="predictions, which images and which classes resemble each other, at several temperatures",
        paper="Jin, Wang and Lin, CVPR 2023, section 3",
        parameters=MultiLevel(),
        own=own_terms,
        taught=mlkd_terms,
        needs=Needs(whole_logits=True),
    ),
    Method(
        name="nkd",
        summary="the target by the teacher's belief in it, the others normalised",
        paper="Yang et al., ICCV 2023, arXiv:2303.13005, section 3",
        parameters=Normalised(),
        own=own_terms,
        taught=nkd_terms,
        needs=Needs(labels=True, whole_logits=True),
    ),
    Method(
        name="wttm",
        summary="the teacher's probabilities at T against the student's at 1, unsure images weighing more",
        paper="Zheng and Yang, ICLR 2024, arXiv:2402.11148, equation 23",
        parameters=Transformed(),
        own=own_terms,
        taught=wttm_terms,
        needs=Needs(whole_logits=True),
    ),
    Method(
        name="ctkd",
        summary="KD at a temperature that is learned against the student, gently at first",
        paper="Li et al., AAAI 2023, arXiv:2211.16231",
        parameters=Curriculum(),
        own=own_terms,
        taught=ctkd_terms,
        needs=Needs(trains="temperature", whole_logits=True),
    ),
)
