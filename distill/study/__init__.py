"""Studies: arms, grids and seeds that answer one question, and the queue that runs them."""

from densedistill.distill.study.definition import (
    ArmDefinition,
    Claim,
    Contrast,
    Pruning,
    Range,
    Search,
    StudyDefinition,
    StudyMetric,
    read_study,
)

__all__ = [
    "ArmDefinition",
    "Claim",
    "Contrast",
    "Pruning",
    "Range",
    "Search",
    "StudyDefinition",
    "StudyMetric",
    "read_study",
]
