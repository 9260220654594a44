"""The layout of a run on disk. Names here are public."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from densedistill.distill.errors import RequestError
from densedistill.distill.files import TRAINED_AGAIN, WRITTEN_ANEW, read_json, write_json, write_text
from densedistill.distill.yaml_text import read_mapping

SCHEMA = 1

IDENTITY = ("arm", "generation", "role", "network", "arguments", "builder")
"""What every reader of an arm's record needs."""
_UNEXAMINED = "remove it and resume the run, whose result then says nothing of that examination"


@dataclass(frozen=True, slots=True)
class ArmDir:
    """One arm's folder."""

    path: Path

    @property
    def weights(self) -> Path:
        """The selected weights."""
        return self.path / "model.safetensors"

    @property
    def record_file(self) -> Path:
        """What the arm is and what it reached; written last, so that its presence means done."""
        return self.path / "arm.json"

    @property
    def state(self) -> Path:
        """Where training state lies while the arm is not done."""
        return self.path / "state"

    @property
    def done(self) -> bool:
        """Whether the arm has finished."""
        return self.record_file.is_file()

    def record(self, *further: str) -> dict[str, Any]:
        """The finished arm's record.

        Args:
            further: keys that are needed beside those which say what the arm is.

        Raises:
            RequestError: it is damaged, or lacks what is needed.
        """
        found = read_json(self.record_file, TRAINED_AGAIN)
        _require_keys(self.record_file, found, (*IDENTITY, *further), TRAINED_AGAIN)
        return found


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run's folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One line for each arm and epoch."""
        return self.path / "metrics.jsonl"

    @property
    def result_file(self) -> Path:
        """The result, schema 1."""
        return self.path / "result.json"

    @property
    def doctor_file(self) -> Path:
        """What the doctor found before the run; a short run has none."""
        return self.path / "doctor.json"

    @property
    def panels(self) -> Path:
        """Sample panels for the report."""
        return self.path / "panels"

    @property
    def teacher_cache(self) -> Path:
        """Kept teacher outputs, while the run is not complete."""
        return self.path / "teacher_cache"

    def arm(self, name: str) -> ArmDir:
        """The folder of arm `name`."""
        return ArmDir(self.path / name)

    def config(self) -> dict[str, Any]:
        """The configuration this run was started with.

        Raises:
            RequestError: the folder holds no run.
        """
        if not self.config_file.is_file():
            raise RequestError(f"'{self.path}' holds no run (no config.yaml): give the folder that --out named.")
        return read_config_file(self.config_file)

    def doctor(self) -> dict[str, Any] | None:
        """What the doctor found before the run; None where it was not asked.

        Raises:
            RequestError: its file is damaged.
        """
        if not self.doctor_file.is_file():
            return None
        found = read_json(self.doctor_file, _UNEXAMINED)
        _require_keys(self.doctor_file, found, ("status", "seconds", "findings"), _UNEXAMINED)
        return found

    def result(self) -> dict[str, Any]:
        """The result of the run.

        Raises:
            RequestError: its file is damaged.
            OSError: there is none, or it cannot be read.
        """
        found = read_json(self.result_file, WRITTEN_ANEW)
        if not isinstance(found.get("data", {}), dict):
            raise RequestError(f"'{self.result_file}' has no object as 'data': {WRITTEN_ANEW}.")
        return found

    def arms(self) -> list[str]:
        """The finished arms, in name order."""
        return sorted(record.parent.name for record in self.path.glob("*/arm.json"))

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration."""
        write_text(self.config_file, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the result."""
        write_json(self.result_file, result)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line), allow_nan=False) + "\n")

    def drop_metrics(self, arm: str, from_epoch: int) -> None:
        """Remove `arm`'s lines from `from_epoch` on, and what is no line of an epoch, as where a crash cut one short.

        A resumed arm trains those epochs again and writes the same lines.
        """
        if not self.metrics_file.is_file():
            return
        kept = []
        for line in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                of, epoch = entry["arm"], int(entry["epoch"])
            except (ValueError, KeyError, TypeError):
                continue
            if of != arm or epoch < from_epoch:
                kept.append(line + "\n")
        write_text(self.metrics_file, "".join(kept))


def _require_keys(file: Path, found: Mapping[str, Any], keys: Iterable[str], remedy: str) -> None:
    lacking = [key for key in keys if key not in found]
    if lacking:
        raise RequestError(f"'{file}' lacks {', '.join(lacking)}: {remedy}.")


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a configuration written by an earlier run.

    Raises:
        RequestError: missing, or not YAML, or not a mapping.
    """
    return read_mapping(path, "configuration file", "the config.yaml of an earlier run")
