"""What the tests of single losses share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def noise() -> Callable[..., Tensor]:
    """Normal float64 noise of a shape, the same for the same seed."""

    def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale

    return draw
