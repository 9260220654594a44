"""When compiling is worth it, and that what was measured is found again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from densedistill.distill.fast.compiling import (
    MARGIN,
    MOST_GAIN,
    MOST_RECORDS,
    PRIOR_SECONDS_PER_OPERATION,
    CompileRecord,
    CompileRecords,
    leaf_modules,
    record_key,
    worth_compiling,
)

RECORD = CompileRecord(
    kind="student", operations=10, compile_seconds=12.0, cold_seconds=20.0, eager_seconds=0.4, compiled_seconds=0.3
)


@pytest.fixture
def records(tmp_path: Path) -> CompileRecords:
    return CompileRecords(tmp_path / "deep" / "compilations.json")


def test_a_record_decides_at_its_break_even() -> None:
    # A quarter of 0.4 s is saved a step; 12 s times the margin are repaid after 144 steps.
    break_even = round(12.0 * MARGIN / 0.1)
    assert break_even == 144
    assert not worth_compiling(break_even - 1, 0.4, RECORD, 10, 1.0).compile
    assert worth_compiling(break_even + 1, 0.4, RECORD, 10, 1.0).compile
    # On a machine that is busy every step takes twice as long, and saves twice as much.
    assert worth_compiling(break_even // 2 + 1, 0.8, RECORD, 10, 1.0).compile


def test_without_a_record_the_best_hope_must_repay_it() -> None:
    # 100 operations at 0.25 s: 25 s, repaid with the margin by 30 s saved, 0.02 s a step of 0.1 s.
    decided = [worth_compiling(steps, 0.1, None, 100, 0.25) for steps in (1499, 1501)]
    assert [decision.compile for decision in decided] == [False, True]
    assert decided[0].predicted_seconds == 25.0
    assert MOST_GAIN == 0.2
    assert decided[0].why == "1499 steps do not repay 25 s of compiling (at most 20% of 0.1 s a step, estimated)"


def test_the_record_counts_more_than_the_prediction() -> None:
    decision = worth_compiling(1000, 0.4, RECORD, operations=10**6, seconds_per_operation=1.0)
    assert decision.compile
    assert decision.predicted_seconds == RECORD.compile_seconds


@pytest.mark.parametrize(("steps", "tried"), [(0, False), (-3, False), (3599, False), (3601, True)])
def test_what_did_not_gain_is_tried_anew_only_where_that_is_hardly_felt(steps: int, tried: bool) -> None:
    """12 s and their margin are 1 % of 1440 s, or of 3600 steps of 0.4 s."""
    slower = replace(RECORD, compiled_seconds=0.5)
    assert worth_compiling(steps, 0.4, slower, 10, 1.0).compile == tried


@pytest.mark.parametrize(
    "fault", [{"eager_seconds": 0.0}, {"compile_seconds": math.nan}, {"operations": 0}, {"kind": "other"}]
)
def test_a_record_that_means_nothing_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"positive and finite|no record"):
        replace(RECORD, **fault)  # type: ignore[arg-type]


def test_records_are_found_again(records: CompileRecords) -> None:
    assert records.get("a") is None
    records.add("a", RECORD)
    records.add("b", replace(RECORD, operations=7))
    again = CompileRecords(records.path)
    assert again.get("a") == RECORD
    assert again.get("b") == replace(RECORD, operations=7)
    assert [path.name for path in records.path.parent.iterdir()] == ["compilations.json"]


def test_a_warm_compilation_does_not_hide_the_cold_one(records: CompileRecords) -> None:
    records.add("a", replace(RECORD, compile_seconds=30.0, cold_seconds=30.0))
    records.add("a", replace(RECORD, compile_seconds=2.0, cold_seconds=2.0))
    found = records.get("a")
    assert found is not None
    assert (found.compile_seconds, found.cold_seconds) == (2.0, 30.0)


def test_the_prior_gives_way_to_own_measurements_of_the_same_kind(records: CompileRecords) -> None:
    assert records.seconds_per_operation("student") == PRIOR_SECONDS_PER_OPERATION["student"]
    for key, seconds in (("a", 10.0), ("b", 30.0), ("c", 1000.0)):
        records.add(key, replace(RECORD, cold_seconds=seconds))
    assert records.seconds_per_operation("student") == 3.0
    assert records.seconds_per_operation("teacher") == PRIOR_SECONDS_PER_OPERATION["teacher"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"schema": 0, "records": {}}',
        '{"schema": 1}',
        '{"schema": 1, "records": {"a": {"kind": "student"}}}',
        '{"schema": 1, "records": {"a": 3}}',
        '{"schema": 1, "records": []}',
        "\ufffd\x00",
    ],
)
def test_a_damaged_file_is_replaced(records: CompileRecords, content: str) -> None:
    records.path.parent.mkdir()
    records.path.write_text(content, encoding="utf-8")
    assert records.get("a") is None
    records.add("a", RECORD)
    assert records.get("a") == RECORD


def test_a_file_that_is_no_text_is_replaced(records: CompileRecords) -> None:
    records.path.parent.mkdir()
    records.path.write_bytes(b"\xff\xfe\x00\x80")
    records.add("a", RECORD)
    assert records.get("a") == RECORD


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    records = CompileRecords(tmp_path / "file" / "compilations.json")
    records.add("a", RECORD)
    assert records.get("a") is None


def test_the_oldest_records_are_dropped(records: CompileRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densedistill.distill.fast.compiling.MOST_RECORDS", 2)
    for key in "abac":
        records.add(key, RECORD)
    assert [records.get(key) is not None for key in "abc"] == [True, False, True]
    assert MOST_RECORDS > 2


def test_the_key_tells_apart_what_compiles_apart() -> None:
    def key(
        kind: str = "student", width: int = 4, shape: tuple[int, ...] = (8, 3, 4, 4), precision: str = "bf16"
    ) -> str:
        return record_key(kind, nn.Conv2d(3, width, 1), shape, precision)  # type: ignore[arg-type]

    assert key() == key()  # other values, same structure
    others = {key("teacher"), key(width=5), key(shape=(9, 3)), key(precision="fp32")}
    assert len(others | {key()}) == 5


def test_leaf_modules() -> None:
    assert leaf_modules(nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.ReLU()))) == 3
    assert leaf_modules(nn.ReLU()) == 1
