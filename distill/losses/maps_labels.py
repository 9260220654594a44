"""A student's maps against labels of pixels.

Shapes: B images, K classes, H by W pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_label_smoothing
from densedistill.distill.losses.maps_divergence import check_class_maps
from densedistill.distill.losses.precision import widened
from densedistill.distill.outputs import IGNORED


def pixel_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, ignored: int = IGNORED) -> Tensor:
    """Cross-entropy of each labelled pixel, mean over them; Long, Shelhamer and Darrell, CVPR 2015, section 3.4.

    Args:
        logits: (B, K, H, W), K >= 2.
        labels: (B, H, W) int64 in 0..K-1, or `ignored`.
        label_smoothing: share of the label spread over all classes, in [0, 1).
        ignored: the label of pixels that do not count. A batch without others costs 0.

    Returns:
        Scalar >= 0, nats.

    Raises:
        RequestError: label smoothing out of range, fewer than two classes, or shapes that do not match.
    """
    check_label_smoothing(label_smoothing)
    check_class_maps(logits)
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise RequestError(
            f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)}: give one class "
            "number for each pixel"
        )
    total = F.cross_entropy(
        widened(logits), labels, reduction="sum", ignore_index=ignored, label_smoothing=label_smoothing
    )
    # The mean of no pixel would be NaN: a crop may lie on unlabelled ground altogether.
    return total / (labels != ignored).sum().clamp_min(1)
