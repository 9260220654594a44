"""What an image costs each network of a study: one latency for one network, however many arms have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from densedistill.distill.arm_names import ArmName
from densedistill.distill.report.configurations import flat, written
from densedistill.distill.report.facts import ArmFacts, RunFacts
from densedistill.distill.report.study_facts import StudyFacts

_INPUT = ("data.name", "data.root", "data.input_size", "data.size", "data.scale")
_TEACHER_INPUT = "data.teacher_size"


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Of a network on images of one size."""

    milliseconds: float
    """The fastest measurement: whatever else a machine does only adds to the time."""
    measurements: int


def latencies(study: StudyFacts) -> dict[str, Latency]:
    """The latency of each arm's network by the arm's name; arms whose network was not measured have none."""
    measured: dict[str, set[float]] = {}
    for run, facts in _measured(study):
        if facts.latency_ms is not None:
            measured.setdefault(_network(run, facts), set()).add(facts.latency_ms)
    found: dict[str, Latency] = {}
    for arm in study.arms:
        for trial in arm.done:
            times = measured.get(_network(trial.run, trial.figures))
            if times:
                found.setdefault(arm.arm, Latency(milliseconds=min(times), measurements=len(times)))
    return found


def _measured(study: StudyFacts) -> Iterator[tuple[RunFacts | None, ArmFacts]]:
    """Every arm of every run: what teaches several students stands in each of their runs."""
    for arm in study.arms:
        for trial in arm.done:
            yield trial.run, trial.figures
            yield from ((trial.run, other) for other in (() if trial.run is None else trial.run.arms))
    for teacher in study.teachers:
        yield teacher.run, teacher.figures


def _network(run: RunFacts | None, facts: ArmFacts) -> str:
    """Equal for networks that take the same time: by name, parameters and the size of their input."""
    config = {} if run is None else flat(run.config)
    teaches = ArmName.parse(facts.arm).generation == 1
    names = (*_INPUT, _TEACHER_INPUT) if teaches else _INPUT
    return repr((facts.network, facts.params, [written(config.get(name)) for name in names]))
