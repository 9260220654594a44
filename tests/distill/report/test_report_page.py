"""The report: made from a run folder, whole or half written, and nothing but that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from densedistill.distill.errors import RequestError
from densedistill.distill.report import write_report

ARMS = ("gen_01", "gen_02", "gen_02_scratch")


def _arm(arm: str, teacher: str | None, params: int, val: float, test: float) -> dict[str, Any]:
    return {
        "arm": arm,
        "generation": int(arm[4:6]),
        "teacher": teacher,
        "network": f"net/{params}",
        "params": params,
        "init": "random",
        "val": val,
        "test": test,
        "tests": {"collage": {"dice": test, "dice_per_image": test / 2}},
        "gap_closed": None,
        "retention": None,
        "fidelity": {},
        "epochs": 2,
        "seconds": 65.0,
        "images_per_second": 118.4,
        "peak_memory_mb": 1830.0,
    }


def _result() -> dict[str, Any]:
    arms = [
        _arm("gen_01", None, 24_436_369, 0.43, 0.42),
        _arm("gen_02", "gen_01", 6_628_945, 0.41, 0.40) | {"gap_closed": 0.6, "retention": 0.4 / 0.42},
        _arm("gen_02_scratch", None, 6_628_945, 0.38, 0.37),
    ]
    arms[1]["fidelity"] = {"agreement": 81.25, "class_accuracy": {"cat": 70.0}}
    return {
        "schema": 1,
        "task": "edges",
        "preset": "demo",
        "method": "soft-maps",
        "seed": 7,
        "command": ["tools/distill.py", "--task", "edges"],
        "data": {
            "name": "collage",
            "embedded": True,
            "train": 400,
            "val": 50,
            "tests": {"collage": 50},
            "fingerprint": "sha256:c0ffee",
            "notes": ["boundaries are exact"],
        },
        "metric": {"name": "dice", "unit": "", "higher_is_better": True},
        "arms": arms,
        "references": [{"arm": "gen_02", "value": 0.7226, "split": "val", "source": "a thesis", "note": "on one seed"}],
        "environment": {"torch": "2.9.0", "threads": 2},
    }


def _line(arm: str, epoch: int, **changes: object) -> str:
    line = {
        "arm": arm,
        "epoch": epoch,
        "step": 25 * epoch,
        "learning_rate": 0.01 / epoch,
        "train_loss": 1.0 / epoch,
        "losses": {"hard": 1.0 / epoch},
        "val_loss": 0.9 / epoch,
        "val": {"dice": 0.2 * epoch, "dice_per_image": 0.1 * epoch},
        "seconds": 3.5,
        "images_per_second": 120.0,
    }
    return json.dumps(line | changes)


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(result: dict[str, Any] | None = None, lines: list[str] | None = None) -> Path:
        run = tmp_path / "run"
        run.mkdir()
        (run / "config.yaml").write_text("task: edges\npreset: demo\nmethod:\n  name: soft-maps\n  alpha: 0.5\n")
        written = lines if lines is not None else [_line(arm, epoch) for arm in ARMS for epoch in (1, 2)]
        (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in written))
        if result is not None:
            (run / "result.json").write_text(json.dumps(result))
        return run

    return make


class _Reader(HTMLParser):
    """Collects addresses, tags and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.alternatives: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data"} and value:
                self.addresses.append(value)
            if name == "alt" and value:
                self.alternatives.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.text = re.sub(r"\s+", " ", reader.text)
    return reader


def test_whole_run_tells_every_arm_and_value(make_run: MakeRun) -> None:
    run = make_run(_result())
    path = write_report(run)
    assert path == run / "report.html"
    page = _read(path)
    for told in ("teacher", "student (distilled)", "student (scratch)", *ARMS, "24.4 M", "6.63 M"):
        assert told in page.text
    for value in ("0.4300", "0.4200", "0.4100", "0.4000", "0.3800", "0.3700", "60.0 %", "95.2 %"):
        assert value in page.text
    for fact in ("1 min 05 s", "118", "1.8 GB", "embedded data", "seed 7", "soft-maps", "boundaries are exact"):
        assert fact in page.text
    for fact in (
        "sha256:c0ffee",
        "81.25 %",
        "same class as the teacher",
        "alpha: 0.5",
        "tools/distill.py --task edges",
    ):
        assert fact in page.text


def test_summary_states_gain_share_and_limits(make_run: MakeRun) -> None:
    text = _read(write_report(make_run(_result()))).text
    assert "On the test set collage, the teacher (net/24436369, 24.4 M parameters) reaches Dice 0.4200." in text
    assert "3.7 times fewer than its teacher" in text
    assert (
        "In this run distillation brought +0.0300 over scratch, which closes 60.0 % of the gap to its teacher." in text
    )
    assert "The best arm is the teacher. One seed: no statistical claim." in text


@pytest.mark.parametrize(
    ("student", "better", "told"),
    [
        (0.35, True, "In this run distillation did not help: −0.0200 against scratch."),
        (0.37001, True, "Distillation made no visible difference."),
        (0.40, False, "In this run distillation did not help: +0.0300 against scratch."),
        (0.35, False, "In this run distillation brought −0.0200 over scratch"),
    ],
)
def test_verdict_follows_the_metric_direction(make_run: MakeRun, student: float, better: bool, told: str) -> None:
    result = _result()
    result["arms"][1] |= {"test": student, "gap_closed": None}
    result["metric"]["higher_is_better"] = better
    assert told in _read(write_report(make_run(result))).text


def test_without_scratch_no_verdict(make_run: MakeRun) -> None:
    result = _result()
    del result["arms"][2]
    lines = [_line(arm, 1) for arm in ARMS[:2]]
    text = _read(write_report(make_run(result, lines))).text
    assert "without a scratch control, whether distillation helped cannot be said" in text


def test_reference_stands_in_its_own_table(make_run: MakeRun) -> None:
    page = write_report(make_run(_result())).read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    holding = [table for table in tables if "0.7226" in table]
    assert len(holding) == 1
    assert "a thesis on one seed" in holding[0]
    assert "0.4000" not in holding[0]
    assert "None of them was measured in this run" in page


def test_references_of_longer_chains_leave_the_roles_alone(make_run: MakeRun) -> None:
    result = _result()
    result["references"].append({"arm": "gen_03", "value": 0.7, "split": "val", "source": "a thesis"})
    text = _read(write_report(make_run(result))).text
    assert "student (distilled)" in text
    assert "generation 3 (distilled)" in text
    assert "generation 2" not in text


def test_self_contained(make_run: MakeRun) -> None:
    run = make_run(_result())
    page = _read(write_report(run))
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    style = re.search(r"<style>(.*?)</style>", (run / "report.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "metrics.jsonl", "report.html", "result.json"]


def test_same_files_give_the_same_report(make_run: MakeRun) -> None:
    run = make_run(_result())
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_curves_are_there_and_told_in_words(make_run: MakeRun) -> None:
    page = _read(write_report(make_run(_result())))
    for start in (
        "Dice on validation by epoch",
        "Validation loss",
        "Training loss",
        "Loss term: hard",
        "Learning rate",
    ):
        assert any(text.startswith(start) for text in page.alternatives), start
    metric = next(text for text in page.alternatives if text.startswith("Dice on validation"))
    assert "student (scratch) ends at 0.4" in metric
    assert "Retention: student (distilled) 95.2 %." in page.alternatives


def test_partial_run_reports_the_best_so_far(make_run: MakeRun) -> None:
    lines = [_line("gen_01", 1), _line("gen_01", 2), _line("gen_01", 3, val={"dice": 0.35}), '{"arm": "gen_0']
    text = _read(write_report(make_run(None, lines))).text
    assert "not finished" in text
    assert "0.4000" in text, "the best of 0.2, 0.4 and 0.35"
    assert "edges" in text
    assert "soft-maps" in text
    assert "1 unreadable line(s) of metrics.jsonl are left out." in text


def test_arm_with_epochs_but_no_result_is_added(make_run: MakeRun) -> None:
    result = _result()
    del result["arms"][2]
    text = _read(write_report(make_run(result))).text
    assert "gen_02_scratch is under way" in text
    assert "On the validation split" in text


def test_ended_arm_of_a_running_run_is_read_from_its_record(make_run: MakeRun) -> None:
    run = make_run(None, [_line("gen_01", 1), _line("gen_02", 1)])
    (run / "gen_01").mkdir()
    record = _arm("gen_01", None, 24_436_369, 0.43, 0.42) | {"notes": ["no ImageNet weights could be had"]}
    (run / "gen_01" / "arm.json").write_text(json.dumps(record))
    page = write_report(run).read_text(encoding="utf-8")
    assert "24.4 M" in page
    assert "0.4300" in page
    assert "teacher: no ImageNet weights could be had" in page
    assert "<code>gen_02</code> · no result yet" in page
    assert "<code>gen_01</code></span>" in page


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_record_costs_its_arm_and_that_is_said(make_run: MakeRun, content: str) -> None:
    run = make_run(None, [_line("gen_01", 1)])
    (run / "gen_01").mkdir()
    (run / "gen_01" / "arm.json").write_text(content)
    with pytest.raises(RequestError, match=r"arm\.json' .*: remove it and resume .* trains this whole arm again"):
        write_report(run)


def test_several_students_share_one_scratch_control(make_run: MakeRun) -> None:
    result = _result()
    result["arms"][1]["arm"] = "gen_02_b"
    result["references"] = []
    lines = [_line(arm, 1) for arm in ("gen_01", "gen_02_b", "gen_02_scratch")]
    text = _read(write_report(make_run(result, lines))).text
    assert "Student B (net/6628945" in text
    assert "In this run distillation brought +0.0300 over scratch" in text


def test_repeated_epoch_counts_once_and_late(make_run: MakeRun) -> None:
    lines = [_line("gen_01", 1, val={"dice": 0.9}), _line("gen_01", 1, val={"dice": 0.25})]
    text = _read(write_report(make_run(None, lines))).text
    assert "0.2500" in text
    assert "0.9000" not in text


def test_run_before_its_first_epoch(make_run: MakeRun) -> None:
    assert "No arm has been measured yet." in _read(write_report(make_run(None, []))).text


def test_nulls_and_non_finite_losses(make_run: MakeRun) -> None:
    result = _result()
    for key in ("val", "test", "gap_closed", "retention", "params", "network", "seconds", "peak_memory_mb"):
        result["arms"][2][key] = None
    result["arms"][2]["tests"] = {}
    lines = [_line(arm, 1, train_loss=float("nan"), val_loss=None) for arm in ARMS]
    text = _read(write_report(make_run(result, lines))).text
    assert "gen_02_scratch" in text


@pytest.mark.parametrize(("share", "shown"), [(0.225, True), (None, False)])
def test_transfer_efficiency_has_a_column_where_an_arm_has_it(
    make_run: MakeRun, share: float | None, shown: bool
) -> None:
    result = _result()
    result["arms"][1]["transfer_efficiency"] = share
    text = _read(write_report(make_run(result, []))).text
    assert text.count("transfer efficiency") == int(shown)
    assert ("22.5 %" in text) == shown


def test_text_is_escaped(make_run: MakeRun) -> None:
    result = _result()
    result["arms"][0]["network"] = "<script>alert(1)</script>"
    result["data"]["notes"] = ["a < b & c"]
    run = make_run(result)
    (run / "config.yaml").write_text("note: '</pre><b>bold</b>'\n")
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt; b &amp; c" in page
    assert "<b>" not in page


def _panels(run: Path, cells: dict[str, dict[str, object]]) -> None:
    (run / "panels").mkdir()
    listed = {"columns": ["input", "gen_01", "gen_02"], "rows": [{"id": "img3", "cells": cells}]}
    (run / "panels" / "panels.json").write_text(json.dumps(listed))


def test_panels_embed_small_pictures_pixelated(make_run: MakeRun) -> None:
    run = make_run(_result())
    _panels(
        run,
        {
            "input": {"image": "panels/img3.png", "caption": ""},
            "gen_01": {"image": None, "caption": "ship 61.9 %", "correct": True},
            "gen_02": {"image": None, "caption": "frog 20.0 %", "correct": False},
        },
    )
    Image.new("RGB", (32, 32), "teal").save(run / "panels" / "img3.png")
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert '<img class="pixelated"' in page
    assert "max-width: 128px" in page
    assert re.search(r"ship 61\.9 % <span class=\"right\">✓", page)
    assert re.search(r"frog 20\.0 % <span class=\"wrong\">✗", page)


def test_panels_read_nothing_outside_the_run(make_run: MakeRun) -> None:
    run = make_run(_result())
    Image.new("RGB", (8, 8)).save(run.parent / "secret.png")
    _panels(run, {"input": {"image": "../secret.png"}, "gen_01": {"image": "panels/gone.png"}, "gen_02": {}})
    page = write_report(run).read_text(encoding="utf-8")
    assert "data:image/png" not in page
    assert page.count("picture missing") == 2


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no run"):
        write_report(tmp_path)
    with pytest.raises(RequestError, match="not a folder"):
        write_report(tmp_path / "nowhere")


def test_broken_result_is_named_and_an_earlier_report_survives(make_run: MakeRun) -> None:
    run = make_run(_result())
    earlier = write_report(run).read_bytes()
    (run / "result.json").write_text('{"schema": 1, ')
    with pytest.raises(RequestError, match=r"result\.json"):
        write_report(run)
    assert (run / "report.html").read_bytes() == earlier
