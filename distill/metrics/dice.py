"""Dice of binary maps: edges or a mask.

Shapes: B images of H by W pixels, N images of the split.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.metrics.table import ImageTable, as_dicts, check_same_shape, sum_dtype


class Dice:
    """Dice, 2 |P ∩ T| / (|P| + |T|), of pixel counts pooled over the split and, beside it, as a mean over images.

    Dice, "Measures of the Amount of Ecologic Association Between Species", 1945. A prediction is positive at
    `threshold` and above, a soft target at 0.5 and above. Where both are empty Dice is 1: nothing was there and
    nothing was said.
    """

    name = "dice"
    unit = ""
    higher_is_better = True

    def __init__(self, threshold: float = 0.5) -> None:
        """Binarise predictions at `threshold`, in (0, 1]: at 0 every pixel would be positive."""
        if not 0 < threshold <= 1:
            raise RequestError(
                f"Dice threshold {threshold} separates no probabilities: give one in (0, 1], such as 0.5"
            )
        self.threshold = threshold
        self._table = ImageTable(("both", "predicted", "true"))

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take probabilities (B, 1, H, W) and `target` (B, 1, H, W), both in [0, 1].

        Raises:
            RequestError: shapes that differ.
        """
        target = batch["target"]
        check_same_shape(prediction, target)
        predicted = (prediction >= self.threshold).flatten(1)
        true = (target >= 0.5).flatten(1)
        # NaN is below every threshold: unmarked, a diverged network would score 1 on images without positives.
        valid_B = prediction.flatten(1).isfinite().all(dim=1)
        predicted_B = predicted.sum(dim=1).to(sum_dtype(prediction.device)).masked_fill(~valid_B, float("nan"))
        self._table.add((predicted & true).sum(dim=1), predicted_B, true.sum(dim=1))

    def compute(self) -> dict[str, float]:
        """`dice` over the pooled pixels and `dice_per_image`, the mean over images; both in 0..1.

        Raises:
            RequestError: no image was seen.
            RunFailedError: a probability was not finite.
        """
        table = self._table.read()
        pooled = _dice(*(table[column].sum() for column in self._table.columns))
        return {"dice": pooled.item(), "dice_per_image": self._of_images().mean().item()}

    def per_image(self) -> list[dict[str, float]]:
        """`dice` of each image, in 0..1."""
        return as_dicts({"dice": self._of_images()})

    def _of_images(self) -> Tensor:
        table = self._table.read()
        return _dice(*(table[column] for column in self._table.columns))


def _dice(both: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    total = predicted + true
    return (2 * both / total.clamp_min(1)).masked_fill(total == 0, 1.0)
