"""The command `report.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.tools.report import main
from densedistill.tools.report_actions import target_of


def test_one_run_keeps_its_own_page_and_gets_files_beside_it(fake: ModuleType, tmp_path: Path) -> None:
    run = fake.write_pair(tmp_path / "run", 71.0, 70.0)
    assert main([str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "DenseDistill report" in page
    for title in ("The last 3 epochs", "Training and validation loss", "Calibration", "Classes: student (distilled)"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert (run / "report_files" / "figures" / "curve-metric.svg").is_file()
    assert (run / "report_files" / "tables" / "arms.tex").is_file()


def test_several_runs_are_one_page(fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        str(fake.write_pair(tmp_path / str(seed), 71.0 + 0.1 * seed, 70.0, seed=seed, epochs=1)) for seed in range(3)
    ]
    assert main([*runs, "--out", str(tmp_path / "kd.html")]) == 0
    assert "3 seeds" in (tmp_path / "kd.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert (tmp_path / "kd_files" / "tables" / "seeds.csv").is_file()
    assert capsys.readouterr().out == f"report: {tmp_path / 'kd.html'}\n"


def test_where_the_page_goes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert target_of(None, [run]) == run / "report.html"
    assert target_of(None, [run, tmp_path]) == Path("report.html")
    assert target_of("x/kd.html", [run]) == Path("x/kd.html")
    assert target_of("x", [run]) == Path("x/report.html")


def test_markdown_goes_to_stdout_alone(fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [fake.write_pair(tmp_path / str(seed), 71.0 + 0.1 * seed, 70.0, seed=seed) for seed in range(3)]
    assert main([*map(str, runs), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# cls on toys\n")
    assert not (tmp_path / "report.html").exists()


def test_bad_requests_exit_2_with_one_message(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = fake.write_study(tmp_path / "study", [])
    run = fake.write_pair(tmp_path / "run", 71.0, 70.0)
    for request, named in (
        ([str(tmp_path / "nothing")], "not a folder"),
        ([str(tmp_path)], "holds no run"),
        ([str(study), str(run)], "give it alone"),
    ):
        assert main(request) == 2
        told = capsys.readouterr().err
        assert named in told
        assert told.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom densedistill.tools import report\nreport.parser().format_help()\n"
        "print(*{'torch', 'numpy', 'matplotlib', 'scipy', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
