"""Classification: accuracy, calibration and likelihood.

Shapes: B images, N images of the split, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.metrics.table import ImageTable, as_dicts

CALIBRATION_BINS = 15


class Accuracy:
    """Top-1 and top-5 accuracy in percent, expected calibration error, negative log-likelihood in nats.

    Classes of equal probability rank in the order of their numbers, so that a network that says nothing scores
    chance on every device, whatever its sorting.
    """

    name = "accuracy"
    unit = "%"
    higher_is_better = True

    def __init__(self, classes: int) -> None:
        """Score probabilities over `classes` classes, 2 or more."""
        if classes < 2:
            raise RequestError(f"accuracy over {classes} classes says nothing: give 2 or more")
        self.classes = classes
        self._table = ImageTable(("top1", "top5", "confidence", "nll"))

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take probabilities (B, K) and the labels `target` (B,) int64.

        Raises:
            RequestError: shapes that do not match.
        """
        target = batch["target"]
        if prediction.shape != (*target.shape, self.classes):
            raise RequestError(
                f"probabilities of shape {tuple(prediction.shape)} do not fit {self.classes} classes and "
                f"labels of shape {tuple(target.shape)}: give a network and data of the same classes"
            )
        probability_BK = prediction.float()
        at_target_B = probability_BK.gather(1, target[:, None]).squeeze(1)
        rank_B = _rank(probability_BK, target)
        # A probability that underflowed to 0 counts as the smallest float32, 87.3 nats.
        nll_B = -at_target_B.clamp_min(torch.finfo(torch.float32).tiny).log()
        self._table.add(rank_B < 1, rank_B < min(5, self.classes), probability_BK.amax(dim=1), nll_B)

    def compute(self) -> dict[str, float]:
        """`accuracy` and `top5` in percent (top 5, or all of fewer classes), `ece` in 0..1, `nll` in nats.

        Raises:
            RequestError: no image was seen.
            RunFailedError: a probability was not finite.
        """
        table = self._table.read()
        return {
            "accuracy": 100.0 * table["top1"].mean().item(),
            "top5": 100.0 * table["top5"].mean().item(),
            "ece": expected_calibration_error(table["confidence"], table["top1"]),
            "nll": table["nll"].mean().item(),
        }

    def per_image(self) -> list[dict[str, float]]:
        """`accuracy` (100 or 0), `confidence` in 0..1 and `nll` of each image."""
        table = self._table.read()
        return as_dicts({"accuracy": 100.0 * table["top1"], "confidence": table["confidence"], "nll": table["nll"]})


def calibration_bins(
    confidence: Tensor, correct: Tensor, bins: int = CALIBRATION_BINS
) -> dict[str, list[int] | list[float]]:
    """The reliability diagram: `count`, mean `confidence` and mean `accuracy` (both 0..1, 0 in an empty bin) by bin.

    Arguments and bins as of `expected_calibration_error`, which is the mean distance of the two weighted by `count`.
    """
    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    place_N = torch.bucketize(confidence.contiguous(), edges)
    count = torch.bincount(place_N, minlength=bins)

    def mean(values: Tensor) -> list[float]:
        sums = torch.zeros(bins, dtype=torch.float64).index_add_(0, place_N, values.double())
        return [round(value, 6) for value in (sums / count.clamp_min(1)).tolist()]

    return {"count": count.tolist(), "confidence": mean(confidence), "accuracy": mean(correct)}


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = CALIBRATION_BINS) -> float:
    """Mean distance of accuracy from confidence over bins of equal width, weighted by their images, in 0..1.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, equation 3. Bin m of M
    holds the confidences in ((m - 1) / M, m / M].

    Args:
        confidence: (N,) float64, the highest probability of each image.
        correct: (N,) float64, 1 where that class is the label, else 0.
        bins: M >= 1.
    """
    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    place_N = torch.bucketize(confidence.contiguous(), edges)
    excess_N = correct - confidence
    per_bin = torch.zeros(bins, dtype=torch.float64).index_add_(0, place_N, excess_N)
    return (per_bin.abs().sum() / len(confidence)).item()


def _rank(probability_BK: Tensor, target: Tensor) -> Tensor:
    """(B,) how many classes come before the target, 0 where it ranks first."""
    at_target_B1 = probability_BK.gather(1, target[:, None])
    lower_number = torch.arange(probability_BK.shape[1], device=target.device) < target[:, None]
    ahead = (probability_BK > at_target_B1) | ((probability_BK == at_target_B1) & lower_number)
    return ahead.sum(dim=1)
