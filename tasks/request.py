"""What a user asks for, and the configuration it resolves to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densedistill.distill.configuration.config import Request, Resolved, resolve
from densedistill.distill.configuration.paths import absolute_settings, path_fields
from densedistill.distill.configuration.speed import EXACT
from densedistill.distill.errors import RequestError
from densedistill.distill.plugins import load_plugin, recorded_plugins
from densedistill.distill.run_dir import RunDir, read_config_file
from densedistill.distill.spec import TaskSpec
from densedistill.tasks.registry import get


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """A run as the command line or `run` asks for it. None keeps the preset's value, or an earlier run's."""

    task: str | None = None
    preset: str | None = None
    generations: int | None = None
    method: str | None = None
    data: str | None = None
    data_root: Path | str | None = None
    teacher: str | None = None
    student: str | None = None
    students: Sequence[str] = ()
    """Several students in place of one: they learn side by side and share one teacher pass."""
    teacher_weights: Path | str | None = None
    student_weights: Path | str | None = None
    pretrained: str | None = None
    teacher_size: int | None = None
    """Side of generation 1's input in pixels; its students keep their own."""
    epochs: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    device: str | None = None
    precision: str | None = None
    teacher_cache: int | None = None
    """Views of each image whose teacher outputs are kept."""
    exact: bool = False
    """Full precision and none of the shortcuts of `speed`."""
    controls: Sequence[str] | None = None
    track: Sequence[str] | None = None
    doctor: str | None = None
    """Whether the run is examined first: `auto`, if it is long; `always`; `never`."""
    settings: Sequence[tuple[str, object]] = ()
    """Fields of the configuration by dotted path, as `--set` takes them; they come last."""
    plugins: Sequence[str] = ()
    config: Path | str | None = None
    """An earlier run's config.yaml to repeat."""
    out: Path | str | None = None
    resume: bool = False

    def folder(self) -> Path | None:
        """The run's folder: `out`; with `resume` and without `out` the task's latest run that is not
        complete, or its latest; else None, for a new one.

        Raises:
            RequestError: `resume`, and there is nothing to resume.
        """
        if self.out is not None or not self.resume:
            return None if self.out is None else Path(self.out)
        runs = list(Path("runs").glob(f"{self.task or '*'}/*/config.yaml"))
        if not runs:
            raise RequestError("nothing to resume: there is no run under runs/; give --out DIR, the folder of the run.")
        return max((RunDir(config.parent) for config in runs), key=_unfinished_and_late).path

    def resolve(self) -> Resolved:
        """Load plugins, find the task and resolve its configuration.

        Raises:
            RequestError: no task is named, or any part of the request is wrong.
        """
        base = self._base()
        plugins = tuple(self.plugins) or recorded_plugins(base or {})
        for plugin in plugins:
            load_plugin(plugin)
        task = self.task or (base or {}).get("task")
        if task is None:
            raise RequestError("no task is named: give --task NAME; --list tasks shows the choices.")
        if not isinstance(task, str):
            raise RequestError(f"task={task!r}: must be a task's name; --list tasks shows the choices.")
        spec = get(task)
        self._check_teacher_size(spec)
        return resolve(
            spec,
            Request(
                preset=self.preset,
                method=self.method,
                teacher=self.teacher,
                student=self.student,
                students=self.students,
                # A configuration is read from elsewhere later: no path in it depends on the working directory.
                settings=absolute_settings([*self._flags(), *self.settings], path_fields(spec)),
                base=base,
                plugins=tuple(str(Path(name).absolute()) if name.endswith(".py") else name for name in plugins),
            ),
        )

    def _check_teacher_size(self, spec: TaskSpec) -> None:
        if self.teacher_size is None:
            return
        if not any("teacher_size" in type(preset.data).model_fields for preset in spec.presets.values()):
            raise RequestError(
                f"teacher_size is {self.teacher_size}, but in task {spec.name} teacher and student answer to the same "
                "pixels: leave --teacher-size out, or give a task whose data has it, such as cls."
            )

    def _base(self) -> Mapping[str, Any] | None:
        if self.config is not None:
            # Also of a run that goes on, which is refused where it differs from that one.
            return read_config_file(Path(self.config))
        folder = self.folder() if self.resume else None
        # A run that ended before it wrote its configuration has nothing to go on from: the same command starts it anew.
        if folder is not None and (self.task is None or RunDir(folder).config_file.is_file()):
            return RunDir(folder).config()
        return None

    def _flags(self) -> list[tuple[str, object]]:
        """Each flag as the field of the configuration that it sets."""
        fields: dict[str, object] = {
            "generations": self.generations,
            "data.name": self.data,
            "data.root": self.data_root,
            "data.teacher_size": self.teacher_size,
            "teacher_weights": self.teacher_weights,
            "student_weights": self.student_weights,
            "pretrained": self.pretrained,
            "recipe.epochs": self.epochs,
            "recipe.batch_size": self.batch_size,
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
            "teacher_cache": self.teacher_cache,
            "controls": None if self.controls is None else list(self.controls),
            "track": None if self.track is None else list(self.track),
            "doctor": self.doctor,
        }
        exact = [("precision", "fp32"), ("speed", EXACT.model_dump(mode="json"))] if self.exact else []
        return [*exact, *((path, value) for path, value in fields.items() if value is not None)]


def _unfinished_and_late(run: RunDir) -> tuple[bool, float]:
    """Which run to go on with. Names of folders do not tell: some are the user's own, and `-10` sorts before `-2`.

    A run writes its configuration when it begins and whenever it goes on.
    """
    try:
        complete = run.result().get("complete") is True
    except (RequestError, OSError):
        complete = False
    return not complete, run.config_file.stat().st_mtime
