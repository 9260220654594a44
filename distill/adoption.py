"""Taking a teacher over from a finished run, with its weights and its figures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from densedistill.distill.arm_names import arm_name
from densedistill.distill.errors import RequestError
from densedistill.distill.files import replacing
from densedistill.distill.run_dir import ArmDir, RunDir
from densedistill.distill.spec import NetworkSpec

TEACHER = arm_name(1, "teacher")


def require_teacher(source: Path, expected: NetworkSpec) -> ArmDir:
    """The folder of the teacher in the run `source`.

    Raises:
        RequestError: that run's teacher is not done, or is another network than the chain's first.
    """
    folder = RunDir(source).arm(TEACHER)
    if not folder.done or not folder.weights.is_file():
        raise RequestError(
            f"teacher_run '{source}' has no finished {TEACHER}: give the folder of a run whose teacher is done."
        )
    record = folder.record()
    # As the record has them: JSON knows no tuples.
    wanted = expected.model_dump(mode="json")["arguments"]
    differing = [
        f"{key} {record['arguments'].get(key)!r} there, {value!r} here"
        for key, value in wanted.items()
        if record["arguments"].get(key) != value
    ]
    if record["network"] != expected.name:
        differing = [f"{record['network']} there, {expected.name} here"]
    if differing:
        raise RequestError(
            f"teacher_run '{source}' has another teacher ({'; '.join(differing)}): give the same network, or a run "
            "that trained this one."
        )
    return folder


def adopt_teacher(run_dir: RunDir, source: Path, expected: NetworkSpec) -> None:
    """Make the teacher of the run `source` this run's, unless that has happened.

    Files are linked where the file system can, so that a large teacher of many runs lies on the disk once; neither run
    changes them again. The record comes last: its presence means done.

    Raises:
        RequestError: see `require_teacher`.
    """
    mine = run_dir.arm(TEACHER)
    if mine.done:
        return
    theirs = require_teacher(source, expected)
    for old, new in ((theirs.weights, mine.weights), (theirs.record_file, mine.record_file)):
        new.parent.mkdir(parents=True, exist_ok=True)
        with replacing(new) as temporary:
            try:
                os.link(old, temporary)
            except OSError:
                shutil.copyfile(old, temporary)
