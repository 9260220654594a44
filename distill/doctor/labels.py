"""Whether a classifier numbers its classes as the data do.

Shapes: N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from densedistill.distill.doctor.finding import Finding

CERTAIN = 3.0
"""Standard errors by which another order must do better."""
WORTH_WHILE = 5.0
"""Points by which it must."""
CHECK = "label order"


def check_label_order(arm: str, logits: Tensor, target: Tensor, classes: Sequence[str]) -> Finding:
    """Fit the best order of classes on one half of the images, drawn at random, and see how it does on the other.

    Args:
        arm: whose logits they are.
        logits: (N, K), on the CPU.
        target: (N,) int64.
        classes: K names.
    """
    predicted = logits.argmax(dim=1)
    # At random, since sets may be sorted by class or have their classes in turn.
    drawn = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    fitted, kept = drawn[::2], drawn[1::2]
    order = best_order(predicted[fitted], target[fitted], logits.shape[1])
    held, truth = predicted[kept], target[kept]
    own, other = (held == truth).double() * 100, (order[held] == truth).double() * 100
    if len(own) < 2:
        return Finding(check=CHECK, subject=arm, status="skip", text="there are too few validation images")
    gain, error = float((other - own).mean()), float((other - own).std() / math.sqrt(len(own)))
    wrong = gain > max(CERTAIN * error, WORTH_WHILE)
    moved = [place for place in range(len(order)) if int(order[place]) != place]
    example = (
        f"its class {moved[0]} is the data's {int(order[moved[0]])} ('{classes[int(order[moved[0]])]}')"
        if moved
        else ""
    )
    text = f"{float(own.mean()):.1f} % right as the classes are numbered, {float(other.mean()):.1f} % in the best order"
    return Finding(
        check=CHECK,
        subject=arm,
        status="fail" if wrong else "pass",
        text=f"{text}: {len(moved)} of {len(order)} classes are at another place; {example}" if wrong else text,
        remedy="put the rows of the teacher's last layer into the order of the data's classes, or name the class "
        "folders so that they sort as the teacher's do"
        if wrong
        else "",
        figures={"own": float(own.mean()), "best": float(other.mean()), "order": order.tolist() if wrong else None},
    )


def best_order(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """(K,) int64: the one-to-one renaming of `predicted` (N,) that agrees with `target` (N,) most often.

    Kuhn's assignment on the table of confusions; among equals, classes stay where they are.
    """
    from scipy.optimize import linear_sum_assignment

    table = torch.zeros(classes, classes, dtype=torch.float64)
    table.index_put_((predicted, target), torch.ones(len(target), dtype=torch.float64), accumulate=True)
    rows, columns = linear_sum_assignment((table + 1e-3 * torch.eye(classes)).numpy(), maximize=True)
    order = torch.arange(classes)
    order[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return order
