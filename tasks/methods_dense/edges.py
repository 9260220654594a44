"""Methods for edges and other maps whose pixels are on or off."""

from __future__ import annotations

import functools

from torch import Tensor

from densedistill.distill.losses import bernoulli_kl
from densedistill.distill.spec import Method, Needs
from densedistill.tasks.methods.building import own_terms
from densedistill.tasks.methods.parameters import Weight
from densedistill.tasks.methods_dense.parameters import Blend, Bounded, Channelwise, MaskLabels, Pairwise, Softened
from densedistill.tasks.methods_dense.terms import (
    affinity_terms,
    boundary_terms,
    cwd_terms,
    dice_terms,
    feature_terms,
    kd_terms,
    soft_map_terms,
)


class SoftMapMatching(MaskLabels, Blend):
    """Parameters of `soft-maps`: α·MSE(σ(s), σ(t)) + (1 - α)·BCE."""


class SoftenedMaps(MaskLabels, Softened):
    """Parameters of `kd`: α·T²·KL(σ(t / T) ‖ σ(s / T)) + (1 - α)·BCE."""


class DiceMatching(MaskLabels, Blend):
    """Parameters of `dice`: α·Dice loss(σ(s), σ(t)) + (1 - α)·(BCE + dice_weight·Dice loss(σ(s), truth))."""

    dice_weight: Weight = 1.0


class NearEdges(MaskLabels, Bounded):
    """Parameters of `boundary`."""


class ChannelwiseMaps(MaskLabels, Channelwise):
    """Parameters of `cwd`."""

    weight: Weight = 0.2
    """The paper's 3 weighs the mean over 19 classes; a single map is one of them."""


class PairwiseMaps(MaskLabels, Pairwise):
    """Parameters of `affinity`."""


class StageMatching(MaskLabels, Blend):
    """Parameters of `feature`."""


def _boundaries(target: Tensor) -> Tensor:
    """An edge map is its own map of boundaries."""
    return target


EDGE_METHODS = (
    Method(
        name="soft-maps",
        summary="the teacher's probabilities: α·MSE(σ(student), σ(teacher)) + (1 - α)·BCE(pos_weight)",
        paper="reference 003, equations 8 and 9",
        parameters=SoftMapMatching(),
        own=own_terms,
        taught=soft_map_terms,
    ),
    Method(
        name="kd",
        summary="softened probabilities of each pixel: α·T²·KL(teacher ‖ student) of on and off + (1 - α)·BCE",
        paper="Hinton et al. 2015, arXiv:1503.02531, section 2, for two classes at each pixel",
        parameters=SoftenedMaps(),
        own=own_terms,
        taught=functools.partial(kd_terms, divergence=bernoulli_kl),
    ),
    Method(
        name="boundary",
        summary="kd in which pixels near the truth's boundaries count more",
        paper="weights after Ronneberger et al. 2015, arXiv:1505.04597, equation 2",
        parameters=NearEdges(),
        own=own_terms,
        taught=functools.partial(boundary_terms, divergence=bernoulli_kl, boundaries=_boundaries),
        needs=Needs(labels=True),
    ),
    Method(
        name="dice",
        summary="Dice with the teacher's probabilities, and with the truth beside its cross-entropy",
        paper="Milletari et al. 2016, arXiv:1606.04797, section 3; Deng et al. 2018, arXiv:1807.10097",
        parameters=DiceMatching(),
        own=own_terms,
        taught=dice_terms,
    ),
    Method(
        name="cwd",
        summary="channel-wise: where the map is high, as a distribution over its pixels",
        paper="Shu et al., ICCV 2021, arXiv:2011.13256, section 3.2",
        parameters=ChannelwiseMaps(),
        own=own_terms,
        taught=cwd_terms,
    ),
    Method(
        name="affinity",
        summary="pair-wise: which places of an image resemble each other, on the decoder's last stage",
        paper="Liu et al., CVPR 2019, arXiv:1903.04197, section 3.1 (pair-wise distillation)",
        parameters=PairwiseMaps(),
        own=own_terms,
        taught=affinity_terms,
        needs=Needs(features=("last",)),
    ),
    Method(
        name="feature",
        summary="the decoder's stages, at unit scale, through 1x1 projectors: α·mean squared difference + (1 - α)·BCE",
        paper="FitNets, Romero et al., ICLR 2015, arXiv:1412.6550, equation 3",
        parameters=StageMatching(),
        own=own_terms,
        taught=feature_terms,
        needs=Needs(features=("stages",), trains="projector"),
    ),
)
