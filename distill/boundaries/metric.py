"""The boundary benchmark as a metric of finished predictions, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from densedistill.distill.boundaries.benchmark import BoundaryOptions, benchmark_boundaries
from densedistill.distill.boundaries.scores import BoundaryScores
from densedistill.distill.boundaries.thinning import thin
from densedistill.distill.metrics.table import check_same_shape


class BoundaryBenchmark:
    """ODS, OIS and AP of probability maps, in 0..1.

    Maps are rounded to the 255 levels of an image file, so that a network's figures are those of its maps on disk, and
    kept as such until the figures are asked for.
    """

    name = "ods"
    unit = ""
    higher_is_better = True

    def __init__(
        self, annotations: Callable[[int], np.ndarray] | None = None, options: BoundaryOptions | None = None
    ) -> None:
        """Score against `annotations`: place of an image in its set -> (n, H, W), one plane for each annotator.

        None: against each batch's `target` (positive from 0.5 on), thinned, as one annotator.
        """
        self._annotations = annotations
        self._options = options
        self._cases: list[Callable[[], tuple[np.ndarray, np.ndarray]]] = []
        self._found: BoundaryScores | None = None
        self._heed: Callable[[], None] | None = None

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take probabilities (B, 1, H, W) with the batch's `target` of the same shape and its `index` (B,).

        Raises:
            RequestError: shapes that differ.
        """
        check_same_shape(prediction, batch["target"])
        # A diverged network's NaN has no level; it is none of an edge, and the task's own metric reports it.
        levels = prediction.nan_to_num(0.0).clamp(0, 1).mul(255).round().byte().cpu().numpy()[:, 0]
        targets = (batch["target"][:, 0] >= 0.5).cpu().numpy()
        for level, target, place in zip(levels, targets, batch["index"].tolist(), strict=True):
            self._cases.append(self._case(level, target, place))
        self._found = None

    def heeding(self, heed: Callable[[], None]) -> None:
        """Call `heed` after each image while the figures are computed; what it raises leaves `compute`."""
        self._heed = heed

    def compute(self) -> dict[str, float]:
        """`ods`, `ods_threshold`, `ois` and `ap`.

        Raises:
            RequestError: no image was seen, or annotations are of another size than their image.
        """
        return self._scores().metrics()

    def per_image(self) -> list[dict[str, float]]:
        """`f`, the best F of each image, and the `threshold` of it."""
        return [{"f": image.f, "threshold": image.threshold} for image in self._scores().images]

    def curve(self) -> dict[str, list[float]]:
        """`threshold`, `recall` and `precision`, one number for each threshold."""
        return self._scores().curve()

    def _scores(self) -> BoundaryScores:
        if self._found is None:
            self._found = benchmark_boundaries(self._cases, self._options, progress=self._heed)
        return self._found

    def _case(self, level: np.ndarray, target: np.ndarray, place: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        if self._annotations is None:
            return lambda: (level, thin(target)[None])
        annotations = self._annotations
        return lambda: (level, annotations(place))
