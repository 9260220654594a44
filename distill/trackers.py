"""Experiment trackers, through Accelerate's."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densedistill.distill.errors import RequestError

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker


class Trackers:
    """Sends each epoch's figures to the trackers asked for, between `start` and `close`."""

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        """Check that the trackers can be had; nothing is written yet.

        Raises:
            RequestError: one of them is not installed.
        """
        for name in names:
            if importlib.util.find_spec(name) is None:
                raise RequestError(
                    f"tracker '{name}' is not installed: run `pip install {name}`, or leave it out of --track."
                )
        self._names, self._folder = tuple(names), folder
        self._trackers: list[GeneralTracker] = []

    def start(self) -> None:
        """Open the trackers' files or connections."""
        self._trackers += [_start(name, self._folder) for name in self._names]

    def log(self, line: Mapping[str, Any]) -> None:
        """Send one line of metrics.jsonl; figures are filed under their arm, by optimiser step."""
        arm = line["arm"]
        figures = {
            "train/loss": line["train_loss"],
            "val/loss": line["val_loss"],
            "learning_rate": line["learning_rate"],
            "images_per_second": line["images_per_second"],
            **{f"train/{name}": value for name, value in line["losses"].items()},
            **{f"val/{name}": value for name, value in line["val"].items()},
        }
        known = {f"{arm}/{name}": value for name, value in figures.items() if value is not None}
        for tracker in self._trackers:
            tracker.log(known, step=line["step"])

    def close(self) -> None:
        """Write what is still in buffers."""
        for tracker in self._trackers:
            tracker.finish()


def _start(name: str, folder: Path) -> GeneralTracker:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    tracker = kind("tensorboard", logging_dir=folder) if name == "tensorboard" else kind("densedistill")
    tracker.start()
    return tracker
