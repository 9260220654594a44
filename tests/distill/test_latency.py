"""The latency of a network: the median, within its budget."""

from __future__ import annotations

import pytest
import torch

from densedistill.distill import latency


class Clock:
    """Time that passes only inside the network."""

    def __init__(self, durations: list[float]) -> None:
        self.now, self.durations, self.passes = 0.0, durations, 0

    def read(self) -> float:
        return self.now

    def network(self, image: torch.Tensor) -> torch.Tensor:
        self.now += self.durations[min(self.passes, len(self.durations) - 1)]
        self.passes += 1
        return image


def measured(monkeypatch: pytest.MonkeyPatch, durations: list[float]) -> tuple[float, int]:
    clock = Clock(durations)
    monkeypatch.setattr(latency.time, "perf_counter", clock.read)
    return latency.latency_ms(clock.network, torch.zeros(1, 3, 4, 4)), clock.passes


def test_the_median_without_the_first_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, passes = measured(monkeypatch, [0.5, 0.1, *([0.002, 0.004, 0.003] * 10)])
    assert found == pytest.approx(3.0)
    assert passes == latency.WARM + latency.MOST


def test_a_slow_network_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, [7.0]) == (pytest.approx(7000.0), 1)
