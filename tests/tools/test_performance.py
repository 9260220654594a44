"""The figures of docs/performance.md: what is run, what is projected, and that it goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from densedistill.distill.errors import RequestError
from densedistill.tools import performance, projection
from densedistill.tools.benchmark import parser as benchmark_parser
from densedistill.tools.performance import BENCHMARKS, main, markdown
from densedistill.tools.projection import ProjectedChain, project

SMALL = ProjectedChain(
    images=32,
    classes=4,
    batch_size=16,
    epochs=10,
    generations=2,
    device="cpu",
    networks=("cifar/resnet8", "cifar/resnet8"),
    compile="never",
)


def test_a_chain_is_projected_from_its_pace_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = project(SMALL, tmp_path)
    arms = done["arms"]
    assert list(arms) == ["gen_01", "gen_02"]
    for arm in arms.values():
        assert arm["projected_seconds"] == pytest.approx(arm["first_epoch_seconds"] + 9 * arm["epoch_seconds"])
        assert arm["images_per_second"] == pytest.approx(32 / arm["epoch_seconds"])
    assert done["hours"] == pytest.approx(sum(arm["projected_seconds"] for arm in arms.values()) / 3600)
    file = tmp_path / "projection.json"
    document = json.loads(file.read_text())
    del document["arms"]["gen_02"]
    file.write_text(json.dumps(document))

    def measured(_chain: ProjectedChain, generation: int, _folder: Path) -> dict[str, object]:
        assert generation == 2, "generation 1 is there already"
        return arms["gen_02"]

    monkeypatch.setattr(projection, "_measured", measured)
    assert project(SMALL, tmp_path)["arms"] == arms
    with pytest.raises(RequestError, match="projection of another chain"):
        project(ProjectedChain(images=64), tmp_path)


def test_every_benchmark_is_one_that_the_tool_takes() -> None:
    for name, options in BENCHMARKS.items():
        assert benchmark_parser().parse_args(list(options)).task in ("cls", "edges", "sr"), name


def test_what_is_there_is_not_measured_again_and_tabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "name": "ours",
        "images_per_second": 120.0,
        "slowest_images_per_second": 110.0,
        "fastest_images_per_second": 125.0,
        "over_plain": 4.25,
        "over_floor": None,
        "share_of_peak": 0.5,
        "peak_memory_mb": 900.0,
    }
    (tmp_path / "unet-256.json").write_text(json.dumps({"rows": [row], "ratios": {"ours_over_plain": 4.25}}))
    monkeypatch.setattr(performance.subprocess, "run", lambda *_words, **_options: pytest.fail("measured again"))
    assert main(["--out", str(tmp_path), "--only", "unet-256"]) == 0
    assert "| ours | 120.0 (110.0 to 125.0) | 4.25 |  | 50% | 900 |" in capsys.readouterr().out
    assert "ours over plain 4.25" in markdown(tmp_path, ["unet-256"], None)
    assert main(["--out", str(tmp_path), "--only", "unet"]) == 2
    assert "Did you mean 'unet-256'" in capsys.readouterr().err


def test_on_a_gpu_the_int8_teacher_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "resnet101-mobilenetv2-64-int8"
    monkeypatch.setattr("densedistill.distill.machine.runtime.resolve_device", lambda _name: torch.device("cuda"))
    monkeypatch.setattr(performance.subprocess, "run", lambda *_words, **_options: pytest.fail("measured"))
    assert main(["--out", str(tmp_path), "--only", name]) == 0
    seen = capsys.readouterr()
    assert f"{name} is left out: an int8 teacher runs on a CPU only." in seen.err
    assert seen.out.strip() == ""


def test_a_benchmark_that_fails_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(words: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.CompletedProcess[str](words, 2)
        if check:
            done.check_returncode()
        return done

    monkeypatch.setattr(performance.subprocess, "run", failing)
    assert main(["--out", str(tmp_path), "--only", "unet-256", "--device", "cpu"]) == 3
    assert "unet-256 failed, see above; the same command goes on." in capsys.readouterr().err
