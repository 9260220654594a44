"""Tiny tasks under the names `tiny_cls`, `tiny_edges` and `tiny_sr`, for runs through the public commands."""

from __future__ import annotations

import functools
import gc
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from densedistill.backbones import register_network
from densedistill.backbones import registry as networks
from densedistill.distill.plugins import load_plugin
from densedistill.tasks import register
from densedistill.tasks import registry as tasks

TINY = Path(__file__).parents[1] / "distill" / "tiny_task.py"
KINDS = ("cls", "edges", "sr")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `tiny_task`, its tasks and networks registered until the test ends."""
    load_plugin(str(TINY))
    import tiny_task

    tasks.load_built_in()
    monkeypatch.setattr(tasks._TASKS, "_factories", dict(tasks._TASKS._factories))
    monkeypatch.setattr(networks, "_NETWORKS", dict(networks._NETWORKS))
    for kind in KINDS:
        _register(tiny_task, kind)
    # Each arm ends with a garbage collection, which need not walk all that the imports made.
    gc.freeze()
    module: ModuleType = tiny_task
    return module


def _register(tiny_task: ModuleType, kind: str) -> None:
    def build(width: int = 6, dropout: float = 0.2) -> nn.Module:
        network: nn.Module = tiny_task.TinyNet(kind, width, dropout)
        return network

    @functools.wraps(tiny_task.tiny_spec)
    def make() -> object:
        return tiny_task.tiny_spec(kind)

    register_network(f"tiny/{kind}", summary="tiny")(build)
    register(f"tiny_{kind}")(make)  # type: ignore[arg-type]
