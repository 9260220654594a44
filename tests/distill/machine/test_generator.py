"""The global generator, borrowed."""

from __future__ import annotations

import pytest
import torch

from densedistill.distill.machine.generator import seeded


def test_a_seed_is_torch_s_own_and_what_draws_next_does_not_notice() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(1)
    torch.rand(1)
    undisturbed = torch.rand(2)
    torch.manual_seed(1)
    torch.rand(1)
    with seeded(5):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.rand(2), undisturbed)


def test_no_gpu_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda *_given: pytest.fail("a GPU's generator was touched"))
    with seeded(5):
        torch.rand(3)
