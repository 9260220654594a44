"""The benchmark over a set of images, several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from densedistill.distill.boundaries.counting import BoundaryCounts, count_boundaries
from densedistill.distill.boundaries.scores import BoundaryScores, score_boundaries
from densedistill.distill.boundaries.suppression import suppress


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryOptions:
    """How maps are treated before they are matched."""

    nms: bool = False
    """Suppress what is no crest of the map first, as the field does with the maps of networks."""
    thinned: bool = True
    """Thin each thresholded map, as the benchmark does."""


Case = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Reads one image: its prediction (H, W), uint8 with 255 = edge, and its annotations (n, H, W)."""


def benchmark_boundaries(
    cases: Sequence[Case],
    options: BoundaryOptions | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> BoundaryScores:
    """The boundary benchmark on a set of images.

    Images are read and counted in threads: the counting is machine code that leaves Python's lock to others, so that
    nothing is copied to other processes, and a caller needs no guard for them.

    Args:
        cases: one for each image; each is called once, in one of the threads.
        options: how maps are treated.
        workers: threads; None: one for each core that this process may use.
        progress: called after each image.

    Raises:
        RequestError: there is no image, or one's prediction does not fit its annotations.
    """
    chosen = options or BoundaryOptions()

    def count(case: Case) -> BoundaryCounts:
        prediction, annotations = case()
        return count_boundaries(eight_bits(prediction, nms=chosen.nms), annotations, thinned=chosen.thinned)

    counts = []
    with ThreadPoolExecutor(workers or _cores()) as pool:
        try:
            for done in pool.map(count, cases):
                counts.append(done)
                if progress is not None:
                    progress()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return score_boundaries(counts)


def eight_bits(prediction: np.ndarray, *, nms: bool) -> np.ndarray:
    """(H, W) uint8 to [0, 1]; with `nms` suppressed and rounded to 255 levels again, as the field stores its maps."""
    strength = prediction / 255.0
    return np.round(suppress(strength) * 255.0) / 255.0 if nms else strength


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
