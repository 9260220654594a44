"""Several run folders read as a study: runs that differ in the seed alone are trials of one configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from densedistill.distill.arm_names import ArmName
from densedistill.distill.errors import RequestError
from densedistill.distill.report import words
from densedistill.distill.report.configurations import differing, exact, experiment, label, of_teaching, written
from densedistill.distill.report.facts import ArmFacts, RunFacts
from densedistill.distill.report.reading import read_run
from densedistill.distill.report.study_facts import State, StudyArmFacts, StudyFacts, TrialFacts
from densedistill.distill.report.study_reading import arithmetic_of, references_of

_MOST_NAMED = 4
"""Fields that a configuration is called after; where more differ, the first run's folder names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Runs of one configuration."""

    config: Mapping[str, object]
    label: str
    runs: tuple[RunFacts, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm.arm for run in self.runs for arm in run.arms))


def read_runs(folders: Sequence[Path]) -> StudyFacts:
    """Read run folders as one study.

    Every distilled or direct arm is compared with the scratch arm of its own configuration, or of one that differs
    only in what a scratch student never sees; a chain's last student also with the direct one.

    Raises:
        RequestError: no folder, one that holds no run, one named twice, two runs of one configuration and seed, or
            runs of different tasks or metrics.
    """
    return as_study([read_run(folder) for folder in folders])


def as_study(runs: Sequence[RunFacts]) -> StudyFacts:
    """The same of runs that have been read.

    Raises:
        RequestError: as `read_runs`.
    """
    _check(runs)
    groups = _groups(runs)
    arms = tuple(_arm(group, name, several=len(groups) > 1) for group in groups for name in group.arms)
    first = runs[0]
    return StudyFacts(
        folder=first.folder.parent if len(runs) > 1 else first.folder,
        name=f"{first.task} on {first.data.name}" if first.data.name else first.task,
        task=first.task,
        preset=", ".join(dict.fromkeys(run.preset for run in runs if run.preset)),
        question="",
        claim="",
        claim_source="",
        expects={},
        metric=first.metric,
        selected_by=first.metric,
        data=first.data,
        axes=_axes(groups),
        arms=arms,
        pairs=tuple(pair for place in range(len(groups)) for pair in _pairs(groups, place)),
        teachers=(),
        references=references_of(runs),
        arithmetic=arithmetic_of(runs),
        complete=all(run.finished for run in runs),
        warnings=_warnings(runs),
        notes=(),
        command=(),
        environment=_shared_environment(runs),
    )


def _check(runs: Sequence[RunFacts]) -> None:
    if not runs:
        raise RequestError("no run is named: give the folders of one or more runs, or of a study.")
    resolved = [run.folder.resolve() for run in runs]
    twice = next((run.folder for run in runs if resolved.count(run.folder.resolve()) > 1), None)
    if twice is not None:
        raise RequestError(f"'{twice}' is named twice: a run counts once.")
    for run in runs[1:]:
        if (run.task, run.metric) != (runs[0].task, runs[0].metric):
            raise RequestError(
                f"'{run.folder}' is a run of task {run.task} by {run.metric.name}, '{runs[0].folder}' one of "
                f"{runs[0].task} by {runs[0].metric.name}: compare runs of one task and metric."
            )


def _groups(runs: Sequence[RunFacts]) -> list[_Group]:
    found: dict[str, list[RunFacts]] = {}
    configs: dict[str, Mapping[str, object]] = {}
    for run in runs:
        config = experiment(run.config)
        key = repr(sorted((name, exact(value)) for name, value in config.items()))
        same = next((other for other in found.get(key, ()) if _repeated(other, run)), None)
        if same is not None:
            raise RequestError(
                f"'{same.folder}' and '{run.folder}' hold the same arms of one configuration and seed {run.seed}: "
                "name one of them, or runs of different seeds."
            )
        found.setdefault(key, []).append(run)
        configs[key] = config
    names = differing(list(configs.values()))
    short = {key: label(configs[key], names) if len(names) <= _MOST_NAMED else "" for key in found}
    labels = _told_apart({key: (short[key], grouped[0].folder) for key, grouped in found.items()})
    return [_Group(config=configs[key], label=labels[key], runs=tuple(runs)) for key, runs in found.items()]


def _told_apart(named: Mapping[str, tuple[str, Path]]) -> dict[str, str]:
    """A label for each of (label, folder): where several are alike, as much of their folders' ends as they need."""
    labels = {key: label or folder.name for key, (label, folder) in named.items()}
    most = max((len(folder.parts) for _, folder in named.values()), default=1)
    for parts in range(1, most + 1):
        alike = [key for key, label in labels.items() if list(labels.values()).count(label) > 1]
        if not alike:
            break
        for key in alike:
            label, folder = named[key]
            end = "/".join(folder.parts[-parts:])
            labels[key] = f"{label} ({end})" if label else end
    return labels


def _repeated(first: RunFacts, second: RunFacts) -> bool:
    """Whether two runs of one configuration hold an arm twice; runs may share the arms of one seed among them."""
    arms = {arm.arm for arm in first.arms} & {arm.arm for arm in second.arms}
    return first.seed == second.seed and bool(arms or not first.arms)


def _arm(group: _Group, name: str, *, several: bool) -> StudyArmFacts:
    kind = ArmName.parse(name).kind
    role = {"teacher": "teacher", "scratch": "control"}.get(kind, "method")
    called = words.roles(group.arms)[name]
    first = next(arm for run in group.runs for arm in run.arms if arm.arm == name)
    return StudyArmFacts(
        arm=_key(group, name, several=several),
        label=f"{called}, {group.label}" if several and group.label else called,
        role=role,
        settings=dict(group.config),
        axes={},
        teacher=_key(group, first.teacher, several=several) if first.teacher else "",
        trials=tuple(_trial(run, name) for run in group.runs if _expected(group, run, name)),
    )


def _expected(group: _Group, run: RunFacts, name: str) -> bool:
    """Whether a run has the arm, or is the only one of its seed, which then lacks it."""
    alone = sum(other.seed == run.seed for other in group.runs) == 1
    return alone or any(arm.arm == name for arm in run.arms)


def _key(group: _Group, arm: str, *, several: bool) -> str:
    return f"{group.label}/{arm}" if several and group.label else arm


def _trial(run: RunFacts, name: str) -> TrialFacts:
    figures = next((arm for arm in run.arms if arm.arm == name), None)
    state: State = "waiting" if figures is None else "done" if figures.finished else "running"
    absent = ArmFacts(arm=name, tests={}, fidelity={}, finished=False)
    return TrialFacts(seed=run.seed or 0, state=state, figures=figures or absent, run=run)


def _pairs(groups: Sequence[_Group], place: int) -> list[tuple[str, str]]:
    group, several = groups[place], len(groups) > 1
    found = []
    for name in group.arms:
        parsed = ArmName.parse(name)
        if parsed.kind not in ("student", "direct"):
            continue
        control = _scratch(groups, place, name)
        if control is not None:
            found.append((_key(group, name, several=several), control))
        direct = str(ArmName(generation=parsed.generation, kind="direct"))
        if parsed.kind == "student" and direct in group.arms:
            found.append((_key(group, name, several=several), _key(group, direct, several=several)))
    return found


def _scratch(groups: Sequence[_Group], place: int, name: str) -> str | None:
    """The scratch arm that `name` stands against: in its own group, else in the first that trained the same student."""
    own = groups[place]
    alone = replace(ArmName.parse(name), kind="scratch")
    candidates = (str(alone), str(replace(alone, member="")))
    for group in (own, *groups):
        apart = differing([own.config, group.config])
        if all(of_teaching(field) for field in apart):
            for candidate in candidates:
                if candidate in group.arms:
                    return _key(group, candidate, several=len(groups) > 1)
    return None


def _axes(groups: Sequence[_Group]) -> dict[str, tuple[object, ...]]:
    """The fields that tell the groups apart, with their values."""
    names = differing([group.config for group in groups])
    return {name: tuple(dict.fromkeys(_plain(group.config.get(name)) for group in groups)) for name in names}


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | str) else written(value)


def _warnings(runs: Sequence[RunFacts]) -> tuple[str, ...]:
    told = [f"{run.folder.name} has not finished." for run in runs if not run.finished]
    prints = {run.data.fingerprint for run in runs if run.data.fingerprint}
    if len(prints) > 1:
        told.append("The runs read different data: their fingerprints differ.")
    for name in ("device", "precision", "commit"):
        kinds = sorted({run.environment[name] for run in runs if name in run.environment})
        if len(kinds) > 1:
            told.append(f"The runs differ in {name}: {', '.join(kinds)}.")
    return tuple(told)


def _shared_environment(runs: Sequence[RunFacts]) -> dict[str, str]:
    """Every entry, with all its values where runs differ."""
    names = dict.fromkeys(name for run in runs for name in run.environment)
    return {
        name: "; ".join(dict.fromkeys(run.environment[name] for run in runs if name in run.environment))
        for name in names
    }
