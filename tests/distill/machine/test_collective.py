"""Agreement among processes. Several real ones are in test_engine_processes.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import distributed

from densedistill.distill.machine import collective
from densedistill.distill.machine.collective import agree


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two processes on GPUs, the other of which says 0 and 1; what is asked of them."""
    told: list[str] = []

    def new_group(*, backend: str) -> str:
        told.append(f"a group by {backend}")
        return "between CPUs"

    def all_reduce(values: torch.Tensor, op: object, group: object) -> None:
        assert op == distributed.ReduceOp.MAX
        told.append(f"{values.device} {group}")
        values.copy_(torch.maximum(values, torch.tensor([0, 1])))

    monkeypatch.setattr(collective, "joined", lambda: True)
    monkeypatch.setattr(distributed, "new_group", new_group)
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    collective._between_cpus.cache_clear()
    yield told
    collective._between_cpus.cache_clear()


def test_flags_go_from_cpu_to_cpu(asked: list[str]) -> None:
    """A GPU would answer once it has taken the steps queued there."""
    assert agree(15, 0) == (15, 1)
    assert agree(0, 0) == (0, 1)
    assert asked == ["a group by gloo", "cpu between CPUs", "cpu between CPUs"]


def test_one_process_agrees_with_itself() -> None:
    assert agree(3, 0) == (3, 0)
