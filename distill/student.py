"""A finished arm's network, rebuilt from its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from densedistill.distill.arm_names import ArmName
from densedistill.distill.errors import RequestError, first_line, unknown_name
from densedistill.distill.networks import NetworkSource, source_by_name
from densedistill.distill.plugins import load_plugin, recorded_plugins
from densedistill.distill.reuse import ReusedHead
from densedistill.distill.run_dir import ArmDir, RunDir
from densedistill.distill.tensors import load_tensors


def load_student(run_dir: Path | str, arm: str | None = None) -> nn.Module:
    """The network of a finished arm, on the CPU, in float32 and evaluation mode.

    Its input is `(pixel in [0, 1] - input_mean) / input_std`, with both as the arm's `arm.json` has them.

    Args:
        run_dir: a run's folder.
        arm: an arm's name, such as `gen_01` or `gen_02_scratch`; None: the last generation that was distilled, of
            several students the first.

    Raises:
        RequestError: no run there, no such arm, the arm is not done, or its weights cannot be read.
        NetworkError: its network cannot be built any more, as where a checkpoint that it was read from is gone.
    """
    run = RunDir(Path(run_dir))
    for plugin in recorded_plugins(run.config()):
        load_plugin(plugin)
    folder = run.arm(finished_arm(run, arm))
    return rebuild(folder, source_by_name(folder.record()["builder"]))


def finished_arm(run: RunDir, arm: str | None = None) -> str:
    """`arm`, if the run has finished it; None stands for the last generation that was distilled.

    Raises:
        RequestError: the folder holds no run, or no such finished arm.
    """
    run.config()
    done = run.arms()
    if arm is not None:
        if arm not in done:
            raise RequestError(unknown_name(f"finished arm of '{run.path}'", arm, done))
        return arm
    # The last generation first, and no record further than it is needed: a damaged one of another arm is no obstacle.
    for name in sorted(done, key=lambda name: -ArmName.parse(name).generation):
        if ArmName.parse(name).kind in ("student", "other") and run.arm(name).record()["role"] == "student":
            return name
    raise RequestError(
        f"'{run.path}' holds no distilled student that is done: name one of its finished arms "
        f"({', '.join(done) or 'there is none yet'})."
    )


def rebuild(folder: ArmDir, networks: NetworkSource) -> nn.Module:
    """A finished arm's network as `networks` builds it, with the arm's weights, in evaluation mode.

    Raises:
        RequestError: the arm's record is damaged; the weights file is missing, damaged or of another network.
    """
    return built_again(folder.record(), folder.weights, networks)


def built_again(record: Mapping[str, Any], weights: Path, networks: NetworkSource) -> nn.Module:
    """The network that `record` describes by `network`, `arguments` and perhaps `adapter`, with `weights`.

    Raises:
        RequestError: the weights file is missing, damaged or of another network.
    """
    network = networks.build(record["network"], record["arguments"], pretrained="none").module
    if record.get("adapter") is not None:
        network = ReusedHead.model_validate(record["adapter"]).around(network)
    try:
        network.load_state_dict(load_tensors(weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RequestError(
            f"weights '{weights}' cannot be loaded into {record['network']}: {first_line(error)}"
        ) from error
    return network.eval()
