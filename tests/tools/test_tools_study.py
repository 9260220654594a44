"""tools/study.py: what it lists and plans, what it refuses, and a study from the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.study import read_study
from densedistill.tools import study_jobs
from densedistill.tools.study import main
from densedistill.tools.study_jobs import helper_words, recorded_words
from densedistill.tools.study_tables import arms_table, mean_and_spread

SCRIPT = Path(__file__).parents[2] / "tools" / "study.py"
PLAIN: dict[str, Any] = {
    "name": "mine",
    "question": "Does it help?",
    "task": "cls",
    "seeds": [0],
    "base": {"teacher": "cifar/resnet8", "student": "cifar/resnet8", "epochs": 1, "data.limit": 4, "track": []},
    "control": "scratch",
    "arms": {"scratch": {"trains": "gen_02_scratch"}, "kd": {}},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(PLAIN))
    return path


def refused(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    return shown.err


def test_the_list_has_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name in ("capacity", "dkd", "chain", "temperature-alpha", "cross-resolution", "enhancements", "nckd-mixup"):
        assert name in shown
    assert "demo (7)" in shown


def test_a_printed_study_runs_as_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--study", "dkd", "--preset", "paper", "--seeds", "4,5", "--print-study"]) == 0
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out)
    again = read_study(tmp_path / "again.yaml")
    assert (again.name, again.size, again.seeds) == ("dkd", "paper", (4, 5))


def test_flags_reach_the_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, root = tmp_path / "w.pth", tmp_path / "data"
    words = ["--teacher-weights", str(weights), "--data-root", str(root), "--device", "cpu", "--print-study"]
    assert main(["--study", "kd-vs-scratch-edges", "--preset", "paper", *words]) == 0
    base = yaml.safe_load(capsys.readouterr().out)["base"]
    assert base == {"teacher_weights": str(weights), "data.root": str(root), "device": "cpu"}


def test_the_data_root_stands_in_for_the_environment_s(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = {**PLAIN, "base": {**PLAIN["base"], "teacher_weights": "$DENSEDISTILL_DATA/weights/w.pth"}}
    file.write_text(yaml.safe_dump(weights))
    assert main(["--study", str(file), "--data-root", str(file.parent), "--print-study"]) == 0
    base = yaml.safe_load(capsys.readouterr().out)["base"]
    assert base["teacher_weights"] == str(file.parent / "weights" / "w.pth")


def test_a_dry_run_names_arms_and_time(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--study", str(file), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for word in ("one seed (0)", "scratch", "gen_02", "trained once", "estimated training time in all"):
        assert word in shown
    assert not (file.parent / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--study", "capacty"], "Did you mean 'capacity'"),
        (["--jobs", "2"], "no study is named"),
        (["--study", "dkd", "--jobs", "0"], "--jobs is 0"),
        (["--study", "dkd", "--seeds", "0,x"], "seeds"),
        (["--study", "none.yaml"], "does not exist"),
    ],
)
def test_wrong_requests(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused([*words, "--print-study"], capsys)


@pytest.mark.parametrize("content", ["", "- a", None])
def test_a_file_that_is_no_study(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.yaml"
    if content is not None:
        path.write_text(content)
    said = refused(["--study", str(path), "--print-study"], capsys)
    assert "study.py --print-study" in said
    assert "earlier run" not in said


def test_a_fault_of_the_whole_study_stands_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["--study", str(file), "--seeds", "1,1", "--print-study"], capsys)
    assert "--study: seeds [1, 1] has a seed twice" in said


def test_a_file_has_no_size(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--preset demo is the size of a built-in study" in refused(
        ["--study", str(file), "--preset", "demo"], capsys
    )


def test_a_database_out_of_reach(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--study", str(file), "--out", str(file.parent / "out"), "--storage", "sqlite:////proc/none/a.db"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_two_processes_finish_a_study_and_report_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(SCRIPT), "--study", str(file), "--out", str(out), "--jobs", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env={**os.environ, "DENSEDISTILL_DATA": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert "no test is computed: one seed" in done.stdout
    record = json.loads((out / "study.json").read_text())
    assert record["complete"]
    assert [trial["state"] for arm in record["arms"] for trial in arm["trials"]] == ["done", "done"]
    assert (out / "report.html").is_file()
    assert (out / "logs" / "process-1.log").is_file()


def test_helpers_get_the_command_without_what_the_first_sees_to() -> None:
    given = ["--study", "dkd", "--jobs", "2", "--retry-failed", "--out", "x"]
    assert helper_words(given) == ["--study", "dkd", "--out", "x"]
    assert helper_words(["--jobs=2", "--study", "dkd"]) == ["--study", "dkd"]


def test_what_is_recorded_names_no_password_and_no_helper() -> None:
    given = ["--study", "dkd", "--storage", "postgresql://me:secret@host/db", "--helper"]
    assert recorded_words(given) == ["--study", "dkd", "--storage", "postgresql://me:***@host/db"]


def test_a_helper_that_does_not_end_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_jobs, "PATIENCE_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    helpers = study_jobs.Helpers([], 0, tmp_path, print)
    processes = [subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        with process.stdout:
            process.stdout.readline()
    helpers._processes = processes
    with pytest.raises(InterruptedRunError), helpers:
        raise InterruptedRunError("stopped by signal 15", 143)
    assert all(process.poll() is not None for process in processes)


def test_figures_in_words() -> None:
    assert mean_and_spread([], "%") == "–"
    assert mean_and_spread([76.123], "%") == "76.12"
    assert mean_and_spread([63.95, 64.99, 66.03], "%") == "64.99 ± 1.04"
    assert mean_and_spread([0.1, 0.2, 0.3], "") == "0.2000 ± 0.1000"


def test_the_last_table_has_contrasts_by_seed() -> None:
    figures = {"dkd": (27.0, 26.0), "kd": (37.0, 38.0), "plain": (31.0, 30.0), "base": (44.0, 45.5)}
    arms = [
        {
            "arm": name,
            "label": name,
            "trials": [{"seed": seed, "state": "done", "test": value} for seed, value in enumerate(values)],
        }
        for name, values in figures.items()
    ]
    record = {
        "study": "s",
        "question": "?",
        "metric": {"name": "accuracy", "unit": "%", "higher_is_better": True},
        "seeds": [0, 1, 2],
        "arms": arms,
        "contrasts": [{"contrast": "harm", "label": "harm", "of": ["dkd", "kd"], "minus": ["plain", "base"]}],
    }
    console = Console(record=True, width=100, file=StringIO())
    console.print(arms_table(record))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["harm", "+3.00", "+3.50", "–", "+3.25", "±", "0.35"] in lines
