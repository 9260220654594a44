"""What the engine asks of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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
