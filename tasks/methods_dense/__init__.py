"""Methods for dense prediction, each with its parameters, its paper and what it needs."""

from __future__ import annotations

from densedistill.distill.spec import Method
from densedistill.tasks.methods_dense.edges import EDGE_METHODS
from densedistill.tasks.methods_dense.segmentation import SEGMENTATION_METHODS


def edge_methods() -> dict[str, Method]:
    """Methods for maps whose pixels are on or off, by name, `soft-maps` first."""
    return {method.name: method for method in EDGE_METHODS}


def segmentation_methods() -> dict[str, Method]:
    """Methods for maps of classes, by name, `kd` first."""
    return {method.name: method for method in SEGMENTATION_METHODS}
