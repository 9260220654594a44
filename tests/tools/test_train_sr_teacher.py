"""train_sr_teacher.py: a run that goes on, and a file in half precision that another run takes as its teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from densedistill.backbones import create, load_weights
from densedistill.tools import train_sr_teacher, train_sr_teacher_actions
from densedistill.tools.finished import open_arm


def command(folder: Path, *further: str) -> list[str]:
    small = [
        "--set",
        "data.limit=1",
        "--set",
        "networks.0.arguments.width=12",
        "--set",
        "networks.0.arguments.depths=[1]",
    ]
    words = [
        "--data",
        "photos",
        "--network",
        "swinir",
        "--scale",
        "3",
        "--epochs",
        "1",
        "--steps",
        "2",
        "--batch-size",
        "2",
    ]
    files = ["--out", str(folder / "run"), "--export", str(folder / "teacher.safetensors")]
    return [*files, *words, "--patch", "16", "--device", "cpu", *small, *further]


def test_the_file_holds_the_run_s_teacher_in_half_precision_with_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_sr_teacher.main(command(tmp_path)) == 0
    file = tmp_path / "teacher.safetensors"
    with safe_open(file, "pt") as stored:
        metadata = stored.metadata()
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    assert (metadata["network"], json.loads(metadata["arguments"])["scale"]) == ("swinir", 3)
    arm = open_arm(tmp_path / "run", "gen_01")
    again = create("swinir", scale=3, width=12, depths=(1,)).eval()
    load_weights(again, file)
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, arm.network.state_dict()[name], rtol=1e-3, atol=1e-6)
    found = json.loads(metadata["tests"])["photos"]["psnr_y"]
    assert found == pytest.approx(arm.record["tests"]["photos"]["psnr_y"], abs=0.05)
    assert f"{found:.4f}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    trained = (tmp_path / "run" / "gen_01" / "model.safetensors").stat().st_mtime_ns
    file.unlink()
    assert train_sr_teacher.main(command(tmp_path)) == 0
    assert file.is_file()
    assert (tmp_path / "run" / "gen_01" / "model.safetensors").stat().st_mtime_ns == trained


def test_the_default_is_the_lightweight_swinir_under_3_mb() -> None:
    options = train_sr_teacher.parser().parse_args(["--out", "x", "--export", "y.safetensors"])
    request = train_sr_teacher_actions._request(options, resume=False)
    assert (request["teacher"], request["generations"], request["settings"]["data.hr_patch"]) == ("swinir-s", 1, 192)
    state = create(request["teacher"], scale=4).state_dict()
    assert sum(2 * value.numel() for value in state.values()) < 3e6 - 1e5


def test_a_file_of_another_kind_is_refused_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path)
    words[words.index("--export") + 1] = "teacher.pth"
    assert train_sr_teacher.main(words) == 2
    assert "give a name that ends in .safetensors" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
