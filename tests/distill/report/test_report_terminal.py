"""The tables that end a run on the terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from rich.table import Table

from densedistill.distill.report.terminal import arms_table, references_table


def _result() -> dict[str, Any]:
    student = {"network": "timm/mobilenetv2_100", "params": 2_351_972, "init": "random", "seconds": 51.4}
    return {
        "data": {"name": "digits", "embedded": True, "tests": {"held-out": 50}},
        "metric": {"name": "accuracy", "unit": "%", "higher_is_better": True},
        "arms": [
            {
                "arm": "gen_01",
                "network": "timm/resnet101",
                "params": 42_697_380,
                "init": "random",
                "val": 97.2,
                "test": 96.9,
                "gap_closed": None,
                "retention": None,
                "seconds": 120.0,
            },
            {"arm": "gen_02", "val": 95.1, "test": 94.8, "gap_closed": 0.25, "retention": 0.978, **student},
            {"arm": "gen_02_scratch", "val": 93.9, "test": 94.1, **student},
        ],
        "references": [{"arm": "gen_02", "value": 71.3, "split": "test", "source": "a [bold]thesis[/bold]"}],
    }


def _printed(table: Table | None, width: int = 80) -> str:
    assert table is not None
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _row(printed: str, start: str) -> list[str]:
    return next(line for line in printed.splitlines() if line.startswith(start)).removeprefix(start).split()


def test_each_arm_has_its_row_within_80_columns() -> None:
    printed = _printed(arms_table(_result()))
    assert _row(printed, "teacher") == ["42.7", "M", "97.20", "96.90", "–", "–", "120"]
    assert _row(printed, "student (distilled)") == ["2.35", "M", "95.10", "94.80", "25.0", "%", "97.8", "%", "51"]
    assert _row(printed, "student (scratch)") == ["2.35", "M", "93.90", "94.10", "–", "–", "51"]
    assert "timm/mobilenetv2_100" in printed
    assert "top-1 accuracy, % (higher is better)" in printed


def test_transfer_has_a_column_where_an_arm_has_it() -> None:
    assert "transfer" not in _printed(arms_table(_result()))
    result = _result() | {"baselines": [{"name": "bicubic", "val": 1.0, "tests": {"held-out": {"accuracy": 2.0}}}]}
    result["arms"][1]["transfer_efficiency"] = 0.225
    printed = _printed(arms_table(result), width=90)
    assert "transfer" in printed
    student = ["2.35", "M", "95.10", "94.80", "25.0", "%", "97.8", "%", "22.5", "%", "51"]
    assert _row(printed, "student (distilled)") == student
    assert _row(printed, "teacher")[-3:] == ["–", "–", "120"]
    assert _row(printed, "bicubic") == ["0", "1.00", "2.00", "–", "–", "–", "–"]


def test_caption_tells_beginning_and_data() -> None:
    assert "init: random · embedded data: digits · test: held-out" in _printed(arms_table(_result()))
    result = _result()
    result["arms"][0]["init"] = "imagenet"
    result["data"]["embedded"] = False
    printed = " ".join(_printed(arms_table(result)).split())
    assert "init: teacher imagenet, student (distilled) random" in printed
    assert "· data: digits" in printed


def test_references_stand_apart_and_unparsed() -> None:
    assert "71.3" not in _printed(arms_table(_result()))
    printed = _printed(references_table(_result()))
    assert _row(printed, "student (distilled)") == [
        "top-1",
        "accuracy",
        "71.30",
        "%",
        "test",
        "a",
        "[bold]thesis[/bold]",
    ]
    assert "not measured here" in printed


def test_references_lose_no_letter_within_80_columns() -> None:
    """The arm's column once kept 24 columns, and the table ran out of the terminal."""
    result = _result()
    source = "Tian, Krishnan and Isola 2020 (CRD), tables 1 and 2: CIFAR-100, trained on all 50,000 images"
    result["references"] = [{"arm": "gen_02", "value": 70.66, "split": "test", "source": source}]
    printed = _printed(references_table(result))
    written = "".join(line[printed.splitlines()[1].index("source") :] for line in printed.splitlines()[3:])
    assert written.replace(" ", "") == source.replace(" ", "")


def test_reference_in_another_metric_says_so() -> None:
    result = _result()
    result["references"][0] |= {"metric": "psnr_y", "value": 28.5, "source": "paper"}
    row = _row(_printed(references_table(result)), "student (distilled)")
    assert row == ["PSNR", "(Y)", "28.50", "dB", "test", "paper"]


def test_no_references_no_table() -> None:
    assert references_table(_result() | {"references": []}) is None
