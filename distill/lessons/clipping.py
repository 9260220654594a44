"""Bounding the norm of a step's gradient: everything together, or the student without its projectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.optim import Optimizer

from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.lessons.step import DistillationStep

if TYPE_CHECKING:
    from accelerate import Accelerator


def clip_gradients(
    accelerator: Accelerator, optimizer: Optimizer, step: DistillationStep, recipe: Recipe, *, measure: bool
) -> Tensor | None:
    """Scale the gradients of `step`'s trainable parameters as `recipe` bounds them, in place.

    With `clip_projectors` the bound is on the norm over the student and the objective's own parameters (projectors,
    a learned temperature) together, and one factor scales them all. Without, it is on the student's alone and the
    others keep the gradient they have, however large: the fault that reference 004 found in itself.

    Args:
        accelerator: removes the loss scale of float16 first.
        optimizer: the prepared optimiser whose gradients the loss scale is in.
        step: student and objective.
        recipe: `clip_norm` is the bound; None: nothing is scaled.
        measure: whether to take the norm where nothing is scaled.

    Returns:
        The norm before scaling, over what is bounded; where nothing is, over everything, and None unless `measure`.
    """
    whole = recipe.clip_norm is None or recipe.clip_projectors
    bounded = [value for value in (step if whole else step.student).parameters() if value.requires_grad]
    if recipe.clip_norm is not None:
        norm: Tensor = accelerator.clip_grad_norm_(bounded, recipe.clip_norm)
        return norm
    if not measure:
        return None
    accelerator.unscale_gradients(optimizer)
    return nn.utils.get_total_norm([value.grad for value in bounded if value.grad is not None])
