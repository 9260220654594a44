"""What a finished run prints: a table of its arms and, apart from it, the reference's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.facts import ArmFacts, MetricFacts, ReferenceFacts
from densedistill.distill.report.reading import arm_facts, baseline_facts, data_facts, metric_facts, reference_facts
from densedistill.distill.report.values import fields

_FIRST_COLUMN = 24
"""Columns of text for an arm and its network: with six figures beside it the table fits a terminal of 80."""


def arms_table(result: Mapping[str, Any]) -> Table:
    """The arms of a decoded `result.json`, one row each; the caption tells how they began and on which data."""
    arms = arm_facts(result)
    data = data_facts(fields(result.get("data")))
    metric = metric_facts(fields(result.get("metric")))
    named = words.roles([arm.arm for arm in arms])
    direction = "higher" if metric.higher_is_better else "lower"
    transfers = any(arm.transfer_efficiency is not None for arm in arms)
    heads = ("params", "val", "test", "gap\nclosed", "retention", *(["transfer"] if transfers else []), "seconds")
    table = _table(f"{words.in_unit(metric.name, metric.unit)} ({direction} is better)", "arm, network", heads)
    for arm in arms:
        table.add_row(
            Text.assemble(named[arm.arm], "\n", (arm.network or wording.ABSENT, "dim")),
            wording.parameters(arm.params),
            wording.figure(arm.val, metric.unit, bare=True),
            wording.figure(arm.test, metric.unit, bare=True),
            wording.share(arm.gap_closed),
            wording.share(arm.retention),
            *([wording.share(arm.transfer_efficiency)] if transfers else []),
            wording.ABSENT if arm.seconds is None else f"{arm.seconds:.0f}",
        )
    for baseline in baseline_facts(result):
        test = next(iter(baseline.tests.values()), None)
        figures = (wording.figure(value, metric.unit, bare=True) for value in (baseline.val, test))
        absent = (wording.ABSENT,) * (4 if transfers else 3)
        table.add_row(Text.assemble(baseline.name, "\n", ("without a network", "dim")), "0", *figures, *absent)
    where = f"{'embedded data' if data.embedded else 'data'}: {data.name or wording.ABSENT}"
    tested = next(iter(data.tests), "")
    table.caption = Text(" · ".join((_beginnings(arms, named), where, *([f"test: {tested}"] if tested else []))))
    return table


def references_table(result: Mapping[str, Any]) -> Table | None:
    """The published figures beside a decoded `result.json`, none of them measured by the run; None without any."""
    references = reference_facts(result)
    if not references:
        return None
    metric = metric_facts(fields(result.get("metric")))
    arms = [arm.arm for arm in arm_facts(result)]
    named = words.roles(arms, [reference.arm for reference in references])
    table = _table("figures of the reference, not measured here", "arm", (), least=0)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("split")
    table.add_column("source", overflow="fold")
    for reference in references:
        table.add_row(
            Text(named[reference.arm]),
            Text(words.label(reference.metric or metric.name)),
            wording.figure(reference.value, _unit(reference, metric)),
            Text(reference.split),
            Text(reference.source),
        )
    return table


def _unit(reference: ReferenceFacts, metric: MetricFacts) -> str:
    own = reference.metric in ("", metric.name)
    return metric.unit if own else words.unit_of(reference.metric)


def _table(title: str, first: str, figures: Sequence[str], least: int = _FIRST_COLUMN) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column(first, overflow="fold", min_width=least)
    for head in figures:
        table.add_column(Text(head), justify="right")
    return table


def _beginnings(arms: Sequence[ArmFacts], named: Mapping[str, str]) -> str:
    """`init: random`, or arm by arm where they differ."""
    kinds = {arm.init or wording.ABSENT for arm in arms}
    if len(kinds) <= 1:
        return f"init: {next(iter(kinds), wording.ABSENT)}"
    return "init: " + ", ".join(f"{named[arm.arm]} {arm.init or wording.ABSENT}" for arm in arms)
