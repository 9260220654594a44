"""Experiment trackers, through Accelerate's."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densedistill.distill.errors import RequestError, first_line

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker


PROJECT = "densedistill"
"""W&B's project and MLflow's experiment."""
GIVEN_SERVER = os.environ.get("MLFLOW_TRACKING_URI")
"""Read once: MLflow keeps the address of a run's own database in the environment, where the next run would find it."""


class Trackers:
    """Sends each epoch's figures to the trackers asked for, between `start` and `close`.

    TensorBoard's files lie in the run's folder, and so do those of W&B and MLflow: W&B writes offline, for
    `wandb sync`, unless WANDB_MODE says `online`; MLflow writes `mlflow.db` unless MLFLOW_TRACKING_URI names a server.
    """

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
        self._arms: set[str] = set()

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
            if tracker.name == "wandb":
                self._log_by_arm(tracker, arm, known, line["step"])
            else:
                tracker.log(known, step=line["step"])

    def _log_by_arm(self, tracker: GeneralTracker, arm: str, figures: Mapping[str, float], step: int) -> None:
        """W&B has one count of steps for a run and drops what comes before the last: each arm brings its own."""
        if arm not in self._arms:
            self._arms.add(arm)
            tracker.tracker.define_metric(f"{arm}/step", hidden=True)
            tracker.tracker.define_metric(f"{arm}/*", step_metric=f"{arm}/step")
        tracker.log({**figures, f"{arm}/step": step})

    def close(self) -> None:
        """Write what is still in buffers."""
        for tracker in self._trackers:
            tracker.finish()


def _start(name: str, folder: Path) -> GeneralTracker:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    with _naming(name):
        tracker = LOGGER_TYPE_TO_CLASS[name](**_settings(name, folder))
        tracker.start()
    return tracker


def _settings(name: str, folder: Path) -> dict[str, Any]:
    """Everything goes into the run's folder unless the environment says otherwise: no tracker needs a network."""
    if name == "tensorboard":
        return {"run_name": "tensorboard", "logging_dir": folder}
    if name == "wandb":
        mode = os.environ.get("WANDB_MODE", "offline")
        return {"run_name": PROJECT, "name": folder.name, "dir": str(folder), "mode": mode}
    mlflow = importlib.import_module("mlflow")

    mlflow.set_tracking_uri(GIVEN_SERVER or f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    return {"experiment_name": PROJECT, "run_name": folder.name, "logging_dir": str(folder.absolute() / "mlflow")}


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """One sentence for whatever keeps a tracker from starting: a server that is away, a login that is missing."""
    try:
        yield
    except Exception as error:
        raise RequestError(
            f"tracker '{name}' cannot start ({first_line(error)}): mend that, or leave it out of --track."
        ) from error
