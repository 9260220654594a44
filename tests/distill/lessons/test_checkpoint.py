"""A training's saved state that cannot be gone on from is named, with what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.checkpoint import Checkpoint

HERE = {"torch": "2"}


def _saved(folder: Path) -> Path:
    Checkpoint(folder / "state" / "state.pt", {"network": nn.Linear(2, 3)}, HERE).save(write=True)
    return folder / "state" / "state.pt"


def _other(content: Any) -> Any:
    return lambda file: torch.save(content, file)


def test_a_whole_state_is_taken(tmp_path: Path) -> None:
    file, network = _saved(tmp_path), nn.Linear(2, 3)
    assert Checkpoint(file, {"network": network}, {"torch": "3"}).restore() == ["torch was 2, is 3"]
    assert torch.equal(network.weight, torch.load(file, weights_only=True)["network"]["weight"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:500]),
        lambda file: file.write_bytes(b"garbage"),
        lambda file: file.write_bytes(b""),
        _other({"weight": torch.zeros(2)}),
        _other([1, 2]),
        _other(torch.zeros(2)),
        _other({"environment": 3}),
        _other({"environment": HERE, "network": nn.Linear(9, 9).state_dict()}),
        _other({"environment": HERE, "network": 5}),
    ],
    ids=["truncated", "garbage", "empty", "weights", "list", "tensor", "no environment", "other network", "no network"],
)
def test_a_damaged_state_is_refused(tmp_path: Path, damage: Any) -> None:
    file = _saved(tmp_path)
    damage(file)
    with pytest.raises(RequestError, match=r"state\.pt' is damaged or of another run .*: remove '.*/state' to train"):
        Checkpoint(file, {"network": nn.Linear(2, 3)}, HERE).restore()


def test_memory_that_runs_out_is_no_damage(tmp_path: Path) -> None:
    class Large(nn.Linear):
        def load_state_dict(self, *_arguments: Any) -> Any:  # type: ignore[override]
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Checkpoint(_saved(tmp_path), {"network": Large(2, 3)}, HERE).restore()
