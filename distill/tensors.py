"""Tensors in files: weights as safetensors, training state as PyTorch writes it, each file replaced in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from densedistill.distill.files import grant, replacing


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's state as safetensors, atomically."""
    save_tensors(path, module.state_dict())


def save_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically. Views are copied: the format stores no shared memory."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata=None if metadata is None else dict(metadata))
        # safetensors writes a private file first, which keeps its rights when it takes the name.
        grant(temporary)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU."""
    return dict(load_file(path))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write training state (tensors and plain containers) atomically."""
    with replacing(path) as temporary:
        torch.save(dict(state), temporary)


def load_state(path: Path) -> dict[str, Any]:
    """Read training state; holds tensors and plain containers only, so no code can hide in it."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
