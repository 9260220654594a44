"""Running a task: prepare data and folder for a resolved request, and hand all of it to the chain."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from densedistill import backbones
from densedistill.distill import report
from densedistill.distill.adoption import TEACHER, adopt_teacher, require_teacher
from densedistill.distill.chain import Chain
from densedistill.distill.collective import from_main
from densedistill.distill.config import Difference, Resolved, RunConfig, differences
from densedistill.distill.doctor.examination import before_run
from densedistill.distill.dry_run import preflight
from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.files import is_temporary, write_json
from densedistill.distill.guard import naming_failures
from densedistill.distill.immaterial import IMMATERIAL, among
from densedistill.distill.panels import write_panels
from densedistill.distill.progress import RichLog, RunLog, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.runtime import Runtime, start_runtime
from densedistill.distill.spec import NetworkSpec
from densedistill.distill.trackers import Trackers
from densedistill.distill.transfer import require_same_data
from densedistill.tasks.data_memo import DataMemo
from densedistill.tasks.request import RunRequest

NETWORKS_MODULE = "densedistill.backbones"


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
    with _new_folder(resolved) if folder is None and runtime.is_main else nullcontext(folder) as place:
        run_dir = RunDir(_on_all_processes(place))
        try:
            with naming_failures(run_dir.path), shown:
                return _run(resolved, run_dir, request.resume, runtime, shown, command)
        except InterruptedRunError as error:
            error.folder = run_dir.path
            raise


def make_chain(
    resolved: Resolved, *, run_dir: RunDir, runtime: Runtime, log: RunLog, trackers: Trackers, command: Sequence[str]
) -> Chain:
    """The chain of a resolved configuration, with its data loaded."""
    return Chain(
        resolved,
        data=resolved.spec.load_data(resolved.options),
        networks=backbones,
        networks_module=NETWORKS_MODULE,
        runtime=runtime,
        run_dir=run_dir,
        log=log,
        track=trackers.log,
        command=command,
    )


def _run(
    resolved: Resolved, run_dir: RunDir, resume: bool, runtime: Runtime, log: RunLog, command: Sequence[str]
) -> Result:
    config = resolved.config
    begun = _claim(run_dir, resolved, resume) if runtime.is_main else False
    runtime.accelerator.wait_for_everyone()
    trackers = Trackers(resolved.config.track if runtime.is_main else (), run_dir.path)
    chain = make_chain(resolved, run_dir=run_dir, runtime=runtime, log=log, trackers=trackers, command=command)
    taken_over = _taken_over(chain)
    if taken_over is not None and not run_dir.arm(TEACHER).done:
        require_same_data("teacher_run", config.teacher_run, chain.data)
        require_teacher(*taken_over)
    chain.probed = preflight(chain)
    diagnosis = None
    if config.doctor != "never":
        diagnosis = before_run(chain, log.message, always=config.doctor == "always")
    if runtime.is_main:
        _begin(run_dir, resolved, begun=begun)
        if diagnosis is not None:
            write_json(run_dir.doctor_file, diagnosis.plain())
        if taken_over is not None:
            adopt_teacher(run_dir, *taken_over)
    runtime.accelerator.wait_for_everyone()
    log.message(f"run folder {run_dir.path}")
    try:
        trackers.start()
        result = chain.run()
    finally:
        trackers.close()
    if runtime.is_main:
        write_panels(chain)
        report.write_report(run_dir.path)
    runtime.accelerator.wait_for_everyone()
    return Result(run_dir.path, result)


def _taken_over(chain: Chain) -> tuple[Path, NetworkSpec] | None:
    """The run that the teacher is taken from, and what it has to be, with all that follows from the data.

    None: none is named, or no arm of this run needs a teacher.
    """
    config = chain.resolved.config
    plan = next((plan for plan in chain.plans if plan.name == TEACHER), None)
    if config.teacher_run is None or plan is None:
        return None
    return config.teacher_run, config.network(1).model_copy(update={"arguments": chain.arguments_of(plan)})


def _on_all_processes(place: Path | None) -> Path:
    """The main process's folder; only that one names a new folder, so that there is one."""
    folder = from_main(place)
    if folder is None:
        raise RuntimeError("the main process has named no folder")
    return folder


@contextmanager
def _new_folder(resolved: Resolved) -> Iterator[Path]:
    """A folder below `runs` that no other run has, made at once; removed again where the run wrote nothing into it.

    Raises:
        RequestError: it cannot be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    wanted = Path("runs") / resolved.config.task / f"{stamp}-{resolved.config.preset}"
    absent = [parent for parent in (wanted.parent, wanted.parent.parent) if not parent.exists()]
    try:
        folder = _made_for_one(wanted)
    except OSError as error:
        raise RequestError(f"'{wanted}' cannot be made ({error.strerror}): give --out another folder.") from None
    try:
        yield folder
    finally:
        with suppress(OSError):
            for place in (folder, *absent):
                place.rmdir()


def _made_for_one(wanted: Path) -> Path:
    """`wanted`, or with `-2`, `-3`, ... behind its name: the first that was not there, and now is."""
    number, folder = 1, wanted
    while True:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        except FileNotFoundError:
            # Another run was refused, and took the folders that it had made with it.
            continue


def _changed(run_dir: RunDir, resolved: Resolved) -> list[Difference]:
    """What of the configuration is not as the run in `run_dir` began with, and would change its result.

    Fields that came since are at their defaults there: the run knew nothing of them.
    """
    now, before = resolved.config.plain(), _validated_plain(RunConfig, run_dir.config())
    for name, model in (("data", resolved.options), ("method", resolved.parameters)):
        defaults = _validated_plain(type(model), {})
        for config in (now, before):
            config[name] = {**defaults, **config.get(name, {})}
    if now["teacher_run"] and _is_ours(run_dir, Path(now["teacher_run"])):
        before["teacher_run"] = now["teacher_run"]
    return [field for field in differences(before, now) if not among(field.path, IMMATERIAL)]


def _validated_plain(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the model's defaults beside them; as they are where the model does not take them."""
    try:
        return model.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return dict(values)


def _is_ours(run_dir: RunDir, source: Path) -> bool:
    """Whether the teacher in `run_dir` is the one in `source`, which may have been moved since it was taken over."""
    ours, theirs = run_dir.arm(TEACHER), RunDir(source).arm(TEACHER)
    return ours.done and theirs.done and ours.record() == theirs.record()


def _begin(run_dir: RunDir, resolved: Resolved, *, begun: bool) -> None:
    """Write the configuration, the first file of a run: before it there is nothing that could be taken for one.

    Raises:
        RequestError: it cannot be written, or another process has, in a folder where nothing was `begun`.
    """
    try:
        if begun:
            run_dir.write_config(resolved.config.plain())
        else:
            _create_config(run_dir, resolved)
    except FileExistsError:
        raise RequestError(
            f"another process has begun a run in '{run_dir.path}' since this one started: give --out another folder."
        ) from None
    except (PermissionError, NotADirectoryError) as error:
        raise RequestError(
            f"'{run_dir.path}' cannot be written ({error.strerror}): give --out another folder."
        ) from None


def _create_config(run_dir: RunDir, resolved: Resolved) -> None:
    """Write the configuration at once where there is none; FileExistsError where there is one."""
    draft = RunDir(run_dir.path / f".begun.{os.getpid()}.tmp")
    try:
        draft.write_config(resolved.config.plain())
        try:
            os.link(draft.config_file, run_dir.config_file)
        except FileExistsError:
            raise
        except OSError:
            # No hard links here: an empty file takes the place, and the whole one the empty one's.
            run_dir.config_file.touch(exist_ok=False)
            draft.config_file.replace(run_dir.config_file)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def _claim(run_dir: RunDir, resolved: Resolved, resume: bool) -> bool:
    """Refuse a folder that holds another run, or one that would go on under another configuration.

    Returns:
        Whether it holds a run, which then goes on.
    """
    if not run_dir.config_file.is_file():
        if run_dir.path.exists() and not run_dir.path.is_dir():
            raise RequestError(f"'{run_dir.path}' is a file: give --out a new or empty folder.")
        if run_dir.path.is_dir() and any(not is_temporary(path) for path in run_dir.path.iterdir()):
            raise RequestError(f"'{run_dir.path}' is not empty and holds no run: give --out a new or empty folder.")
        return False
    if not resume:
        raise RequestError(
            f"'{run_dir.path}' already holds a run: add --resume to go on with it, or give --out another folder."
        )
    changed = _changed(run_dir, resolved)
    if changed:
        listed = "; ".join(map(str, changed))
        raise RequestError(
            f"'{run_dir.path}' holds a run with another configuration ({listed}): leave these flags out to "
            "go on with it, or give --out another folder."
        )
    return True
