"""The BSDS500 boundary benchmark: counts, figures, and what is done to a map before them."""

from densedistill.distill.boundaries.benchmark import BoundaryOptions, benchmark_boundaries
from densedistill.distill.boundaries.counting import THRESHOLDS, TOLERANCE, BoundaryCounts, count_boundaries
from densedistill.distill.boundaries.metric import BoundaryBenchmark
from densedistill.distill.boundaries.scores import BoundaryScores, Operating, score_boundaries
from densedistill.distill.boundaries.suppression import suppress
from densedistill.distill.boundaries.thinning import thin

__all__ = [
    "THRESHOLDS",
    "TOLERANCE",
    "BoundaryBenchmark",
    "BoundaryCounts",
    "BoundaryOptions",
    "BoundaryScores",
    "Operating",
    "benchmark_boundaries",
    "count_boundaries",
    "score_boundaries",
    "suppress",
    "thin",
]
