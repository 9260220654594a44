"""Reading a run folder: its files turned into facts, whether the run has finished or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densedistill.distill.errors import RequestError
from densedistill.distill.files import TRAINED_AGAIN, WRITTEN_ANEW, read_json
from densedistill.distill.gains import best
from densedistill.distill.report.details import read_bins, read_notices
from densedistill.distill.report.facts import (
    ArmFacts,
    BaselineFacts,
    DataFacts,
    EpochFacts,
    MetricFacts,
    ReferenceFacts,
    RunFacts,
)
from densedistill.distill.report.values import entries, fields, integer, number, numbers, text
from densedistill.distill.wording import ABSENT
from densedistill.distill.yaml_text import parse_yaml


def read_run(folder: Path) -> RunFacts:
    """Read `result.json`, `metrics.jsonl` and `config.yaml` of a run folder; each of them may be missing.

    Arms that `result.json` does not list yet are taken from their own `arm.json`, or from their epochs so far.

    Raises:
        RequestError: `folder` is not a folder, holds none of the three files, or one of them cannot be read.
    """
    if not folder.is_dir():
        raise RequestError(f"'{folder}' is not a folder: give the folder of a run, the one with config.yaml in it.")
    if not holds_run(folder):
        raise RequestError(
            f"'{folder}' holds no run: there is no result.json, metrics.jsonl or config.yaml in it; "
            "give the folder that distill.py printed at its end."
        )
    result = read_object(folder / "result.json", WRITTEN_ANEW)
    epochs, notes = _read_epochs(folder / "metrics.jsonl")
    config, config_text = _read_config(folder / "config.yaml")
    head = {**{key: config[key] for key in ("task", "preset", "method", "seed") if key in config}, **result}
    metric = metric_facts(fields(result.get("metric")), epochs)
    return RunFacts(
        folder=folder,
        finished=bool(result.get("complete", result)),
        task=text(head.get("task")) or folder.name,
        preset=text(head.get("preset")),
        method=_method(head.get("method")),
        seed=integer(head.get("seed")),
        command=strings(result.get("command")),
        data=data_facts({"name": fields(config.get("data")).get("name"), **fields(result.get("data"))}),
        metric=metric,
        arms=_with_unfinished(arm_facts(result), _read_records(folder), epochs, metric),
        baselines=baseline_facts(result),
        references=reference_facts(result),
        arithmetic=strings(result.get("arithmetic")),
        environment={key: plain(value) for key, value in fields(result.get("environment")).items()},
        epochs=epochs,
        config=config_text,
        notes=(*strings(result.get("notes")), *notes),
    )


def holds_run(folder: Path) -> bool:
    """Whether a run has written anything into `folder`."""
    return any((folder / name).is_file() for name in ("result.json", "metrics.jsonl", "config.yaml"))


def arm_facts(result: Mapping[str, Any]) -> tuple[ArmFacts, ...]:
    """The arms of a decoded `result.json`, in its order."""
    return tuple(
        ArmFacts(
            arm=text(arm.get("arm")),
            teacher=text(arm.get("teacher")) or None,
            network=text(arm.get("network")) or None,
            params=integer(arm.get("params")),
            init=text(arm.get("init")) or None,
            val=number(arm.get("val")),
            test=number(arm.get("test")),
            tests={name: numbers(figures) for name, figures in fields(arm.get("tests")).items()},
            gap_closed=number(arm.get("gap_closed")),
            retention=number(arm.get("retention")),
            transfer_efficiency=number(arm.get("transfer_efficiency")),
            fidelity=numbers(arm.get("fidelity")),
            epochs=integer(arm.get("epochs")),
            seconds=number(arm.get("seconds")),
            images_per_second=number(arm.get("images_per_second")),
            peak_memory_mb=number(arm.get("peak_memory_mb")),
            latency_ms=number(arm.get("latency_ms")),
            notes=strings(arm.get("notes")),
            notices=read_notices(arm.get("notices")),
            class_accuracy=numbers(fields(arm.get("fidelity")).get("class_accuracy")),
            calibration=read_bins(fields(fields(arm.get("fidelity")).get("calibration_bins"))),
        )
        for arm in entries(result.get("arms"))
    )


def baseline_facts(result: Mapping[str, Any]) -> tuple[BaselineFacts, ...]:
    """What a decoded `result.json` says can be had without a network."""
    metric = text(fields(result.get("metric")).get("name"))
    return tuple(
        BaselineFacts(
            name=text(entry.get("name")),
            val=number(entry.get("val")),
            tests={name: numbers(figures).get(metric) for name, figures in fields(entry.get("tests")).items()},
        )
        for entry in entries(result.get("baselines"))
    )


def reference_facts(result: Mapping[str, Any]) -> tuple[ReferenceFacts, ...]:
    """The published figures of a decoded `result.json`."""
    return tuple(
        ReferenceFacts(
            arm=text(entry.get("arm")),
            value=number(entry.get("value")),
            metric=text(entry.get("metric")),
            split=text(entry.get("split")),
            source=text(entry.get("source")),
            note=text(entry.get("note")),
        )
        for entry in entries(result.get("references"))
    )


def metric_facts(metric: Mapping[str, Any], epochs: Sequence[EpochFacts] = ()) -> MetricFacts:
    """The metric of a decoded `result.json`; before there is one, the first figure of the validation lines."""
    measured = next((name for line in epochs for name in line.val), "")
    return MetricFacts(
        name=text(metric.get("name")) or measured or "metric",
        unit=text(metric.get("unit")),
        higher_is_better=bool(metric.get("higher_is_better", True)),
    )


def data_facts(data: Mapping[str, Any]) -> DataFacts:
    """The data set of a decoded `result.json`."""
    return DataFacts(
        name=text(data.get("name")),
        embedded=bool(data.get("embedded", False)),
        train=integer(data.get("train")),
        val=integer(data.get("val")),
        tests=numbers(data.get("tests")),
        fingerprint=text(data.get("fingerprint")),
        notes=strings(data.get("notes")),
    )


def read_object(path: Path, remedy: str) -> Mapping[str, Any]:
    """The object in a JSON file; an empty one where there is no file.

    Raises:
        RequestError: the file is not JSON, or holds no object; it ends with `remedy`.
    """
    return read_json(path, remedy) if path.is_file() else {}


def _read_config(path: Path) -> tuple[Mapping[str, Any], str]:
    if not path.is_file():
        return {}, ""
    try:
        written = path.read_text(encoding="utf-8")
        return fields(parse_yaml(written)), written
    except ValueError as error:
        raise RequestError(f"'{path}' is not valid YAML ({error}): mend it, or take the original back.") from error


def _read_epochs(path: Path) -> tuple[tuple[EpochFacts, ...], tuple[str, ...]]:
    """Lines by arm and epoch, and a note about those that a killed process left half written."""
    if not path.is_file():
        return (), ()
    known: dict[tuple[str, int], EpochFacts] = {}
    broken = 0
    for written in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not written.strip():
            continue
        try:
            line = _epoch_facts(fields(json.loads(written)))
        except ValueError:
            broken += 1
            continue
        # A resumed run repeats the epochs since its last saved state: the later line is the one that counts.
        known[line.arm, line.epoch] = line
    notes = (f"{broken} unreadable line(s) of metrics.jsonl are left out.",) if broken else ()
    return tuple(sorted(known.values(), key=lambda line: line.epoch)), notes


def _epoch_facts(line: Mapping[str, Any]) -> EpochFacts:
    arm, epoch = text(line.get("arm")), integer(line.get("epoch"))
    if not arm or epoch is None:
        raise ValueError("a line of metrics.jsonl needs an arm and an epoch")
    return EpochFacts(
        arm=arm,
        epoch=epoch,
        learning_rate=number(line.get("learning_rate")),
        train_loss=number(line.get("train_loss")),
        losses=numbers(line.get("losses")),
        val_loss=number(line.get("val_loss")),
        val=numbers(line.get("val")),
        seconds=number(line.get("seconds")),
        images_per_second=number(line.get("images_per_second")),
    )


def _read_records(folder: Path) -> tuple[ArmFacts, ...]:
    """The arms that have ended, each from its own record."""
    records = [read_object(path, TRAINED_AGAIN) for path in sorted(folder.glob("gen_*/arm.json"))]
    return arm_facts({"arms": records})


def _with_unfinished(
    listed: Sequence[ArmFacts], ended: Sequence[ArmFacts], epochs: Sequence[EpochFacts], metric: MetricFacts
) -> tuple[ArmFacts, ...]:
    """The result's arms in its order; where some are not in it yet, those too, and all of them sorted by name."""
    records = {arm.arm: arm for arm in ended}
    listed = [_completed(arm, records.get(arm.arm)) for arm in listed]
    known = records | {arm.arm: arm for arm in listed}
    waiting = {line.arm for line in epochs} - set(known)
    if not waiting and len(known) == len(listed):
        return tuple(listed)
    for arm in waiting:
        known[arm] = _unfinished(arm, [line for line in epochs if line.arm == arm], metric)
    return tuple(known[arm] for arm in sorted(known))


def _completed(arm: ArmFacts, record: ArmFacts | None) -> ArmFacts:
    """`arm` with what only its own record has: figures by class of an arm that no teacher taught."""
    if record is None:
        return arm
    return replace(
        arm,
        class_accuracy=arm.class_accuracy or record.class_accuracy,
        calibration=arm.calibration or record.calibration,
    )


def _unfinished(arm: str, lines: Sequence[EpochFacts], metric: MetricFacts) -> ArmFacts:
    figures = [line.val[metric.name] for line in lines if metric.name in line.val]
    return ArmFacts(
        arm=arm,
        val=best(figures, float, higher=metric.higher_is_better) if figures else None,
        tests={},
        fidelity={},
        epochs=lines[-1].epoch,
        seconds=_total(line.seconds for line in lines),
        images_per_second=lines[-1].images_per_second,
        finished=False,
    )


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _method(value: object) -> str:
    """A method's name, written as a word or as a section with a `name`."""
    return text(fields(value).get("name")) or text(value)


def strings(value: object) -> tuple[str, ...]:
    """The members of the list `value` as text; empty where it is no list."""
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def plain(value: object) -> str:
    """A value of any kind in one line."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else json.dumps(value)
