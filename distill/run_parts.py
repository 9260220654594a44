"""What a run is made of, whoever puts it together: to train it, to try it, or to examine it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from densedistill.distill.configuration.config import Resolved
from densedistill.distill.data import TaskData
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.networks import NetworkSource
from densedistill.distill.progress import RunLog, SilentLog
from densedistill.distill.run_dir import RunDir


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    """A resolved configuration with everything that it names at hand."""

    resolved: Resolved
    data: TaskData
    networks: NetworkSource
    runtime: Runtime
    run_dir: RunDir
    log: RunLog

    def silent(self) -> RunParts:
        """The same run, of which nobody hears."""
        return dataclasses.replace(self, log=SilentLog())
