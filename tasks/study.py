"""Running a study: this process takes one trial after another until none is left, beside any number of others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from densedistill.backbones.errors import NetworkError
from densedistill.datasets.base import DataError
from densedistill.distill.adoption import TEACHER
from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.files import write_json
from densedistill.distill.gains import best
from densedistill.distill.machine.signals import StopSignal
from densedistill.distill.plugins import load_plugin
from densedistill.distill.progress import RunLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.study.arms import StudyArm, sampled_name
from densedistill.distill.study.definition import StudyDefinition
from densedistill.distill.study.folder import StudyDir, require_same
from densedistill.distill.study.layers import RunSettings
from densedistill.distill.study.outcome import JobView
from densedistill.distill.study.plan import StudyPlan, plan_study, trial_settings
from densedistill.distill.study.queue import Claimed, Job, LostClaimError, Queue
from densedistill.distill.study.record import UnknownFigureError, figures_of, study_record, trial_key
from densedistill.distill.study.storage import hidden, open_storage
from densedistill.tasks.data_memo import DataMemo
from densedistill.tasks.registry import get
from densedistill.tasks.request import RunRequest
from densedistill.tasks.run import execute
from densedistill.tasks.study_log import PrunedError, TrialLog
from densedistill.tasks.study_words import finished_line, in_words

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import BaseStorage

POLL_SECONDS = 2.0
"""How often a process without work looks whether there is some."""

Say = Callable[[str], None]


def prepared(study: StudyDefinition) -> StudyPlan:
    """Load the study's plugins and work it out.

    Raises:
        RequestError: a plugin, the task, or an arm's settings are wrong.
    """
    for plugin in study.plugins:
        load_plugin(plugin)
    return plan_study(study, get(study.task))


class StudyWork:
    """One process's share of a study."""

    def __init__(
        self,
        plan: StudyPlan,
        out: Path,
        *,
        storage: str | None = None,
        command: Sequence[str] = (),
        log: Callable[[], RunLog] | None = None,
        say: Say = lambda _text: None,
    ) -> None:
        """`log` makes the log of each run; None: it is silent. `say` hears of the study.

        Raises:
            RequestError: the folder holds something else, the study has changed, or the storage cannot be used.
        """
        self.plan, self.study, self.spec = plan, plan.study, get(plan.study.task)
        self.folder, self.command, self.say, self._log = StudyDir(out.absolute()), command, say, log
        self.folder.claim(self.study)
        base = f"{self.study.name}-{self.study.size}"
        metric = self.study.metric or self.spec.metric
        kept = open_storage(storage, self.folder.path)
        keys = by_seed(plan.arms)
        jobs = [Job(trial_key(arm.name, seed), {"arm": arm.name, "seed": seed}) for arm, seed in keys]
        self.places = {trial_key(arm.name, seed): (arm, seed) for arm, seed in keys}
        self.teachers = self._queue(kept, f"{base}/teachers", [Job(key, {}) for key in plan.teachers])
        self.trials = self._queue(kept, base, jobs)
        self.metric = metric.name if self.study.metric else None
        self._require_same_in_storage(storage)
        self.memo = DataMemo()
        self._about: dict[str, Any] = {}

    def _queue(self, kept: BaseStorage, name: str, jobs: Sequence[Job]) -> Queue:
        better = self.spec.metric.higher_is_better
        return Queue(kept, name, higher_is_better=better, jobs=jobs, retries=self.study.retries)

    def _require_same_in_storage(self, storage: str | None) -> None:
        """Several folders may share a server's database: the study in it must be this one too."""
        known, plain = self.trials.study.user_attrs.get("definition"), self.study.plain()
        if known is not None:
            require_same(dict(known), self.study, f"storage '{hidden(storage) if storage else 'optuna.db'}'")
        if known != plain:
            self.trials.study.set_user_attr("definition", plain)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Work until every trial is settled, and return study.json.

        Raises:
            InterruptedRunError: a signal stopped the run in hand, which the next process goes on with.
            UnknownFigureError: runs have no figure of the name that the study gives for its metric.
        """
        self.write()
        while not (self.teachers.finished and self.trials.finished):
            claimed = self.teachers.claim(lambda _key: True) or self.trials.claim(self._ready)
            if claimed is None:
                _wait()
                continue
            with claimed:
                self._work(claimed)
            self.write()
        return self.write()

    def reopen(self) -> list[str]:
        """Let trials and teachers that have failed for good be run again; returns their names."""
        return [*self.teachers.reopen(), *self.trials.reopen()]

    def _ready(self, key: str) -> bool:
        """Whether nothing that trial `key` waits for is still to be done."""
        arm, seed = self.places[key]
        taught = self.plan.taught_by.get((arm.name, seed))
        if taught is not None and not self.teachers.views()[taught].settled:
            return False
        views = self.trials.views() if arm.points else {}
        return all(views[trial_key(point, seed)].settled for point in arm.points for seed in self.plan.arm(point).seeds)

    def _work(self, claimed: Claimed) -> None:
        """Do one job; whatever goes wrong with it is recorded with it, and the study goes on."""
        key = claimed.job.key
        started = time.monotonic()
        try:
            figures = self._teacher(claimed) if key in self.plan.teachers else self._trial(claimed)
        except (InterruptedRunError, UnknownFigureError):
            # The run itself is whole, or goes on: with another metric's name the trial is done without training.
            claimed.put_back()
            raise
        except KeyboardInterrupt:
            claimed.put_back()
            raise
        except LostClaimError:
            self.say(f"{key}: another process has taken this trial over")
        except PrunedError as pruned:
            claimed.pruned({"val": pruned.value, "epochs": pruned.epoch, "notes": [str(pruned)]})
            self.say(f"{key}: {pruned}")
        except (RequestError, NetworkError, DataError) as error:
            # What was asked for is wrong: asking again would not make it right.
            claimed.failed(str(error), final=True)
            self.say(f"{key} failed: {error}")
        except Exception as error:
            claimed.failed(in_words(error), final=False)
            self.say(f"{key} failed: {in_words(error)}")
        else:
            claimed.done(figures["val"], figures)
            views = [*self.teachers.views().values(), *self.trials.views().values()]
            metric, seconds = self.spec.metric, time.monotonic() - started
            self.say(finished_line(key, figures, metric, self.study.metric or metric, seconds, views))

    # -- one job -----------------------------------------------------------------------------------------------------

    def _teacher(self, claimed: Claimed) -> dict[str, Any]:
        plan = self.plan.teachers[claimed.job.key]
        trained = self._execute(plan.settings, self.folder.teacher(plan.key), TEACHER, self._trial_log(claimed))
        return figures_of(trained, self.metric, compared=False)

    def _trial(self, claimed: Claimed) -> dict[str, Any]:
        arm, seed = self.places[claimed.job.key]
        _suggest_fixed(claimed.trial, [arm.name for arm in self.plan.arms], self.study.seeds)
        sampled = self._sampled(claimed, arm.points)
        settings = trial_settings(self.study, arm, seed, self.spec, sampled)
        taught = self.plan.taught_by.get((arm.name, seed))
        teacher = None if taught is None else self._finished_teacher(taught, claimed)
        prunes = self.study.pruning is not None and arm.role == "method"
        log = self._trial_log(claimed, arm.trains if prunes else None)
        trained = self._execute(settings, self.folder.run(arm.name, seed), arm.trains, log, teacher)
        figures = figures_of(trained, self.metric)
        return figures | ({"sampled": sampled} if sampled else {})

    def _sampled(self, claimed: Claimed, points: Sequence[str]) -> dict[str, Any]:
        """The searched fields of this trial: drawn for a point, the best point's for the arm that ends a search."""
        arm, _seed = self.places[claimed.job.key]
        if points:
            return self._best_of(points)
        if arm.search is None:
            return {}
        sampled: dict[str, Any] = {}
        for field, bounds in arm.search.fields.items():
            name = sampled_name(arm.name, field)
            if bounds.whole:
                sampled[field] = claimed.trial.suggest_int(name, int(bounds.low), int(bounds.high), log=bounds.log)
            else:
                sampled[field] = claimed.trial.suggest_float(name, bounds.low, bounds.high, log=bounds.log)
        return sampled

    def _best_of(self, points: Sequence[str]) -> dict[str, Any]:
        views = self.trials.views()
        keys = [trial_key(point, seed) for point in points for seed in self.plan.arm(point).seeds]
        done = [views[key] for key in keys if views[key].value is not None]
        if not done:
            raise RequestError("no point of the search was finished, so there is no best one.")
        leading = best(done, lambda found: found.value or 0.0, higher=self.spec.metric.higher_is_better)
        return dict(leading.figures["sampled"])

    def _finished_teacher(self, key: str, claimed: Claimed) -> RunDir:
        found = self.teachers.views()[key]
        if found.state != "done":
            raise RequestError(f"its teacher {key} is not there: {found.error or found.state}")
        folder = self.folder.teacher(key)
        if folder.arm(TEACHER).done:
            return folder
        # Another machine trained it, into a folder that this one does not see: the same training gives it here, to one
        # of this machine's processes.
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.path.with_suffix(".lock")):
            if not folder.arm(TEACHER).done:
                self._execute(self.plan.teachers[key].settings, folder, TEACHER, self._trial_log(claimed))
        return folder

    def _execute(
        self, settings: RunSettings, run_dir: RunDir, arm: str, log: RunLog, teacher: RunDir | None = None
    ) -> Mapping[str, Any]:
        """The run in `run_dir`, begun or gone on with; returns what its result says of the arm `arm`."""
        own = [("teacher_weights", None), ("teacher_run", str(teacher.path))] if teacher is not None else []
        request = RunRequest(
            task=self.study.task,
            preset=settings.preset,
            method=settings.method,
            teacher=settings.teacher,
            student=settings.student,
            settings=[*settings.settings, *own],
            plugins=self.study.plugins,
            out=run_dir.path,
            resume=run_dir.config_file.is_file(),
        )
        result = execute(request, command=self.command, log=log, memo=self.memo)
        return result.arm(arm)

    def _trial_log(self, claimed: Claimed, pruned_arm: str | None = None) -> TrialLog:
        inner = None if self._log is None else self._log()
        pruning = self.study.pruning if pruned_arm else None
        return TrialLog(inner, claimed, self.spec.metric, pruning, pruned_arm)

    # -- what is said and written ------------------------------------------------------------------------------------

    def write(self) -> dict[str, Any]:
        """Write study.json as the storage has the study now, and return it.

        Another process may have written meanwhile what it read later than we: whoever sees a change writes again.
        """
        before = None
        while True:
            trials, teachers = self.trials.views(), self.teachers.views()
            record = self._record(trials, teachers)
            if record == before:
                return record
            write_json(self.folder.result_file, record)
            before = record

    def _record(self, trials: Mapping[str, JobView], teachers: Mapping[str, JobView]) -> dict[str, Any]:
        return study_record(
            self.plan,
            self.spec,
            self.folder,
            trials=trials,
            teachers=teachers,
            about=self._of_any_run(trials),
            command=self.command,
        )

    def _of_any_run(self, trials: Mapping[str, JobView]) -> Mapping[str, Any]:
        """Data and environment, from the first finished run in the folder."""
        for key, found in trials.items():
            arm, seed = self.places[key]
            run = self.folder.run(arm.name, seed)
            if not self._about and found.state == "done" and run.result_file.is_file():
                result = run.result()
                self._about = {"data": result.get("data", {}), "environment": result.get("environment", {})}
        return self._about


def by_seed(arms: Sequence[StudyArm]) -> list[tuple[StudyArm, int]]:
    """Every arm with its first seed, then every arm with its second, ...: a study that is stopped has compared all."""
    rounds = range(max(len(arm.seeds) for arm in arms))
    return [(arm, arm.seeds[place]) for place in rounds for arm in arms if place < len(arm.seeds)]


def _wait() -> None:
    """Wait for others' work to make some for us.

    Raises:
        InterruptedRunError: a signal arrived meanwhile.
    """
    with StopSignal() as stop:
        time.sleep(POLL_SECONDS)
    if stop.number:
        raise InterruptedRunError(f"stopped by signal {stop.number} between two trials.", 128 + stop.number)


def _suggest_fixed(trial: Trial, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Let Optuna know which trial this is: its dashboards group by parameters."""
    from optuna.distributions import CategoricalDistribution

    # It refuses the same names in another order, which they have once others of them are controls.
    earlier = (one.distributions.get("arm") for one in trial.study.get_trials(deepcopy=False))
    known = next((list(one.choices) for one in earlier if isinstance(one, CategoricalDistribution)), list(arms))
    trial.suggest_categorical("arm", known)
    trial.suggest_categorical("seed", list(seeds))
