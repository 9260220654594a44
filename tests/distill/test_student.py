"""load_student: the right arm, the right weights, from the run folder alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from densedistill.distill import load_student
from densedistill.distill.errors import RequestError
from densedistill.distill.networks import source_by_name
from densedistill.distill.run_dir import RunDir
from densedistill.distill.student import finished_arm

NETWORK = "attention-sr"
ARGUMENTS = {"scale": 2, "width": 8, "blocks": 1}


def write_arm(run: Path, arm: str, role: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A finished arm as the chain leaves it; returns its weights."""
    torch.manual_seed(seed)
    network = source_by_name("densedistill.backbones").build(NETWORK, ARGUMENTS).module
    (run / arm).mkdir(parents=True)
    weights = {name: torch.randn_like(value) for name, value in network.state_dict().items()}
    save_file(weights, run / arm / "model.safetensors")
    record = {
        "arm": arm,
        "role": role,
        "generation": int(arm.split("_")[1]),
        "network": NETWORK,
        "arguments": ARGUMENTS,
        "builder": "densedistill.backbones",
    }
    (run / arm / "arm.json").write_text(json.dumps(record))
    return weights


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three generations with controls, of which the last student is not done."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"task": "sr", "plugins": []}))
    roles = {"gen_01": "teacher", "gen_02": "student", "gen_02_scratch": "scratch", "gen_03_scratch": "scratch"}
    for seed, (arm, role) in enumerate({**roles, "gen_03_direct": "direct"}.items()):
        write_arm(tmp_path, arm, role, seed)
    (tmp_path / "gen_03" / "state").mkdir(parents=True)
    return tmp_path


def test_default_is_the_last_distilled_generation_that_is_done(run: Path) -> None:
    wanted = load_student(run, "gen_02").state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in load_student(run).state_dict().items())
    weights = write_arm(run / "more", "gen_03", "student", seed=9)
    (run / "more" / "gen_03" / "arm.json").rename(run / "gen_03" / "arm.json")
    (run / "more" / "gen_03" / "model.safetensors").rename(run / "gen_03" / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in load_student(run).state_dict().items())


def test_any_finished_arm_by_name_ready_to_use(run: Path) -> None:
    network = load_student(str(run), "gen_03_direct")
    assert not any(module.training for module in network.modules())
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 5, 6)).shape == (1, 3, 10, 12)


def test_errors_are_one_sentence(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(RequestError, match=r"finished arm.*'gen_03'.*Choose one of: gen_01, gen_02, "):
        load_student(run, "gen_03")
    with pytest.raises(RequestError, match="holds no run"):
        load_student(tmp_path_factory.mktemp("empty"))
    (run / "gen_02" / "arm.json").unlink()
    with pytest.raises(RequestError, match=r"no distilled student .* \(gen_01, gen_02_scratch, gen_03_direct"):
        load_student(run)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"role": "student", "arm": "gen_02"}', "\0"])
def test_a_damaged_record_is_named(run: Path, content: str) -> None:
    (run / "gen_02" / "arm.json").write_text(content)
    for arm in (None, "gen_02"):
        with pytest.raises(RequestError, match=r"gen_02/arm\.json' .*: remove it and resume .* trains this whole arm"):
            load_student(run, arm)


def test_a_damaged_record_of_another_arm_is_no_obstacle(run: Path) -> None:
    for arm in ("gen_01", "gen_02_scratch", "gen_03_direct"):
        (run / arm / "arm.json").write_bytes(b"\xff")
    assert finished_arm(RunDir(run)) == "gen_02"
    load_student(run)


def test_weights_that_do_not_fit_are_named(run: Path) -> None:
    weights = run / "gen_02" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(RequestError, match=r"gen_02/model.safetensors' cannot be loaded into attention-sr"):
        load_student(run)
    save_file({"other": torch.zeros(1)}, weights)
    with pytest.raises(RequestError, match="cannot be loaded into attention-sr"):
        load_student(run)
    weights.unlink()
    with pytest.raises(RequestError, match="cannot be loaded into attention-sr"):
        load_student(run)


def test_plugins_of_the_run_are_loaded_first(run: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "own_network.py"
    plugin.write_text(
        "from torch import nn\n"
        "from densedistill.backbones import register_network\n\n\n"
        "@register_network('own', summary='one convolution')\n"
        "def own(*, width: int) -> nn.Module:\n"
        "    return nn.Conv2d(3, width, 1)\n"
    )
    (run / "config.yaml").write_text(yaml.safe_dump({"task": "sr", "plugins": [str(plugin)]}))
    record = json.loads((run / "gen_02" / "arm.json").read_text())
    record |= {"network": "own", "arguments": {"width": 2}}
    (run / "gen_02" / "arm.json").write_text(json.dumps(record))
    weights = {"weight": torch.ones(2, 3, 1, 1), "bias": torch.tensor([1.0, 2.0])}
    save_file(weights, run / "gen_02" / "model.safetensors")
    code = (
        "import sys, torch; from densedistill.distill import load_student; "
        "print(load_student(sys.argv[1])(torch.ones(1, 3, 1, 1)).flatten().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[4.0, 5.0]", done.stderr
