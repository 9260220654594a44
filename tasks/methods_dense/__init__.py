"""Methods for dense prediction, each with its parameters, its paper and what it needs."""

from __future__ import annotations

from densedistill.distill.spec import AnyMethod, filed
from densedistill.tasks.methods_dense.edges import EDGE_METHODS
from densedistill.tasks.methods_dense.segmentation import SEGMENTATION_METHODS


def edge_methods() -> dict[str, AnyMethod]:
    """Methods for maps whose pixels are on or off, by name, `soft-maps` first."""
    return filed(*EDGE_METHODS)


def segmentation_methods() -> dict[str, AnyMethod]:
    """Methods for maps of classes, by name, `kd` first."""
    return filed(*SEGMENTATION_METHODS)
