"""The GPU's comparisons on a CPU: two steps of each, resumed, summed up, and stopped when time is over."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from densedistill.distill.files import write_json
from densedistill.tools import distill, gpu_runs
from densedistill.tools.gpu_runs import awaited, main, planned

SMALL = (
    *("--teacher", "cifar/resnet14", "--student", "cifar/resnet8", "--track", "none"),
    *("--set", "data.input_size=16", "--set", "data.limit=4"),
)
"""In place of networks that take a CPU minutes."""


class InProcess:
    """A run in this process, which has imported everything; what was started is noted."""

    started: list[list[str]]

    def __init__(self, words: list[str]) -> None:
        self.words = words[2:]
        self.started.append(self.words)

    def wait(self, _seconds: float) -> int:
        chain = ("--set", "networks.2.name=cifar/resnet8") if "paper" in self.words else ()
        return distill.main([*self.words, *SMALL, *chain])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    InProcess.started = []
    monkeypatch.setattr(gpu_runs, "start", InProcess)
    return InProcess.started


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_a_whole_answer_of_one_seed_comes_first_and_teachers_are_trained_once() -> None:
    runs = planned(["kd", "dkd"], [0, 1])
    assert [run.name for run in runs] == ["pair-kd-0", "pair-dkd-0", "chain-0", "pair-kd-1", "pair-dkd-1"]
    assert [run.teacher_of for run in runs] == [None, "pair-kd-0", None, "pair-kd-0", "pair-kd-0"]
    assert ["none" in run.flags for run in runs] == [False, True, False, False, True]
    assert "scratch,direct" in runs[2].flags


class Noted:
    """A run that ends at once with the figures of two arms."""

    started: list[list[str]]

    def __init__(self, words: list[str]) -> None:
        self.words = words[2:]
        self.started.append(self.words)

    def wait(self, _seconds: float) -> int:
        out = Path(value(self.words, "--out"))
        plain = {"network": "net", "gap_closed": None, "retention": None, "epochs": 240, "seconds": 7200.0}
        arms = [{"arm": "gen_01", "test": 79.42, **plain}, {"arm": "gen_02", "test": 73.3, **plain, "gap_closed": 0.12}]
        write_json(out / "result.json", {"complete": True, "arms": arms})
        return 0


def test_runs_are_summed_up_and_not_done_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Noted.started = []
    monkeypatch.setattr(gpu_runs, "start", Noted)
    command = ["--out", str(tmp_path), "--methods", "kd,dkd", "--seeds", "0", "--data-root", "data"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "| pair-kd-0 | gen_01 | net | 79.42 | – | – | 240 | 2.00 h |" in shown
    assert "| pair-dkd-0 | gen_02 | net | 73.30 | 12.0% | – | 240 | 2.00 h |" in shown
    assert shown.rstrip().endswith("All runs are complete.")
    assert (tmp_path / "summary.md").read_text() in shown
    assert [value(words, "--device") for words in Noted.started] == ["cuda"] * 3
    assert [value(words, "--data-root") for words in Noted.started] == ["data"] * 3
    (tmp_path / "chain-0" / "result.json").unlink()
    assert main([*command, "--hours", "1e-9"]) == 0
    assert "Not complete: chain-0." in capsys.readouterr().out
    assert len(Noted.started) == 3
    assert main(command) == 0
    assert [Path(value(words, "--out")).name for words in Noted.started[3:]] == ["chain-0"]


@pytest.mark.slow
def test_two_steps_of_everything_on_a_cpu(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--out", str(tmp_path), "--quick", "--device", "cpu", "--data", "photo-crops"]
    assert main([*quick, "--methods", "kd,at", "--seeds", "0"]) == 0
    shown = capsys.readouterr().out
    rows = [line.split(" | ")[:2] for line in shown.splitlines() if line.startswith("| pair") or "| chain" in line]
    assert [row[1] for row in rows if row[0] == "| pair-kd-0"] == ["gen_01", "gen_02", "gen_02_scratch"]
    assert [row[1] for row in rows if row[0] == "| pair-at-0"] == ["gen_01", "gen_02"]
    assert len([row for row in rows if row[0] == "| chain-0"]) == 6
    assert shown.rstrip().endswith("All runs are complete.")
    assert (tmp_path / "summary.md").read_text().rstrip() == shown.rstrip()[
        -len((tmp_path / "summary.md").read_text()) :
    ]
    other = json.loads((tmp_path / "pair-at-0" / "result.json").read_text())
    assert value(started[1], "--teacher-weights") == str(tmp_path / "pair-kd-0" / "gen_01" / "model.safetensors")
    assert [arm["epochs"] for arm in other["arms"]] == [0, 1]
    assert main([*quick, "--methods", "kd,at", "--seeds", "0"]) == 0
    assert len(started) == 3


def test_a_run_that_began_goes_on(started: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "pair-kd-0").mkdir(parents=True)
    (tmp_path / "pair-kd-0" / "config.yaml").write_text("task: [")
    assert (
        main(["--out", str(tmp_path), "--device", "cpu", "--methods", "kd", "--seeds", "0", "--data", "nowhere"]) == 3
    )
    assert "--resume" in started[0]
    assert "--resume" not in started[1]
    assert [value(words, "--preset") for words in started] == ["resnet32x4-resnet8x4", "paper"]


def test_faults_of_the_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--seeds", "0,x"]) == 2
    assert main(["--out", str(tmp_path), "--hours", "0"]) == 2
    assert "give whole numbers, and hours above 0" in capsys.readouterr().err


class Slow:
    """A child that ends once it is told to."""

    def __init__(self, first: BaseException, second: int | BaseException) -> None:
        self.answers: list[int | BaseException] = [first, second, -9]
        self.told: list[object] = []

    def wait(self, _seconds: float | None = None) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def send_signal(self, number: int) -> None:
        self.told.append(number)

    def kill(self) -> None:
        self.told.append("killed")


@pytest.mark.parametrize(
    ("first", "second", "told", "status"),
    [
        (subprocess.TimeoutExpired("run", 1), 143, [signal.SIGTERM], 143),
        (KeyboardInterrupt(), 130, [], 130),
        (subprocess.TimeoutExpired("run", 1), subprocess.TimeoutExpired("run", 1), [signal.SIGTERM, "killed"], 143),
    ],
)
def test_a_run_may_save_its_state_when_time_is_over(
    first: BaseException, second: int | BaseException, told: list[object], status: int
) -> None:
    child = Slow(first, second)
    assert awaited(child, 1.0) == status  # type: ignore[arg-type]
    assert child.told == told
