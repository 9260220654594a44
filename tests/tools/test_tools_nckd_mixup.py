"""The command that measures gradients under Mixup: figures of a real run, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from densedistill.distill.mixup_gradients import measure_mixup
from densedistill.distill.student import load_student
from densedistill.tools.finished import open_arm
from densedistill.tools.nckd_mixup import main
from densedistill.tools.nckd_mixup_actions import validation_images

from .conftest import small_run


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    networks = [{"name": "cifar/resnet14"}, {"name": "cifar/resnet8"}]
    settings = {"networks": networks, "data.limit": 2, "data.input_size": 16}
    return small_run("cls", tmp_path_factory.mktemp("runs") / "taught", settings)


def test_the_figures_are_those_of_the_function(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--images", "12", "--draws", "3", "--beta", "1.0", "--temperature", "2", "--seed", "4"]
    assert main(["--run", str(taught), *settings, "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    images, labels = validation_images(open_arm(taught, "gen_02"), 12, 4)
    expected = measure_mixup(
        load_student(taught, "gen_02"),
        load_student(taught, "gen_01"),
        images,
        labels,
        concentration=1.0,
        temperature=2.0,
        draws=3,
        seed=4,
    )
    assert (found["student"]["arm"], found["teacher"]["arm"]) == ("gen_02", "gen_01")
    assert found["nckd"]["plain"] == pytest.approx(expected.nckd.plain)
    assert found["kd"]["measured"]["within"] == pytest.approx(expected.kd.measured.within)
    assert found["nckd"]["change"] == pytest.approx(expected.nckd.change)
    assert found["independent_images"] == pytest.approx(2 / 3)


def test_the_table_names_both_losses(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(taught), "--images", "8", "--draws", "2", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "NCKD" in shown
    assert "mixed over plain, closed form" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_images_are_chosen_by_the_seed(taught: Path) -> None:
    first, again, other = (validation_images(open_arm(taught, "gen_02"), 6, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arm", "gen_01"], "gen_01 has no teacher to compare it with: name one with --teacher"),
        (["--images", "100000"], "--images 100000: the validation part has"),
        (["--draws", "1"], "1 draws of 512 images show no variance"),
        (["--temperature", "0"], "no divisor for logits"),
        (["--beta", "-1"], "concentration -1.0 is no parameter of Beta"),
        (["--teacher", "gen_1"], "Did you mean 'gen_01'"),
    ],
)
def test_what_is_refused(taught: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    enough = [] if "--images" in words or "--draws" in words else ["--images", "8"]
    assert main(["--run", str(taught), *enough, *words, "--device", "cpu"]) == 2
    assert said in capsys.readouterr().err


def test_a_dense_task_is_refused(edges_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(edges_run), "--arm", "gen_01", "--teacher", "gen_01", "--images", "1"]) == 2
    assert "task edges has no classes" in capsys.readouterr().err
