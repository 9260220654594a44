"""What finished edge arms are judged by beside Dice: the boundary benchmark."""

from __future__ import annotations

from densedistill.datasets.bsds import Split
from densedistill.datasets.edges import EdgeData, bsds_annotations
from densedistill.distill.boundaries import BoundaryBenchmark, BoundaryOptions
from densedistill.distill.data import EvalSet


def benchmark(options: EdgeData, part: Split, images: EvalSet) -> BoundaryBenchmark | None:
    """ODS, OIS and AP on `images`, or None where the data options ask for none.

    Raises:
        DataError: BSDS500 is not where it was.
    """
    if options.benchmark == "never" or (options.benchmark == "auto" and options.name != "bsds500"):
        return None
    annotations = bsds_annotations(options, part, images.ids) if options.name == "bsds500" else None
    return BoundaryBenchmark(annotations, BoundaryOptions(nms=options.nms))
