"""Class distributions as log-probabilities, which stay finite where probabilities round to 0 or 1.

Shapes: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_same_shape


def divergence(log_reference: Tensor, log_estimate: Tensor) -> Tensor:
    """KL(reference ‖ estimate) of each row, (B,). Logs are finite, so a probability of 0 adds 0."""
    return F.kl_div(log_estimate, log_reference, reduction="none", log_target=True).sum(dim=1)


def without_target(logits_BK: Tensor, target: Tensor) -> Tensor:
    """The logits of all classes but each image's own, (B, K - 1), in class order."""
    # By index: selecting with a boolean mask would wait for the device to count it.
    place = torch.arange(logits_BK.shape[1] - 1, device=logits_BK.device)
    return logits_BK.gather(1, place + (place >= target[:, None]))


def over_labels(
    per_image: Callable[[Tensor], Tensor],
    target: Tensor,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """Mean over the batch of f(target), or of mix f(target) + (1 - mix) f(mixed_target) where labels are mixed.

    The expectation of a label-aware loss f over a label that is `target` with probability `mix` and
    `mixed_target` otherwise, which is what Mixup and CutMix say the label is. It is f itself at mix 1 and where
    both labels are one, and any f that does not read its label is left as it is.

    Args:
        per_image: f, from labels (B,) to losses (B,).
        target: (B,) int64.
        mixed_target: (B,) int64, the label mixed in; None where the batch is not mixed.
        mix: (B,) in [0, 1], the share of `target`; None where the batch is not mixed.

    Raises:
        RequestError: only one of `mixed_target` and `mix`, or a `mix` that is not one number for each image.
    """
    loss_B = per_image(target)
    if mixed_target is None and mix is None:
        return loss_B.mean()
    if mixed_target is None or mix is None:
        raise RequestError("a mixed batch needs both mixed_target and mix, but one is missing: give both or neither")
    check_same_shape("mix", mix, "target", target)
    return (mix * loss_B + (1 - mix) * per_image(mixed_target)).mean()
