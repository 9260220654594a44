"""What became of a job: read from its trials, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

JobState = Literal["waiting", "running", "done", "pruned", "failed"]

MOST_LOSSES = 5
"""A job whose process died this often counts as failed: it may be what kills them (memory, for one)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One trial of a job."""

    trial_id: int
    number: int
    state: str
    """Optuna's name for it."""
    attrs: Mapping[str, Any]
    params: Mapping[str, Any]
    value: float | None
    begun: datetime | None = None
    ended: datetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether nobody has taken it."""
        return self.state == "WAITING"

    @property
    def live(self) -> bool:
        """Whether it is waiting or running."""
        return self.state in ("WAITING", "RUNNING")

    @property
    def outcome(self) -> str:
        """How a failed one ended: `failed`, `final`, `lost`, `put back` or `double`."""
        return str(self.attrs.get("outcome", "failed"))


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """A job with all its trials."""

    key: str
    state: JobState
    live: Attempt | None
    """The trial that waits or runs now."""
    last: Attempt | None
    """The trial that settled the job, else the latest one."""
    doubles: tuple[int, ...]
    """Ids of waiting trials that another one makes superfluous."""
    next_attempt: int
    failures: int
    losses: int

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.state in ("done", "pruned", "failed")

    @property
    def figures(self) -> Mapping[str, Any]:
        """What was recorded of it."""
        found = {} if self.last is None else self.last.attrs.get("figures", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def error(self) -> str | None:
        """Why it failed, where its latest trial did."""
        return None if self.last is None or self.state in ("done", "pruned") else self.last.attrs.get("error")

    @property
    def seconds(self) -> float | None:
        """How long its last trial took, where that is known."""
        if self.last is None or self.last.begun is None or self.last.ended is None:
            return None
        return (self.last.ended - self.last.begun).total_seconds()

    @property
    def value(self) -> float | None:
        """What a search is steered by."""
        return None if self.last is None or self.state != "done" else self.last.value


def view(key: str, attempts: Sequence[Attempt], retries: int) -> JobView:
    """The job `key` from all its trials; it may fail `retries` times and still be tried again."""
    counted: list[Attempt] = []
    doubles: list[int] = []
    for attempt in sorted(attempts, key=lambda one: one.number):
        if attempt.state == "FAIL" and attempt.outcome == "double":
            continue
        # Put into the queue by two processes at once: the lower number counts.
        if any(attempt.attrs.get("attempt") == earlier.attrs.get("attempt") for earlier in counted):
            doubles += [attempt.trial_id] if attempt.waiting else []
            continue
        counted.append(attempt)
    # Whoever asks for failed jobs again has mended something: what was before does not count.
    begun = max((place for place, attempt in enumerate(counted) if attempt.attrs.get("again")), default=0)
    failed = [attempt for attempt in counted[begun:] if attempt.state == "FAIL"]
    failures = sum(attempt.outcome in ("failed", "final") for attempt in failed)
    losses = sum(attempt.outcome == "lost" for attempt in failed)
    live = next((attempt for attempt in counted if attempt.live), None)
    ended = next((attempt for attempt in counted if attempt.state in ("COMPLETE", "PRUNED")), None)
    given_up = failures > retries or losses >= MOST_LOSSES or any(attempt.outcome == "final" for attempt in failed)
    return JobView(
        key=key,
        state=_state(live, ended, given_up),
        live=None if ended is not None else live,
        last=ended or (counted[-1] if counted else None),
        doubles=tuple(doubles),
        next_attempt=len(counted),
        failures=failures,
        losses=losses,
    )


def _state(live: Attempt | None, ended: Attempt | None, given_up: bool) -> JobState:
    if ended is not None:
        return "done" if ended.state == "COMPLETE" else "pruned"
    if live is not None:
        return "waiting" if live.waiting else "running"
    return "failed" if given_up else "waiting"
