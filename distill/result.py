"""The result of a run: arms side by side, and what follows from comparing them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from densedistill.distill.arithmetic import contradictions
from densedistill.distill.arm_names import arm_name
from densedistill.distill.configuration.config import Resolved
from densedistill.distill.data import TaskData
from densedistill.distill.fidelity import compared_fidelity
from densedistill.distill.gains import gap_closed, retention
from densedistill.distill.lessons.watching import worse_teacher
from densedistill.distill.record import COPIED
from densedistill.distill.run_dir import SCHEMA
from densedistill.distill.spec import MetricSpec, Reference
from densedistill.distill.transfer import Records, transfer


def compare(
    records: Sequence[Mapping[str, Any]], metric: MetricSpec, earlier: Records = MappingProxyType({})
) -> list[dict[str, Any]]:
    """The arms' records with `gap_closed`, `retention` and changes of fidelity's figures, each against its teacher and
    its generation's scratch; and with `transfer`'s figures, against `earlier` arms or one another."""
    by_name = {record["arm"]: record for record in records}
    compared = []
    for record in records:
        teacher = by_name.get(record["teacher"] or "")
        scratch = by_name.get(arm_name(record["generation"], "scratch", record["variant"]))
        teacher_test = None if teacher is None else teacher["test"]
        scratch_test = None if scratch is None else scratch["test"]
        compared.append(
            {key: record[key] for key in COPIED}
            | {
                "fidelity": compared_fidelity(record, teacher, scratch),
                "gap_closed": gap_closed(record["test"], scratch_test, teacher_test, higher=metric.higher_is_better),
                "retention": retention(record["test"], teacher_test),
                "notices": notices(record, teacher, scratch, higher=metric.higher_is_better),
                **transfer(record, by_name, earlier, higher=metric.higher_is_better),
            }
        )
    return compared


def notices(
    record: Mapping[str, Any],
    teacher: Mapping[str, Any] | None,
    scratch: Mapping[str, Any] | None,
    *,
    higher: bool,
) -> list[dict[str, Any]]:
    """What was seen in the arm's training, and what its figures beside its teacher's and its control's show."""
    found = list(record.get("notices", ()))
    if record["role"] in ("student", "direct") and teacher is not None and scratch is not None:
        notice = worse_teacher(teacher["arm"], teacher["test"], scratch["arm"], scratch["test"], higher=higher)
        found += [] if notice is None else [notice.plain()]
    return found


def examined(doctor: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the result must know of the examination before the run: all that did not simply pass."""
    return {
        "status": doctor["status"],
        "seconds": doctor["seconds"],
        "checks": len(doctor["findings"]),
        "findings": [finding for finding in doctor["findings"] if finding["status"] != "pass"],
    }


def describe_data(data: TaskData) -> dict[str, Any]:
    """The data as result.json has it."""
    return {
        "name": data.name,
        "embedded": data.embedded,
        "train": len(data.train),
        "val": len(data.val.ids),
        "tests": {name: len(images.ids) for name, images in data.tests.items()},
        "fingerprint": data.fingerprint,
        "notes": list(data.notes),
    }


def published(resolved: Resolved) -> tuple[Reference, ...]:
    """The preset's figures; none where the run has other data than they are given for.

    An embedded demo has its reference's figures beside it by intent: their sources name the data they were measured on.
    """
    preset = resolved.spec.presets[resolved.config.preset]
    own = preset.data.model_dump(mode="json").get("name")
    return preset.references if resolved.config.data.get("name") == own else ()


def make_result(
    resolved: Resolved,
    data: TaskData,
    records: Sequence[Mapping[str, Any]],
    baselines: Sequence[Mapping[str, Any]],
    complete: bool,
    environment: Mapping[str, Any],
    command: Sequence[str],
    earlier: Records = MappingProxyType({}),
    doctor: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """result.json, schema 1. `earlier` are the arms of the run it is compared with, `doctor` is what it found."""
    config, metric = resolved.config, resolved.spec.metric
    arms = [record["arm"] for record in records]
    references = [reference for reference in published(resolved) if reference.arm in arms]
    return {
        "schema": SCHEMA,
        "task": config.task,
        "preset": config.preset,
        "method": config.method["name"],
        "methods": [method.name for method, _parameters in resolved.methods],
        "complete": complete,
        "seed": config.seed,
        "command": list(command),
        "data": describe_data(data),
        "metric": {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better},
        "arms": compare(records, metric, earlier),
        "baselines": list(baselines),
        "doctor": None if doctor is None else examined(doctor),
        "references": [asdict(reference) for reference in references],
        "arithmetic": contradictions(resolved.spec.claims, [reference.source for reference in references]),
        "environment": {**environment, "commit": commit(), "system": platform.platform()},
    }


def commit() -> str | None:
    """The commit of the checkout this code runs from, with `+changes` where it was edited; None outside of one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None
