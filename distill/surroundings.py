"""What all arms of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from densedistill.distill.configuration.speed import Speed
from densedistill.distill.data import TaskData
from densedistill.distill.lessons.phases import Phases, unmeasured
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.progress import RunLog
from densedistill.distill.spec import TaskSpec


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The task, its data, and whom an arm's training tells what."""

    spec: TaskSpec
    data: TaskData
    options: BaseModel
    runtime: Runtime
    log: RunLog
    on_epoch: Callable[[Mapping[str, Any]], None]
    """Takes the line of each epoch (metrics.jsonl, trackers)."""
    on_start: Callable[[str, int, int], None]
    """(arm, epochs done, steps done): called before an arm's first step, and again after each restart."""
    speed: Speed
    phases: Phases = unmeasured
    heed: Callable[[], None] | None = None
    """Called often in an evaluation, which it ends with an InterruptedRunError when the run is to stop."""
