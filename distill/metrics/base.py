"""What the engine asks of a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor


class Metric(Protocol):
    """Accumulates finished predictions over a split. The first key of `compute()` is the one selection uses."""

    name: str
    unit: str
    higher_is_better: bool

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Take a batch of finished predictions (probabilities, or an image in [0, 1]) and its batch."""

    def compute(self) -> dict[str, float]:
        """The metric and its companions over everything seen; `name` is the first key."""

    def per_image(self) -> list[dict[str, float]]:
        """The figures of each image, in the order seen; empty where the metric has none."""


@runtime_checkable
class Curved(Protocol):
    """A metric that depends on a threshold."""

    def curve(self) -> dict[str, list[float]]:
        """`threshold`, and as many numbers of whatever is drawn over it."""


@runtime_checkable
class Lengthy(Protocol):
    """A metric whose figures take so long to compute that a run must be stoppable meanwhile."""

    def heeding(self, heed: Callable[[], None]) -> None:
        """Call `heed` every few seconds from now on; what it raises leaves `compute`."""
