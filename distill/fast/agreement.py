"""How far one network's answers are from another's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from densedistill.distill.outputs import Prediction

OUTPUT = "output"
"""The output's name among the names of taps."""


def deviation(found: Tensor, expected: Tensor) -> float:
    """Root mean square of found - expected, over the standard deviation of `expected`; dimensionless.

    Relative to the spread and not to the size: a constant that all logits or pixels share says nothing. Infinite where
    shapes differ or a value is not finite.

    Shape: both alike, any.
    """
    if found.shape != expected.shape:
        return math.inf
    reference = expected.float()
    difference = float((found.float() - reference).square().mean().sqrt())
    if difference == 0:
        return 0.0
    spread = float(reference.std(correction=0)) or float(reference.abs().max()) or 1.0
    share = difference / spread
    return share if math.isfinite(share) else math.inf


def deviations(found: Prediction, expected: Prediction) -> dict[str, float]:
    """`deviation` of the output and of each tap, by name. Rows that `expected` lacks at the end are not compared."""
    shares = {OUTPUT: deviation(found.output[: len(expected.output)], expected.output)}
    for path, feature in expected.taps.items():
        shares[path] = deviation(found.taps[path][: len(feature)], feature)
    return shares


def excess(shares: Mapping[str, float], allowed: Mapping[str, float]) -> str | None:
    """What deviates by the most beyond what is allowed, in words; None where nothing does."""
    beyond = {name: share / allowed[name] for name, share in shares.items() if not share <= allowed[name]}
    if not beyond:
        return None
    name = max(beyond, key=beyond.__getitem__)
    where = "its output" if name == OUTPUT else f"its tap '{name}'"
    return f"{where} deviates by {shares[name]:.2g} from the plain teacher's ({allowed[name]:.2g} is allowed)"
