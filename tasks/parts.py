"""The parts of a run, loaded: to start it, or for commands that only look at it."""

from __future__ import annotations

from pathlib import Path

from densedistill import backbones
from densedistill.distill.configuration.config import Resolved
from densedistill.distill.machine.runtime import Runtime, start_runtime
from densedistill.distill.progress import RunLog, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts


def load_parts(
    resolved: Resolved, *, folder: Path = Path("runs"), runtime: Runtime | None = None, log: RunLog | None = None
) -> RunParts:
    """The parts of the run that `resolved` describes, with its data loaded; nothing is written.

    Args:
        resolved: its task and configuration.
        folder: where it lies, or would lie.
        runtime: None: one is started, as the configuration asks.
        log: takes what there is to say; None: nobody.

    Raises:
        RequestError: the device is not there.
        DataError: the data is not.
    """
    config = resolved.config
    return RunParts(
        resolved=resolved,
        data=resolved.spec.load_data(resolved.options),
        networks=backbones,
        runtime=runtime or start_runtime(config.device, config.precision),
        run_dir=RunDir(folder),
        log=log or SilentLog(),
    )
