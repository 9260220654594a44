"""The folder of a run: it is no other run's, and a run goes on in it only as it began."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from densedistill.distill.adoption import TEACHER
from densedistill.distill.configuration.config import Difference, Resolved, RunConfig, differences
from densedistill.distill.configuration.immaterial import IMMATERIAL, among
from densedistill.distill.configuration.paths import absolute_fields, path_fields
from densedistill.distill.errors import RequestError
from densedistill.distill.files import first_file_in, is_temporary
from densedistill.distill.run_dir import RunDir


@contextmanager
def new_folder(resolved: Resolved) -> Iterator[Path]:
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


def claim(run_dir: RunDir, resolved: Resolved, resume: bool) -> bool:
    """Refuse a folder that holds another run, or one that would go on under another configuration.

    Returns:
        Whether it holds a run, which then goes on.

    Raises:
        RequestError: it is no place for the run of `resolved`.
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
    others = changed(run_dir, resolved)
    if others:
        listed = "; ".join(map(str, others))
        raise RequestError(
            f"'{run_dir.path}' holds a run with another configuration ({listed}): leave these flags out to "
            "go on with it, or give --out another folder."
        )
    return True


def changed(run_dir: RunDir, resolved: Resolved) -> list[Difference]:
    """What of the configuration is not as the run in `run_dir` began with, and would change its result.

    Fields that came since are at their defaults there: the run knew nothing of them.
    """
    now, before = resolved.config.plain(), _validated_plain(RunConfig, run_dir.config())
    for name, model in (("data", resolved.options), ("method", resolved.parameters)):
        defaults = _validated_plain(type(model), {})
        for config in (now, before):
            config[name] = {**defaults, **config.get(name, {})}
    paths = path_fields(resolved.spec)
    now, before = absolute_fields(now, paths), absolute_fields(before, paths)
    if now["teacher_run"] and _is_ours(run_dir, Path(now["teacher_run"])):
        before["teacher_run"] = now["teacher_run"]
    return [field for field in differences(before, now) if not among(field.path, IMMATERIAL)]


def begin(run_dir: RunDir, resolved: Resolved, *, begun: bool) -> None:
    """Write the configuration, the first file of a run: before it there is nothing that could be taken for one.

    Raises:
        RequestError: it cannot be written, or another process has, in a folder where nothing was `begun`.
    """
    with first_file_in(run_dir.path):
        try:
            if begun:
                run_dir.write_config(resolved.config.plain())
            else:
                _create_config(run_dir, resolved)
        except FileExistsError:
            raise RequestError(
                f"another process has begun a run in '{run_dir.path}' since this one started: give --out another "
                "folder."
            ) from None


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
