"""Running a task: prepare data and folder for a resolved request, and hand all of it to the chain."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densedistill import backbones
from densedistill.distill import report
from densedistill.distill.adoption import TEACHER, adopt_teacher, require_teacher
from densedistill.distill.chain import Chain
from densedistill.distill.configuration.config import Resolved
from densedistill.distill.doctor.examination import before_run
from densedistill.distill.doctor.finding import Diagnosis
from densedistill.distill.dry_run import preflight
from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.files import write_json
from densedistill.distill.machine.collective import from_main
from densedistill.distill.machine.guard import naming_failures
from densedistill.distill.machine.runtime import Runtime, start_runtime
from densedistill.distill.panels import write_panels
from densedistill.distill.progress import RichLog, RunLog, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts
from densedistill.distill.spec import NetworkSpec
from densedistill.distill.trackers import Trackers
from densedistill.distill.transfer import require_same_data
from densedistill.tasks.data_memo import DataMemo
from densedistill.tasks.parts import load_parts
from densedistill.tasks.request import RunRequest
from densedistill.tasks.run_folder import begin, claim, new_folder


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run."""

    path: Path
    """The run's folder."""
    summary: Mapping[str, Any]
    """The content of result.json."""

    def arm(self, name: str) -> Mapping[str, Any]:
        """One arm's figures.

        Raises:
            KeyError: the run has no such arm.
        """
        for arm in self.summary["arms"]:
            if arm["arm"] == name:
                found: Mapping[str, Any] = arm
                return found
        raise KeyError(name)


def run(
    name: str | None = None,
    *,
    preset: str | None = None,
    generations: int | None = None,
    method: str | None = None,
    data: str | None = None,
    data_root: Path | str | None = None,
    teacher: str | None = None,
    student: str | None = None,
    students: Sequence[str] = (),
    teacher_weights: Path | str | None = None,
    student_weights: Path | str | None = None,
    pretrained: str | None = None,
    teacher_size: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    teacher_cache: int | None = None,
    exact: bool = False,
    controls: Sequence[str] | None = None,
    track: Sequence[str] | None = None,
    doctor: str | None = None,
    settings: Mapping[str, object] | None = None,
    plugins: Sequence[str] = (),
    config: Path | str | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    log: RunLog | None = None,
) -> Result:
    """Distil: train the chain's generations and its control arms, and write the run folder.

    Arguments left None keep the preset's value. `exact` computes in float32 and takes no shortcut. `settings` are
    fields of the configuration by dotted path (`{"method.alpha": 0.5}`). `doctor` is `auto` (a long run is examined
    before it starts), `always` or `never`. `log` receives the course of the run; None
    shows progress on stderr.

    Raises:
        RequestError, DataError, NetworkError: the request is wrong; one sentence says what to give instead.
        RunFailedError: the run failed on its way; its last good state is kept.
        InterruptedRunError: a signal stopped it; `resume=True` goes on.
    """
    request = RunRequest(
        task=name,
        preset=preset,
        generations=generations,
        method=method,
        data=data,
        data_root=data_root,
        teacher=teacher,
        student=student,
        students=students,
        teacher_weights=teacher_weights,
        student_weights=student_weights,
        pretrained=pretrained,
        teacher_size=teacher_size,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        device=device,
        precision=precision,
        teacher_cache=teacher_cache,
        exact=exact,
        controls=controls,
        track=track,
        doctor=doctor,
        settings=tuple((settings or {}).items()),
        plugins=plugins,
        config=config,
        out=out,
        resume=resume,
    )
    return execute(request, command=sys.argv, log=log)


def execute(
    request: RunRequest, *, command: Sequence[str], log: RunLog | None = None, memo: DataMemo | None = None
) -> Result:
    """Run what `request` asks for; `command` is recorded in the result, `memo` spares runs in a row their reading."""
    folder = request.folder()
    resolved = request.resolve()
    if memo is not None:
        resolved = memo.remembering(resolved)
    runtime = start_runtime(resolved.config.device, resolved.config.precision)
    shown: RunLog = log or (RichLog() if runtime.is_main else SilentLog())
    with new_folder(resolved) if folder is None and runtime.is_main else nullcontext(folder) as place:
        run_dir = RunDir(_on_all_processes(place))
        try:
            with naming_failures(run_dir.path), shown:
                return _run(resolved, run_dir, request.resume, runtime, shown, command)
        except InterruptedRunError as error:
            error.folder = run_dir.path
            raise


def _run(
    resolved: Resolved, run_dir: RunDir, resume: bool, runtime: Runtime, log: RunLog, command: Sequence[str]
) -> Result:
    begun = claim(run_dir, resolved, resume) if runtime.is_main else False
    runtime.accelerator.wait_for_everyone()
    trackers = Trackers(resolved.config.track if runtime.is_main else (), run_dir.path)
    parts = load_parts(resolved, folder=run_dir.path, runtime=runtime, log=log)
    chain = Chain(parts, networks_module=backbones.__name__, track=trackers.log, command=command)
    taken_over = _taken_over(chain)
    probed = preflight(parts)
    diagnosis = _examined(parts)
    if runtime.is_main:
        begin(run_dir, resolved, begun=begun)
        if diagnosis is not None:
            write_json(run_dir.doctor_file, diagnosis.plain())
        if taken_over is not None:
            adopt_teacher(run_dir, *taken_over)
    runtime.accelerator.wait_for_everyone()
    log.message(f"run folder {run_dir.path}")
    summary = _trained(chain, trackers, probed)
    if runtime.is_main:
        write_panels(chain)
        report.write_report(run_dir.path)
    runtime.accelerator.wait_for_everyone()
    return Result(run_dir.path, summary)


def _taken_over(chain: Chain) -> tuple[Path, NetworkSpec] | None:
    """The run that the teacher is taken from, and what it has to be, with all that follows from the data.

    None: none is named, or no arm of this run needs a teacher.

    Raises:
        RequestError: the teacher is not taken over yet, and that run has another one, none, or other data.
    """
    config = chain.resolved.config
    plan = next((plan for plan in chain.plans if plan.name == TEACHER), None)
    if config.teacher_run is None or plan is None:
        return None
    expected = config.network(1).model_copy(update={"arguments": chain.arguments_of(plan)})
    if not chain.run_dir.arm(TEACHER).done:
        require_same_data("teacher_run", config.teacher_run, chain.data)
        require_teacher(config.teacher_run, expected)
    return config.teacher_run, expected


def _examined(parts: RunParts) -> Diagnosis | None:
    """What the doctor says of the run before it starts; None where it is not asked, or it was not worth while."""
    wanted = parts.resolved.config.doctor
    return None if wanted == "never" else before_run(parts, parts.log.message, always=wanted == "always")


def _trained(chain: Chain, trackers: Trackers, probed: Mapping[str, int | None]) -> Mapping[str, Any]:
    """Train what is not done yet; the trackers end with it, however it ends."""
    try:
        trackers.start()
        return chain.run(probed)
    finally:
        trackers.close()


def _on_all_processes(place: Path | None) -> Path:
    """The main process's folder; only that one names a new folder, so that there is one."""
    folder = from_main(place)
    if folder is None:
        raise RuntimeError("the main process has named no folder")
    return folder
