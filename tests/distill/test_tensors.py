"""Weights in files that every user may read whom the umask lets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from densedistill.distill.tensors import load_tensors, save_tensors, save_weights


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def granted(request: pytest.FixtureRequest) -> Iterator[int]:
    """The rights of a new file, under two umasks."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX's")
def test_weights_have_the_rights_of_every_new_file(tmp_path: Path, granted: int) -> None:
    file = tmp_path / "model.safetensors"
    save_weights(file, nn.Linear(2, 2))
    assert oct(file.stat().st_mode & 0o777) == oct(granted)
    assert list(tmp_path.iterdir()) == [file]


def test_views_are_written_whole(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    save_tensors(tmp_path / "a.safetensors", {"whole": whole, "part": whole.t()[1]})
    assert torch.equal(load_tensors(tmp_path / "a.safetensors")["part"], torch.tensor([1.0, 4.0]))
