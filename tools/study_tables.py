"""Tables of studies for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.statistics import gain_name, paired_differences, with_gains
from densedistill.distill.study import StudyDefinition
from densedistill.distill.study.plan import StudyPlan

if TYPE_CHECKING:
    from densedistill.tools.study_estimate import Costs

_MARKS = {"waiting": "·", "running": "…", "failed": "failed", "pruned": "pruned"}


def arms_table(record: Mapping[str, Any]) -> Table:
    """A decoded study.json: arms with each seed's figure on the test set, or what became of it; then its contrasts."""
    metric, unit = record["metric"], record["metric"]["unit"]
    direction = "higher" if metric["higher_is_better"] else "lower"
    table = _table(f"{record['study']}: {words.in_unit(metric['name'], unit)} on test, {direction} is better")
    table.add_column("arm", overflow="fold")
    for seed in record["seeds"]:
        table.add_column(f"seed {seed}", justify="right")
    table.add_column("mean ± std", justify="right")
    for arm in record["arms"]:
        by_seed = {trial["seed"]: trial for trial in arm["trials"]}
        cells = [_cell(by_seed.get(seed), unit) for seed in record["seeds"]]
        table.add_row(Text(arm["label"]), *cells, mean_and_spread(list(_figures(arm).values()), unit))
    contrasts = record.get("contrasts", [])
    if contrasts:
        table.add_section()
    by_arm = {arm["arm"]: _figures(arm) for arm in record["arms"]}
    for one in contrasts:
        gains = with_gains(by_arm, [tuple(one["of"]), tuple(one["minus"])])
        own, other = (gains[gain_name(tuple(one[side]))] for side in ("of", "minus"))
        found = paired_differences(own, other)
        cells = [wording.figure(found.get(seed), unit, signed=True, bare=True) for seed in record["seeds"]]
        table.add_row(Text(one["label"]), *cells, mean_and_spread(list(found.values()), unit, signed=True))
    table.caption = Text(record["question"])
    return table


def mean_and_spread(figures: Sequence[float], unit: str, *, signed: bool = False) -> str:
    """`76.10 ± 0.30` (sample standard deviation); a mean alone where there is one figure."""
    if not figures:
        return wording.ABSENT
    spread = f" ± {wording.figure(stdev(figures), unit, bare=True)}" if len(figures) > 1 else ""
    return f"{wording.figure(fmean(figures), unit, signed=signed, bare=True)}{spread}"


def _figures(arm: Mapping[str, Any]) -> dict[int, float]:
    """What an arm reached on test, by seed; nothing of a trial without a result."""
    return {
        trial["seed"]: trial["test"]
        for trial in arm["trials"]
        if trial["state"] == "done" and trial["test"] is not None
    }


def _cell(trial: Mapping[str, Any] | None, unit: str) -> str:
    if trial is None:
        return ""
    if trial["state"] == "done" and trial["test"] is not None:
        return wording.figure(trial["test"], unit, bare=True)
    return _MARKS.get(trial["state"], wording.ABSENT)


def plan_table(plan: StudyPlan, costs: Costs) -> Table:
    """The arms of a study before anything is run."""
    table = _table(f"{plan.study.name} ({plan.study.size}): {plan.study.question}")
    for name in ("arm", "trains", "teacher", "changes"):
        table.add_column(name, overflow="fold")
    table.add_column("seeds", justify="right")
    table.add_column("a run", justify="right")
    for key, teacher in plan.teachers.items():
        name = "loaded" if any(field == "teacher_weights" for field, _value in teacher.settings.settings) else "trained"
        table.add_row(Text(f"teacher {key}"), "gen_01", "", Text(f"{name} once"), "", costs.shown(key))
    for arm in plan.arms:
        changes = ", ".join(f"{field}={value}" for field, value in arm.settings.items())
        if arm.search:
            changes = ", ".join([changes, *(f"{name} searched" for name in arm.search.fields)]).lstrip(", ")
        taught = ", ".join(dict.fromkeys(plan.taught_by.get((arm.name, seed), "none") for seed in arm.seeds))
        table.add_row(Text(arm.name), arm.trains, taught, Text(changes), str(len(arm.seeds)), costs.shown(arm.name))
    return table


def studies_table(
    studies: Mapping[str, Mapping[str, Callable[[], StudyDefinition]]], runs: Callable[[StudyDefinition], int]
) -> Table:
    """The built-in studies, and for each of their presets how many `runs` it takes."""
    table = _table("studies")
    table.add_column("study", overflow="fold")
    table.add_column("presets (runs)")
    table.add_column("question, and the claim it tests", overflow="fold")
    for name, sizes in studies.items():
        made = {size: make() for size, make in sizes.items()}
        any_size = next(iter(made.values()))
        claim = "" if any_size.claim is None else f"\n{any_size.claim.text} ({any_size.claim.source})"
        table.add_row(
            name,
            "\n".join(f"{size} ({runs(study)})" for size, study in made.items()),
            Text.assemble(any_size.question, (claim, "dim")),
        )
    return table


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
