"""study.json: every arm with every trial, finished or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from densedistill.distill.arithmetic import contradictions
from densedistill.distill.errors import RequestError
from densedistill.distill.spec import TaskSpec
from densedistill.distill.study.arms import StudyArm, axes_of
from densedistill.distill.study.fairness import notes_of, warnings_of
from densedistill.distill.study.folder import StudyDir
from densedistill.distill.study.outcome import JobView
from densedistill.distill.study.plan import StudyPlan

SCHEMA = 1


class UnknownFigureError(RequestError):
    """The study's metric is no figure of its runs: so it is with every trial, and the study must name another."""


_FIGURES: Mapping[str, Any] = {
    "test": None,
    "val": None,
    "tests": {},
    "fidelity": {},
    "seconds": None,
    "images_per_second": None,
    "params": None,
    "epochs": None,
    "notes": [],
    "notices": [],
}
"""What a trial has, and what stands there before it is done."""
FIGURES = tuple(_FIGURES)


def trial_key(arm: str, seed: int) -> str:
    """The name of a trial among the jobs."""
    return f"{arm}/seed-{seed}"


def study_record(
    plan: StudyPlan,
    spec: TaskSpec,
    folder: StudyDir,
    *,
    trials: Mapping[str, JobView],
    teachers: Mapping[str, JobView],
    about: Mapping[str, Any],
    command: Sequence[str],
) -> dict[str, Any]:
    """study.json, schema 1. `about` is the data and the environment of any finished run."""
    study = plan.study
    own = study.metric or spec.metric
    claimed = [] if study.claim is None else [study.claim.source]
    return {
        "schema": SCHEMA,
        "study": study.name,
        "preset": study.size,
        "task": study.task,
        "question": study.question,
        "claim": None if study.claim is None else {**study.claim.model_dump(), "expects": dict(plan.expects)},
        "metric": {"name": own.name, "unit": own.unit, "higher_is_better": own.higher_is_better},
        "control": study.control,
        "seeds": list(study.seeds),
        "data": about.get("data", {}),
        "axes": axes_of(plan.arms),
        "conditions": study.conditions,
        "condition_labels": study.condition_labels,
        "complete": all(found.settled for found in (*trials.values(), *teachers.values())),
        "teachers": [_teacher(key, found, folder, own.name) for key, found in teachers.items()],
        "arms": [_arm(plan, arm, trials, folder, own.name) for arm in plan.arms],
        "contrasts": [
            {"contrast": one.name, "label": one.label, "of": list(one.of), "minus": list(one.minus)}
            for one in plan.contrasts
        ],
        "arithmetic": contradictions(spec.claims, claimed),
        "warnings": warnings_of(plan),
        "notes": notes_of(plan),
        "command": list(command),
        "environment": about.get("environment", {}),
    }


def _teacher(key: str, found: JobView, folder: StudyDir, metric: str) -> dict[str, Any]:
    first = _first_test(found)
    judged = {"test": first.get(metric)} if first else {}
    return {"key": key, "run": folder.relative(folder.teacher(key)), **_job(found), **judged}


def _arm(
    plan: StudyPlan, arm: StudyArm, trials: Mapping[str, JobView], folder: StudyDir, metric: str
) -> dict[str, Any]:
    keys = {plan.taught_by.get((arm.name, seed)) for seed in arm.seeds}
    return {
        "arm": arm.name,
        "label": arm.label,
        "role": arm.role,
        "settings": {**arm.settings, **_sampled(arm, trials)},
        "axes": dict(arm.axes),
        "condition": arm.condition,
        "against": arm.against,
        "teacher": keys.pop() if len(keys) == 1 else None,
        "trials": [_trial(plan, arm, seed, trials[trial_key(arm.name, seed)], folder, metric) for seed in arm.seeds],
    }


def _sampled(arm: StudyArm, trials: Mapping[str, JobView]) -> Mapping[str, Any]:
    """What a search has found for `arm`."""
    for seed in arm.seeds:
        found = trials[trial_key(arm.name, seed)].figures.get("sampled")
        if found:
            return {str(name): value for name, value in found.items()}
    return {}


def _trial(plan: StudyPlan, arm: StudyArm, seed: int, found: JobView, folder: StudyDir, metric: str) -> dict[str, Any]:
    return {
        "seed": seed,
        "arm_in_run": arm.trains,
        "run": folder.relative(folder.run(arm.name, seed)) if found.state != "waiting" or found.losses else None,
        "teacher": plan.taught_by.get((arm.name, seed)),
        **_job(found),
        **_judged(found, metric),
    }


def _judged(found: JobView, metric: str) -> dict[str, Any]:
    """The figure that a trial is compared by, which may have been another one when the trial was recorded."""
    first = _first_test(found)
    return {"test": _figure(first, metric)} if first else {}


def _first_test(found: JobView) -> Mapping[str, Any]:
    """The figures of the first test set; empty while there are none."""
    first: Mapping[str, Any] = next(iter(found.figures.get("tests", {}).values()), {})
    return first


def _job(found: JobView) -> dict[str, Any]:
    return {
        "state": found.state,
        **{name: found.figures.get(name, default) for name, default in _FIGURES.items()},
        "network": found.figures.get("network"),
        "init": found.figures.get("init"),
        "error": found.error,
        "retries": max(found.failures - (found.state == "failed"), 0),
        "taken_over": found.losses,
    }


def figures_of(arm: Mapping[str, Any], metric: str | None, *, compared: bool = True) -> dict[str, Any]:
    """A trial's figures from an arm of result.json; `metric` names the figure that stands as `test`.

    Of an arm that is not `compared`, as a teacher is not, it may be missing: None then stands there.

    Raises:
        UnknownFigureError: a compared arm has no such figure.
    """
    figures = {name: arm[name] for name in (*FIGURES, "network", "init") if name in arm}
    if metric is not None:
        first: Mapping[str, Any] = next(iter(arm["tests"].values()), {})
        figures["test"] = _figure(first, metric) if compared else first.get(metric)
    return figures


def _figure(first: Mapping[str, Any], metric: str) -> Any:
    if metric not in first:
        raise UnknownFigureError(
            f"metric.name '{metric}' is no figure of a test set here: give {', '.join(first)}. With another name the "
            "study goes on from where it is."
        )
    return first[metric]
