"""What the dense methods teach, whatever the task's own term."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import (
    AtUnitScale,
    FeatureMatching,
    NearBoundaries,
    OnFeatures,
    OnMaps,
    OnProbabilities,
    ReadAs,
    SoftMaps,
    TermFunction,
    affinity_loss,
    channel_kl,
    dice_loss,
)
from densedistill.distill.losses.maps_terms import MapLoss
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import TermContext
from densedistill.tasks.methods.building import pairs
from densedistill.tasks.methods_dense.building import check_outputs, stage_pairs
from densedistill.tasks.methods_dense.parameters import Blend, Bounded, Channelwise, Pairwise, Softened


def soft_map_terms(parameters: Blend, context: TermContext) -> Sequence[LossTerm]:
    """`soft`."""
    return _of_outputs(parameters, context, "soft", SoftMaps())


def dice_terms(parameters: Blend, context: TermContext) -> Sequence[LossTerm]:
    """`dice`."""
    return _of_outputs(parameters, context, "dice", OnProbabilities(dice_loss))


def kd_terms(parameters: Softened, context: TermContext, *, divergence: MapLoss) -> Sequence[LossTerm]:
    """`kd`; `divergence` is that of the task's maps."""
    return _of_outputs(parameters, context, "kd", OnMaps(_at(divergence, parameters)))


def boundary_terms(
    parameters: Bounded, context: TermContext, *, divergence: MapLoss, boundaries: Callable[[Tensor], Tensor]
) -> Sequence[LossTerm]:
    """`boundary`; `boundaries` finds them in the task's target."""
    term = NearBoundaries(
        loss=_at(divergence, parameters),
        boundaries=boundaries,
        width=parameters.boundary_width,
        strength=parameters.boundary_strength,
    )
    return _of_outputs(parameters, context, "boundary", term)


def cwd_terms(parameters: Channelwise, context: TermContext) -> Sequence[LossTerm]:
    """`cwd`."""
    check_outputs(context)
    term = OnMaps(functools.partial(channel_kl, temperature=parameters.temperature))
    return [LossTerm(name="cwd", fn=term, weight=parameters.weight)]


def affinity_terms(parameters: Pairwise, context: TermContext) -> Sequence[LossTerm]:
    """`affinity`."""
    paired = pairs(context, "affinity", "last", aligned=False)
    for one in (feature for pair in paired for feature in pair):
        if one.channels < 2:
            raise RequestError(
                f"affinity compares the directions of features, and those at '{one.path}' have one channel: cosines "
                "are 1 or -1, which teaches nothing. Give a layer before it in networks.0.taps (the teacher's) or "
                "networks.1.taps (the student's)."
            )
    term = OnFeatures(paired, [functools.partial(affinity_loss, nodes=parameters.nodes)])
    return [LossTerm(name="affinity", fn=term, weight=parameters.weight)]


def feature_terms(parameters: Blend, context: TermContext) -> Sequence[LossTerm]:
    """`feature`."""
    paired = stage_pairs(context, "feature")
    matching = FeatureMatching(
        [(mine.path, theirs.path) for mine, theirs in paired],
        [mine.channels for mine, _theirs in paired],
        [theirs.channels for _mine, theirs in paired],
        context.seed,
    )
    term = AtUnitScale(ReadAs(paired, matching))
    return [LossTerm(name="feature", fn=term, weight=parameters.alpha)]


def _of_outputs(parameters: Blend, context: TermContext, name: str, fn: TermFunction) -> Sequence[LossTerm]:
    check_outputs(context)
    return [LossTerm(name=name, fn=fn, weight=parameters.alpha)]


def _at(divergence: MapLoss, parameters: Softened) -> MapLoss:
    return functools.partial(divergence, temperature=parameters.temperature)
