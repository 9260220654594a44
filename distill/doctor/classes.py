"""What the targets hold: images or pixels of each class, or positive pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.doctor.finding import Finding, Status
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.method_context import Labelled, training_labels
from densedistill.distill.outputs import IGNORED

UNEVEN = 10.0
"""How many times more images the largest class may have than the smallest without a word."""
CHECK = "class counts"


def check_classes(data: TaskData, limits: Limits) -> list[Finding]:
    """Images of each class in training, validation and tests; of maps the pixels, or the share of positive ones."""
    if not data.classes:
        return _positives(data, limits)
    parts: Mapping[str, EvalSet] = {"validation": data.val, **{f"test set {key}": of for key, of in data.tests.items()}}
    labels = training_labels(data)
    found = [_counted("training", labels, data.classes)] if labels is not None else []
    for name, part in parts.items():
        known = (part.labels, "images") if isinstance(part, Labelled) else _labels(part, limits)
        found.append(_counted(name, known[0], data.classes, known[1]))
    return found


def _counted(part: str, labels: Tensor, classes: Sequence[str], counted: str = "images") -> Finding:
    counts = np.bincount(labels.cpu().numpy(), minlength=len(classes))
    if len(counts) > len(classes):
        return Finding(
            check=CHECK,
            subject=part,
            status="fail",
            text=f"there are {counted} of class {len(counts) - 1}, but classes are numbered 0 to {len(classes) - 1}",
            remedy="number the labels from 0, and name every class",
        )
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    smallest, largest = int(counts.min()), int(counts.max())
    figures = {counted: int(counts.sum()), "smallest": smallest, "largest": largest, "missing": missing[:20]}
    text = f"{len(labels):,} {counted} of {len(classes)} classes, {smallest:,} to {largest:,} of each"
    status: Status = "pass"
    remedy = ""
    if missing:
        text += f"; none of {len(missing)} classes, such as '{missing[0]}'"
        status = "fail" if part == "training" else "warn"
        remedy = (
            "look for a missing folder or a label that is never used; without images a class is not learned or judged"
        )
    elif part == "training" and largest > UNEVEN * smallest:
        status = "warn"
        remedy = "look at the accuracy of each class, and not at the mean alone: it is the large classes'"
    return Finding(check=CHECK, subject=part, status=status, text=text, remedy=remedy, figures=figures)


def _labels(images: EvalSet, limits: Limits) -> tuple[Tensor, str]:
    """Classes, flat, and what they are of."""
    batches = images.batches(256, device=torch.device("cpu"))
    targets = [batch["target"] for batch in limits.within(batches, 0.1)]
    if targets[0].ndim == 1:
        return torch.cat(targets), "images"
    pixels = torch.cat([target.flatten() for target in targets])
    return pixels[pixels != IGNORED], "pixels"


def _positives(data: TaskData, limits: Limits) -> list[Finding]:
    """Nothing for targets that are no maps of one channel."""
    batches = data.val.batches(1, device=torch.device("cpu"))
    targets = [batch["target"] for batch in limits.within(batches, 0.1)]
    if targets[0].ndim != 4 or targets[0].shape[1] != 1:
        return []
    shares = [float((target >= 0.5).double().mean()) for target in targets]
    mean, empty = float(np.mean(shares)), sum(share == 0 for share in shares)
    useless = mean in (0.0, 1.0)
    return [
        Finding(
            check=CHECK,
            subject="validation",
            status="fail" if useless else "pass",
            text=f"{mean:.2%} of the target's pixels are positive; {empty} of {len(shares)} maps have none",
            remedy="see that masks are read as they were drawn: 0 is background and 255 the object" if useless else "",
            figures={"positive": mean, "empty": empty, "maps": len(shares)},
        )
    ]
