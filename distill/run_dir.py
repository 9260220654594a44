"""The layout of a run on disk. Names here are public."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from densedistill.distill.errors import RequestError
from densedistill.distill.files import read_json, write_json, write_text
from densedistill.distill.yaml_text import read_mapping

SCHEMA = 1


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

    def record(self) -> dict[str, Any]:
        """The finished arm's record."""
        return read_json(self.record_file)


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
        """What the doctor found before the run; None where it was not asked."""
        return read_json(self.doctor_file) if self.doctor_file.is_file() else None

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
        """Remove `arm`'s lines from `from_epoch` on, and a last line that a crash cut short.

        A resumed arm trains those epochs again and writes the same lines.
        """
        if not self.metrics_file.is_file():
            return
        kept = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if entry["arm"] != arm or entry["epoch"] < from_epoch:
                kept.append(line + "\n")
        write_text(self.metrics_file, "".join(kept))


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a configuration written by an earlier run.

    Raises:
        RequestError: missing, or not YAML, or not a mapping.
    """
    return read_mapping(path, "configuration file", "the config.yaml of an earlier run")
