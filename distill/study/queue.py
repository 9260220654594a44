"""A queue of jobs in an Optuna study, which any number of processes work on without doing a job twice.

Every job is a trial, or several after failures. A process takes a job by moving its trial from WAITING to RUNNING, a
step that the storage lets one process win. Everything else follows from what the storage holds, so that a process may
die at any moment: whoever looks next sees which jobs have no live trial and puts them back (`refill`). Two processes
may put a job back at the same time; the trial of the lower number then counts, and the other is dropped.

Optuna's own heartbeat works for relational databases and inside `Study.optimize` alone; here a beat is an attribute of
the trial, so that journal files and machines with wrong clocks do too: a trial is lost when its beat has not changed
for a while by the observer's own clock, or when its process on this machine is gone.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from densedistill.distill.seeds import derive
from densedistill.distill.study.outcome import Attempt, JobView, view

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

BEAT_SECONDS = 15.0
GRACE_SECONDS = 150.0
"""Silence after which a trial of another machine counts as lost: ten beats."""

STARTUP_POINTS = 5
"""Points of a search that are drawn at random, before there is something to go by."""


class LostClaimError(Exception):
    """Another process took this job, since ours was silent for too long: it must not write any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """A unit of work."""

    key: str
    """Its name, which is the same in every process."""
    params: Mapping[str, Any]
    """What Optuna shows of it: scalars by name."""


class Queue:
    """The jobs of one kind: `name` is the Optuna study's."""

    def __init__(self, storage: BaseStorage, name: str, *, higher_is_better: bool, jobs: Sequence[Job], retries: int):
        import optuna

        self._optuna = optuna
        self.storage, self.name, self.retries = storage, name, retries
        self.jobs = {job.key: job for job in jobs}
        self.study: Study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )
        self._beats: dict[int, tuple[object, float]] = {}

    # -- looking -----------------------------------------------------------------------------------------------------

    def views(self) -> dict[str, JobView]:
        """Every job as the storage has it now."""
        attempts: dict[str, list[Attempt]] = {key: [] for key in self.jobs}
        for trial in self.study.get_trials(deepcopy=False):
            key = trial.user_attrs.get("job")
            if key in attempts:
                attempts[key].append(_attempt(trial))
        return {key: view(key, tries, self.retries) for key, tries in attempts.items()}

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do, for anybody."""
        return all(found.settled for found in self.views().values())

    # -- taking ------------------------------------------------------------------------------------------------------

    def claim(self, ready: Callable[[str], bool]) -> Claimed | None:
        """Take the first waiting job for which `ready` holds; None: there is none now."""
        self._drop_lost()
        self.refill()
        # The order of the jobs is the order of the work: what was put back is not done last.
        waiting = [found for found in self.views().values() if found.live is not None and found.live.waiting]
        for found in waiting:
            if found.live is not None and ready(found.key) and self._take(found.live.trial_id):
                self._note(found.live.trial_id, _owner())
                self.study.sampler = self._sampler(found.live.number)
                return Claimed(self, self.jobs[found.key], self._optuna.Trial(self.study, found.live.trial_id))
        return None

    def _sampler(self, number: int) -> BaseSampler:
        """TPE, seeded by the trial: processes side by side do not draw the same points, and one alone repeats itself.

        Running trials count as bad ones meanwhile, so that several processes search in several places.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=self._optuna.exceptions.ExperimentalWarning)
            return self._optuna.samplers.TPESampler(
                seed=derive(0, self.name, number) % 2**32, constant_liar=True, n_startup_trials=STARTUP_POINTS
            )

    def refill(self) -> None:
        """Put every job that is not settled and has no live trial into the queue; drop doubles."""
        for found in self.views().values():
            if found.live is None and not found.settled:
                self._enqueue(found)
            for double in found.doubles:
                self._fail(double, {"outcome": "double"})

    def reopen(self) -> list[str]:
        """Put failed jobs back, with as many tries as new ones have; returns their keys."""
        failed = [found for found in self.views().values() if found.state == "failed"]
        for found in failed:
            self._enqueue(found, {"again": True})
        return [found.key for found in failed]

    def _enqueue(self, found: JobView, attrs: Mapping[str, Any] | None = None) -> None:
        # What an earlier attempt drew stays: its run was begun with that, and goes on with nothing else.
        drawn = {} if found.last is None else found.last.params
        self.study.enqueue_trial(
            {**self.jobs[found.key].params, **drawn},
            user_attrs={"job": found.key, "attempt": found.next_attempt, **(attrs or {})},
        )

    def _drop_lost(self) -> None:
        for found in self.views().values():
            live = found.live
            if live is not None and not live.waiting and self._lost(live):
                self._fail(live.trial_id, {"outcome": "lost", "error": "the process that ran it is gone"})

    def _lost(self, live: Attempt) -> bool:
        owner = live.attrs.get("owner")
        if isinstance(owner, Mapping) and owner.get("host") == socket.gethostname():
            return not _alive(owner)
        seen, since = self._beats.get(live.trial_id, (None, 0.0))
        beat = live.attrs.get("beat", "none yet")
        now = time.monotonic()
        if live.trial_id not in self._beats or seen != beat:
            self._beats[live.trial_id] = (beat, now)
            return False
        return now - since > GRACE_SECONDS

    # -- writing -----------------------------------------------------------------------------------------------------

    def _take(self, trial_id: int) -> bool:
        try:
            return self.storage.set_trial_state_values(trial_id, self._optuna.trial.TrialState.RUNNING)
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return False

    def _note(self, trial_id: int, attrs: Mapping[str, Any]) -> bool:
        """Whether the trial took `attrs`: one that is finished takes none."""
        try:
            for key, value in attrs.items():
                self.storage.set_trial_user_attr(trial_id, key, value)
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def _fail(self, trial_id: int, attrs: Mapping[str, Any]) -> None:
        if self._note(trial_id, attrs):
            self._finish(trial_id, self._optuna.trial.TrialState.FAIL, None)

    def _finish(self, trial_id: int, state: Any, values: Sequence[float] | None) -> None:
        try:
            self.storage.set_trial_state_values(trial_id, state, values)
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return


class Claimed:
    """A job that this process has taken. Used as a context manager around the work: it beats meanwhile."""

    def __init__(self, queue: Queue, job: Job, trial: Trial) -> None:
        self.queue, self.job, self.trial = queue, job, trial
        self._id = trial._trial_id
        self._over = threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._beat, name="study-beat", daemon=True)

    def __enter__(self) -> Claimed:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        """Beat until the work is over, or the job is no longer ours.

        A storage that cannot be reached is asked again. Others take a job over that has been silent for long, so by
        then it counts as lost here too, whether they did or not.
        """
        count, heard = 0, time.monotonic()
        while not self._gone:
            try:
                self._gone = not self.queue._note(self._id, {"beat": count})
                count, heard = count + 1, time.monotonic()
            except Exception:
                self._gone = time.monotonic() - heard > GRACE_SECONDS
            if self._over.wait(BEAT_SECONDS):
                return

    def require(self) -> None:
        """Go on only while the job is ours.

        Raises:
            LostClaimError: another process has it.
        """
        if self._gone:
            raise LostClaimError(self.job.key)

    def done(self, value: float, figures: Mapping[str, Any]) -> None:
        """Record the result; `value` is what a search is steered by."""
        if self.queue._note(self._id, {"figures": dict(figures)}):
            self.queue._finish(self._id, self.queue._optuna.trial.TrialState.COMPLETE, [value])

    def pruned(self, figures: Mapping[str, Any]) -> None:
        """Record that the work was given up."""
        if self.queue._note(self._id, {"figures": dict(figures)}):
            self.queue._finish(self._id, self.queue._optuna.trial.TrialState.PRUNED, None)

    def failed(self, error: str, *, final: bool) -> None:
        """Record a failure; where it is not `final` the job is tried again as often as the rule allows."""
        self.queue._fail(self._id, {"outcome": "final" if final else "failed", "error": error})

    def put_back(self) -> None:
        """Give the job back unfinished, to whoever asks next."""
        self.queue._fail(self._id, {"outcome": "put back"})


def _attempt(trial: FrozenTrial) -> Attempt:
    return Attempt(
        trial_id=trial._trial_id,
        number=trial.number,
        state=trial.state.name,
        attrs=trial.user_attrs,
        params=trial.params,
        value=trial.values[0] if trial.values else None,
        begun=trial.datetime_start,
        ended=trial.datetime_complete,
    )


def _owner() -> dict[str, Any]:
    process = psutil.Process()
    return {"owner": {"host": socket.gethostname(), "pid": os.getpid(), "started": process.create_time()}}


def _alive(owner: Mapping[str, Any]) -> bool:
    try:
        # The number alone may have gone to another process since.
        process = psutil.Process(int(owner["pid"]))
        return abs(process.create_time() - float(owner["started"])) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
