"""Methods for segmentation: maps of classes."""

from __future__ import annotations

import functools

from torch import Tensor

from densedistill.distill.losses import IGNORED, label_boundaries, pixel_kl
from densedistill.distill.spec import Method, Needs
from densedistill.tasks.methods.building import own_terms
from densedistill.tasks.methods_dense.parameters import Blend, Bounded, Channelwise, ClassLabels, Pairwise, Softened
from densedistill.tasks.methods_dense.terms import affinity_terms, boundary_terms, cwd_terms, feature_terms, kd_terms


class SoftenedClasses(ClassLabels, Softened):
    """Parameters of `kd`: α·T²·KL(teacher ‖ student) + (1 - α)·CE, pixel by pixel."""


class NearLabelBoundaries(ClassLabels, Bounded):
    """Parameters of `boundary`."""


class ChannelwiseClasses(ClassLabels, Channelwise):
    """Parameters of `cwd`."""


class PairwiseClasses(ClassLabels, Pairwise):
    """Parameters of `affinity`."""


class StageMatching(ClassLabels, Blend):
    """Parameters of `feature`."""


def _boundaries(labels: Tensor) -> Tensor:
    return label_boundaries(labels, IGNORED)


SEGMENTATION_METHODS = (
    Method(
        name="kd",
        summary="pixel-wise: α·T²·KL(teacher ‖ student) of the classes at each pixel + (1 - α)·CE",
        paper="Liu et al., CVPR 2019, arXiv:1903.04197, section 3.1 (pixel-wise distillation)",
        parameters=SoftenedClasses(),
        own=own_terms,
        taught=functools.partial(kd_terms, divergence=pixel_kl),
    ),
    Method(
        name="cwd",
        summary="channel-wise: where each class's map is high, as a distribution over its pixels",
        paper="Shu et al., ICCV 2021, arXiv:2011.13256, section 3.2",
        parameters=ChannelwiseClasses(),
        own=own_terms,
        taught=cwd_terms,
    ),
    Method(
        name="boundary",
        summary="kd in which pixels near the boundaries between labels count more",
        paper="weights after Ronneberger et al. 2015, arXiv:1505.04597, equation 2",
        parameters=NearLabelBoundaries(),
        own=own_terms,
        taught=functools.partial(boundary_terms, divergence=pixel_kl, boundaries=_boundaries),
        needs=Needs(labels=True),
    ),
    Method(
        name="affinity",
        summary="pair-wise: which places of an image resemble each other, on the decoder's last stage",
        paper="Liu et al., CVPR 2019, arXiv:1903.04197, section 3.1 (pair-wise distillation)",
        parameters=PairwiseClasses(),
        own=own_terms,
        taught=affinity_terms,
        needs=Needs(features=("last",)),
    ),
    Method(
        name="feature",
        summary="the decoder's stages, at unit scale, through 1x1 projectors: α·mean squared difference + (1 - α)·CE",
        paper="FitNets, Romero et al., ICLR 2015, arXiv:1412.6550, equation 3",
        parameters=StageMatching(),
        own=own_terms,
        taught=feature_terms,
        needs=Needs(features=("stages",), trains="projector"),
    ),
)
