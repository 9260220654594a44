"""Overlap of maps of classes.

Shapes: B images of H by W pixels, K classes, N images of the split.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.metrics.table import ImageTable, as_dicts, sum_dtype
from densedistill.distill.outputs import IGNORED


class MeanIoU:
    """Mean over classes of intersection over union, pixels pooled over the split, and pixel accuracy in percent.

    Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, section 4.3: the true positives of a
    class over its true positives, false positives and false negatives. A class that is neither there nor said anywhere
    is left out of the mean. Pixels of the label `ignored` count nowhere. Of equal probabilities the first class is
    said.
    """

    name = "miou"
    unit = ""
    higher_is_better = True

    def __init__(self, classes: int, ignored: int = IGNORED) -> None:
        """Score probabilities over `classes` classes, 2 or more."""
        if classes < 2:
            raise RequestError(f"overlap of {classes} classes says nothing: give 2 or more")
        self.classes, self.ignored = classes, ignored
        # Of each class the pixels that are right, that are said to be of it, and that are of it.
        self._table = ImageTable(tuple(f"{count}{k}" for count in ("both", "said", "true") for k in range(classes)))

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take probabilities (B, K, H, W) and `target` (B, H, W) int64 in 0..K-1, or `ignored`.

        Raises:
            RequestError: shapes that do not match.
        """
        target = batch["target"]
        if prediction.shape != (target.shape[0], self.classes, *target.shape[1:]):
            raise RequestError(
                f"probabilities of shape {tuple(prediction.shape)} do not fit {self.classes} classes and labels of "
                f"shape {tuple(target.shape)}: give a network and data of the same classes and sizes"
            )
        counted = (target != self.ignored).flatten(1)
        true = target.flatten(1)
        said = prediction.argmax(dim=1).flatten(1)
        right = counted & (said == true)
        both, predicted, actual = (
            self._per_class(places, kept) for places, kept in ((true, right), (said, counted), (true, counted))
        )
        # NaN is the largest of all to argmax: unmarked, a diverged network would score like one that says one class.
        broken = ~prediction.flatten(1).isfinite().all(dim=1)
        self._table.add(*(both.masked_fill(broken[:, None], float("nan")).T), *predicted.T, *actual.T)

    def compute(self) -> dict[str, float]:
        """`miou` in 0..1 and `pixel_accuracy` in percent, both over the pooled pixels.

        Raises:
            RequestError: no image was seen, or no pixel has a label.
            RunFailedError: a probability was not finite.
        """
        both, said, true = (counts.sum(dim=0, keepdim=True) for counts in self._counts())
        if not true.sum():
            raise RequestError("no pixel of the split has a label: give masks with classes")
        return {"miou": _mean_iou(both, said, true).item(), "pixel_accuracy": _accuracy(both, true).item()}

    def per_image(self) -> list[dict[str, float]]:
        """`miou` of the classes in each image or in what was said of it, and `pixel_accuracy`; 0 without labels."""
        both, said, true = self._counts()
        return as_dicts({"miou": _mean_iou(both, said, true), "pixel_accuracy": _accuracy(both, true)})

    def _per_class(self, places: Tensor, kept: Tensor) -> Tensor:
        """(B, P) classes and which of them count, to (B, K) counts."""
        # What does not count goes to a class of its own, behind the last.
        shifted = places.masked_fill(~kept, self.classes)
        counts = torch.zeros(len(places), self.classes + 1, dtype=torch.int64, device=places.device)
        counts.scatter_add_(1, shifted, torch.ones_like(shifted))
        return counts[:, : self.classes].to(sum_dtype(places.device))

    def _counts(self) -> tuple[Tensor, Tensor, Tensor]:
        """(N, K) of pixels that are right, said and true."""
        columns = torch.stack(list(self._table.read().values()), dim=1)
        both, said, true = columns.chunk(3, dim=1)
        return both, said, true


def _mean_iou(both_NK: Tensor, said_NK: Tensor, true_NK: Tensor) -> Tensor:
    union_NK = said_NK + true_NK - both_NK
    present_NK = union_NK > 0
    iou_NK = both_NK / union_NK.clamp_min(1)
    return iou_NK.sum(dim=1) / present_NK.sum(dim=1).clamp_min(1)


def _accuracy(both_NK: Tensor, true_NK: Tensor) -> Tensor:
    return 100.0 * both_NK.sum(dim=1) / true_NK.sum(dim=1).clamp_min(1)
