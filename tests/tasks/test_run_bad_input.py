"""Bad requests on the command line: exit status 2, one message that says what to give instead, and nothing written."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from densedistill import backbones
from densedistill.tasks.request import RunRequest
from densedistill.tools.distill import main

Refused = Callable[..., str]

SMALL = (
    *("--device", "cpu", "--precision", "fp32", "--pretrained", "none", "--teacher", "smp/unet-mobilenet_v2"),
    *("--set", "data.collages=[8,4,4]", "--set", "data.size=32", "--set", "data.collage_size=32"),
    *("--set", "recipe.views_per_epoch=8", "--batch-size", "4", "--epochs", "1", "--track", "none"),
)
"""A run of `edges` that would take seconds, were it not refused."""


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run the command line; the one message it ends with, without `densedistill: `."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENSEDISTILL_DATA", raising=False)

    def run(*words: str, task: str = "edges", out: Path = tmp_path / "out") -> str:
        before = sorted(out.rglob("*")) if out.exists() else None
        capsys.readouterr()
        status = main(["--task", task, *words, "--out", str(out)])
        shown = capsys.readouterr()
        assert status == 2, shown.err
        assert shown.err.count("densedistill: ") == 1
        assert "Traceback" not in shown.out + shown.err
        assert (sorted(out.rglob("*")) if out.exists() else None) == before
        assert not (tmp_path / "runs").exists()
        return shown.err.partition("densedistill: ")[2].strip()

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "papre"], "Did you mean 'paper'"),
        (["--set", "preset=paper"], "give --preset NAME"),
        (["--student", "smp/unet-resnet18", "--students", "a,b"], "both name the last generation"),
        (["--method", "soft-map"], "Did you mean 'soft-maps'"),
        (["--set", "recipe.epocs=3"], "Did you mean 'epochs'"),
        (["--set", "recipe.epochs"], "key.path=value"),
        (["--generations", "9"], "generations=9, but the chain has 3 networks"),
        (["--generations", "0"], "generations=0"),
        (["--epochs", "0"], "recipe.epochs=0"),
        (["--batch-size", "-4"], "recipe.batch_size=-4"),
        (["--seed", "-1"], "seed=-1"),
        (["--controls", "direct"], "--generations 3"),
        (["--controls", "scrtch"], "scrtch"),
        (["--track", "tensorbord"], "tensorbord"),
        (["--data", "bsds501"], "bsds501"),
        (["--data", "bsds500", "--data-root", "nowhere"], "nowhere"),
        (["--data", "bsds500"], "root"),
        (["--device", "gpu"], "device 'gpu'"),
        (["--device", "xpu"], "device 'xpu'"),
        (["--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["--device", "cpu", "--precision", "fp16"], "'fp16' needs a GPU"),
        (["--plugin", "no_such_file.py"], "no_such_file.py"),
        (["--plugin", "no_such_module"], "no_such_module"),
        (["--config", "no_such_file.yaml"], "no_such_file.yaml"),
        (["--set", "method.alpha=2"], "method.alpha=2"),
        (["--set", "data.collages=[8,-1,4]"], "data.collages.1=-1"),
        (["--set", "data.collages=[0,4,4]"], "data.collages.0=0"),
        (["--set", "method.pos_weight=0"], "method.pos_weight=0"),
        (["--set", "recipe.clip_norm=.inf"], "recipe.clip_norm=inf: must be a finite number; give one, or leave"),
        (["--set", "recipe.warmup_epochs=.inf"], "recipe.warmup_epochs=inf: must be a finite number"),
        (["--set", "recipe.learning_rate=1.0e+999"], "recipe.learning_rate=inf: must be a finite number"),
        (["--set", "networks.1.arguments.drop_rate=.inf"], "drop_rate is inf, which is no finite number"),
        (["--set", "method.pos_weight=.nan"], "method.pos_weight=nan: must be a finite number"),
        (["--teacher-weights", "no_such_file.pth"], "no_such_file.pth"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_values(refused: Refused, words: list[str], said: str) -> None:
    assert said in refused(*SMALL, *words)


def test_unknown_task(refused: Refused) -> None:
    message = refused(task="edgse")
    assert "unknown task 'edgse'" in message
    assert "Did you mean 'edges'" in message
    assert all(name in message for name in ("cls", "edges", "sr"))


def test_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--epochs", "1"]) == 2
    assert "--task NAME" in capsys.readouterr().err


def test_temperature_zero(refused: Refused) -> None:
    assert "method.temperature=0" in refused("--set", "method.temperature=0", task="cls")


def test_every_fault_at_once(refused: Refused) -> None:
    message = refused("--epochs", "0", "--set", "method.alpha=2", "--data", "bsds501")
    assert all(word in message for word in ("recipe.epochs=0", "method.alpha=2", "bsds501"))


@pytest.mark.parametrize("flag", ["--teacher", "--student"])
def test_unknown_network_is_found_before_anything_is_trained(refused: Refused, flag: str) -> None:
    message = refused(*SMALL, flag, "smp/unet-resnt34")
    assert "resnt34" in message
    assert "resnet34" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [("recipe: [1", "YAML"), ("- edges", "mapping"), ("task: edges\nrecipe: 3\n", "recipe=3")],
)
def test_broken_configuration_file(refused: Refused, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    assert said in refused("--config", str(path))


def test_configuration_of_another_task(refused: Refused, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--task", "cls", "--print-config"]) == 0
    path = tmp_path / "cls.yaml"
    path.write_text(capsys.readouterr().out)
    assert "another task than edges" in refused("--config", str(path))


def test_a_batch_that_does_not_fit(refused: Refused) -> None:
    message = refused(*SMALL, "--batch-size", "10000000")
    assert "batch size 10000000 is estimated to need" in message
    assert "give --batch-size" in message


# -- weights --------------------------------------------------------------------------------------------------------


class _Code:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return print, ("this code must not run",)


def _other_network(path: Path) -> None:
    save_file(backbones.create("smp/unet-resnet18").state_dict(), path)


def _truncated(path: Path) -> None:
    _other_network(path)
    path.write_bytes(path.read_bytes()[:1000])


def _pickled_code(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump({"weight": _Code()}, file, protocol=2)


def _torch_code(path: Path) -> None:
    torch.save({"weight": _Code()}, path)


@pytest.mark.parametrize("flag", ["--teacher-weights", "--student-weights"])
@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("other.safetensors", _other_network, "another network"),
        ("cut.safetensors", _truncated, "cut short"),
        ("code.pth", _pickled_code, "refused"),
        ("code_zip.pth", _torch_code, "refused"),
    ],
)
def test_weights_that_cannot_be_used(
    refused: Refused, tmp_path: Path, flag: str, name: str, write: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / name
    write(path)
    message = refused(*SMALL, flag, str(path))
    assert name in message
    assert said in message


# -- the run's folder -----------------------------------------------------------------------------------------------


def _begun(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["--task", "edges", *SMALL, "--out", str(folder), "--print-config"]) == 0
    folder.mkdir()
    (folder / "config.yaml").write_text(capsys.readouterr().out)


def test_a_folder_that_holds_another_run(refused: Refused, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _begun(capsys, tmp_path / "out")
    message = refused(*SMALL)
    assert "already holds a run" in message
    assert "--resume" in message


def test_resuming_with_a_changed_configuration(
    refused: Refused, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _begun(capsys, tmp_path / "out")
    message = refused("--resume", "--seed", "5", "--set", "method.alpha=0.25")
    assert "seed: 0 -> 5" in message
    assert "method.alpha: 0.5 -> 0.25" in message


def test_resuming_with_the_configuration_of_another_run(
    refused: Refused, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _begun(capsys, tmp_path / "out")
    same = tmp_path / "out" / "config.yaml"
    other = tmp_path / "other.yaml"
    other.write_text(same.read_text().replace("seed: 0", "seed: 4"))
    assert "seed: 0 -> 4" in refused("--resume", "--config", str(other))
    assert "does not exist" in refused("--resume", "--config", str(tmp_path / "absent.yaml"))
    assert main(["--resume", "--out", str(tmp_path / "out"), "--config", str(same), "--print-config"]) == 0


def test_a_folder_with_other_files(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert "not empty and holds no run" in refused(*SMALL)


def test_a_file_in_place_of_a_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    assert "is a file" in refused(*SMALL)
    assert "cannot be written" in refused(*SMALL, out=tmp_path / "out" / "below")


def test_nothing_to_resume(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    assert main(["--resume", "--out", "nowhere"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_latest_run_is_the_one_that_was_begun_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def begun(name: str, second: int, result: str | None = None) -> None:
        folder = Path("runs") / "edges" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("task: edges\n")
        os.utime(folder / "config.yaml", (second, second))
        if result is not None:
            (folder / "result.json").write_text(result)

    # By name `mine` would be the last, and `-2` come after `-10`.
    begun("mine", 1)
    begun("20260101-000000-demo-2", 2, '{"complete": false}')
    begun("20260101-000000-demo-10", 3, '{"compl')
    begun("20260102-000000-demo", 4, '{"complete": true}')
    assert RunRequest(resume=True).folder() == Path("runs/edges/20260101-000000-demo-10")
    for name in ("mine", "20260101-000000-demo-2", "20260101-000000-demo-10"):
        (Path("runs") / "edges" / name / "result.json").write_text('{"complete": true}')
    assert RunRequest(resume=True, task="edges").folder() == Path("runs/edges/20260102-000000-demo")
