"""An arm's training state on disk: everything that a restart needs to go on to the same result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from densedistill.distill.errors import RequestError, first_line
from densedistill.distill.machine.guard import of_memory
from densedistill.distill.tensors import load_state, save_state

SAVE_AFTER_SECONDS = 30.0
SAVE_COST_BOUND = 0.05
"""Saving may take this share of the time at most."""


class Stateful(Protocol):
    """Something whose state can be taken and put back: a module, an optimiser, a counter."""

    def state_dict(self) -> Mapping[str, Any]:
        """Tensors and plain containers."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Go on from `state_dict()`."""


class Checkpoint:
    """The parts of a training's state in one file, which is replaced as a whole or not at all."""

    def __init__(self, file: Path, parts: Mapping[str, Stateful], environment: Mapping[str, object]) -> None:
        self.file = file
        self._parts = parts
        self._environment = dict(environment)
        self._saved_at = time.monotonic()
        self._interval = SAVE_AFTER_SECONDS

    @property
    def due(self) -> bool:
        """Whether the last save is long enough ago; the longer a save takes, the rarer it is."""
        return time.monotonic() - self._saved_at > self._interval

    def save(self, *, write: bool) -> None:
        """Write the state; with `write` off, which is for all processes but one, only note the time."""
        started = time.monotonic()
        if write:
            state = {name: part.state_dict() for name, part in self._parts.items()}
            save_state(self.file, {**state, "environment": self._environment})
        self._saved_at = time.monotonic()
        self._interval = max(SAVE_AFTER_SECONDS, (self._saved_at - started) / SAVE_COST_BOUND)

    def restore(self) -> list[str]:
        """Go on from the file, if there is one; returns how the environment differs from the one it was saved in.

        Raises:
            RequestError: the file is damaged, or is no state of this training.
        """
        if not self.file.is_file():
            return []
        try:
            before = self._take(load_state(self.file))
        except OSError:
            raise
        except Exception as error:
            # Of what is wrong in the bytes, PyTorch's reader and each part's own raise errors of many kinds.
            if of_memory(error):
                raise
            raise RequestError(
                f"'{self.file}' is damaged or of another run ({first_line(error)}): remove '{self.file.parent}' to "
                "train this arm from its beginning."
            ) from error
        return [
            f"{key} was {before.get(key)}, is {value}"
            for key, value in self._environment.items()
            if before.get(key) != value
        ]

    def _take(self, state: Mapping[str, Any]) -> dict[str, object]:
        """Put the parts' states back; returns the environment that they were saved in."""
        before = dict(state["environment"])
        for name, part in self._parts.items():
            # A state of an earlier version lacks what came later, which then begins anew.
            if name in state:
                part.load_state_dict(state[name])
        return before
