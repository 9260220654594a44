"""What the chain asks of whoever builds networks. `densedistill.backbones` satisfies it as a module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, cast

from torch import nn

Pretrained = Literal["auto", "required", "none"]


class BuiltNetwork(Protocol):
    """A network and where its weights come from."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def init(self) -> str:
        """`random`, or the provider's weights by name."""

    @property
    def warning(self) -> str | None:
        """What the user must know, such as weights that could not be had."""


class NetworkSource(Protocol):
    """Builds networks by name and reads their weights."""

    def build(self, name: str, arguments: Mapping[str, object], *, pretrained: Pretrained = "none") -> BuiltNetwork:
        """The network `name`, with the provider's weights by the policy `pretrained`."""

    def load_weights(self, module: nn.Module, path: Path) -> None:
        """Load a weights file into `module`, or raise and leave it alone."""


def source_by_name(module: str) -> NetworkSource:
    """The builder that a run recorded (`densedistill.backbones`), imported."""
    return cast(NetworkSource, importlib.import_module(module))
