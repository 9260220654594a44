"""export.py: the file computes what the network computes, at every size it promises, and says how to feed it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from densedistill.distill import load_student
from densedistill.tools import export, export_actions

onnx = pytest.importorskip("onnx", reason="needs the extra 'export'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
pytest.importorskip("onnxscript", reason="needs the extra 'export'")

Capture = pytest.CaptureFixture[str]


def exported(run: Path, arm: str, out: Path, *more: str) -> Path:
    assert export.main(["--run", str(run), "--arm", arm, "--format", "onnx", "--out", str(out), *more]) == 0
    return out


def largest_gap(path: Path, network: nn.Module, shape: tuple[int, ...]) -> float:
    """Between ONNX Runtime and PyTorch on random inputs, without the command's own comparison."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))
    output = onnxruntime.InferenceSession(path).run(None, {"input": images.numpy()})[0]
    with torch.inference_mode():
        return float(np.abs(output - network(images).numpy()).max())


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.skipif(
    tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11),
    reason="seen to trace free sizes from PyTorch 2.11 on; 2.9 needs --input-size",
)
@pytest.mark.parametrize("arm", ["gen_01", "gen_02"])
def test_super_resolution_takes_every_size(sr_run: Path, arm: str, tmp_path: Path, capsys: Capture) -> None:
    path = exported(sr_run, arm, tmp_path / "deep" / "sr.onnx")
    printed = capsys.readouterr().out
    assert "height and width free" in printed
    assert "on 10 images" in printed
    network = load_student(sr_run, arm)
    for shape in ((1, 3, 16, 16), (3, 3, 31, 20), (2, 3, 9, 40)):
        assert largest_gap(path, network, shape) <= 1e-4
    assert [entry.name for entry in path.parent.iterdir()] == ["sr.onnx"]


def test_edges_take_every_multiple_of_the_stride(edges_run: Path, tmp_path: Path, capsys: Capture) -> None:
    path = exported(edges_run, "gen_01", tmp_path / "edges.onnx")
    assert "multiples of 8" in capsys.readouterr().out
    network = load_student(edges_run, "gen_01")
    for shape in ((1, 3, 64, 64), (2, 3, 40, 24)):
        assert largest_gap(path, network, shape) <= 1e-4


def test_classifiers_take_every_batch_at_their_size(cls_run: Path, tmp_path: Path, capsys: Capture) -> None:
    path = exported(cls_run, "gen_01", tmp_path / "cls.onnx")
    assert "input size 16x16" in capsys.readouterr().out
    network = load_student(cls_run, "gen_01")
    for batch in (1, 5):
        assert largest_gap(path, network, (batch, 3, 16, 16)) <= 1e-4
    record = json.loads((cls_run / "gen_01" / "arm.json").read_text())
    told = metadata(path)
    assert json.loads(told["classes"]) == record["classes"]
    assert json.loads(told["input_mean"]) == record["input_mean"]
    assert json.loads(told["input_std"]) == record["input_std"]
    assert (told["task"], told["network"], told["arm"]) == ("cls", "timm/resnet10t", "gen_01")


def test_a_fixed_size_is_fixed(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    path = exported(sr_run, "gen_02", tmp_path / "sr.onnx", "--input-size", "24", "40")
    assert "input size 24x40" in capsys.readouterr().out
    assert largest_gap(path, load_student(sr_run), (2, 3, 24, 40)) <= 1e-4
    with pytest.raises(Exception, match="dimensions"):
        largest_gap(path, load_student(sr_run), (1, 3, 24, 41))


@pytest.mark.parametrize("gap", [2e-4, float("nan")])
def test_a_file_that_differs_is_not_kept(
    sr_run: Path, tmp_path: Path, gap: float, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(export_actions, "largest_difference", lambda *_: gap)
    monkeypatch.setattr(export_actions, "_write", lambda _arm, _image, _multiple, path: path.write_bytes(b"graph"))
    out = tmp_path / "sr.onnx"
    out.write_bytes(b"an earlier file")
    assert export.main(["--run", str(sr_run), "--out", str(out)]) == 3
    assert "differs from gen_02" in capsys.readouterr().err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("sr.onnx", b"an earlier file")]


def test_the_comparison_measures_the_difference(sr_run: Path, tmp_path: Path) -> None:
    path = exported(sr_run, "gen_02", tmp_path / "sr.onnx", "--input-size", "16", "16")
    network = load_student(sr_run)

    class Brighter(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = network(images)
            return output + 0.25 * (images.mean() > 0.5)

    images = [torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.8)]
    assert export_actions.largest_difference(network, path, images) <= 1e-5
    assert export_actions.largest_difference(Brighter(), path, images) == pytest.approx(0.25, abs=1e-5)


def test_wrong_requests_are_one_sentence(
    sr_run: Path, edges_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refusal(*arguments: str) -> str:
        capsys.readouterr()
        assert export.main([*arguments, "--out", str(tmp_path / "file.onnx")]) == 2
        return capsys.readouterr().err

    assert "multiples of 8" in refusal("--run", str(edges_run), "--arm", "gen_01", "--input-size", "60", "64")
    assert "no image of the run is as large" in refusal("--run", str(sr_run), "--input-size", "4000", "4000")
    assert "Did you mean 'gen_01'?" in refusal("--run", str(sr_run), "--arm", "gen_1")
    monkeypatch.setattr(export_actions, "PACKAGES", ("onnx", "no_such_package"))
    assert "needs no_such_package: install with pip install 'densedistill[export]'" in refusal("--run", str(sr_run))
    assert list(tmp_path.iterdir()) == []


def test_every_needed_package_is_asked_for() -> None:
    assert all(find_spec(name) for name in export_actions.PACKAGES)
