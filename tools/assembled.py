"""A run put together but not started, for commands that look at it first."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from densedistill import backbones
from densedistill.distill.assembly import Assembler
from densedistill.distill.config import Resolved
from densedistill.distill.progress import RunLog, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.runtime import start_runtime

Kind = TypeVar("Kind", bound=Assembler)


def assembled(kind: type[Kind], resolved: Resolved, *, folder: Path = Path("runs"), log: RunLog | None = None) -> Kind:
    """The run that `resolved` describes, with its data loaded; nothing is written.

    Args:
        kind: what to make of it.
        resolved: its task and configuration.
        folder: where it would lie.
        log: takes what there is to say; None: nobody.

    Raises:
        RequestError: the device is not there.
        DataError: the data is not.
    """
    config = resolved.config
    return kind(
        resolved,
        data=resolved.spec.load_data(resolved.options),
        networks=backbones,
        runtime=start_runtime(config.device, config.precision),
        run_dir=RunDir(folder),
        log=log or SilentLog(),
    )
