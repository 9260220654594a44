"""Whether the student can be had again from its weights alone, without its teacher."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from densedistill.distill.arm import Arm
from densedistill.distill.doctor.finding import Finding
from densedistill.distill.errors import RequestError
from densedistill.distill.features.taps import evaluating
from densedistill.distill.files import read_json, write_json
from densedistill.distill.machine.runtime import place
from densedistill.distill.networks import NetworkSource
from densedistill.distill.outputs import Batch
from densedistill.distill.run_dir import ArmDir
from densedistill.distill.student import built_again
from densedistill.distill.tensors import save_weights

CHECK = "student alone reloads"
REMEDY = (
    "give the network all it needs by its spec's arguments, and keep what it computes with in parameters and "
    "registered buffers"
)


@torch.no_grad()
def check_reload(
    arm: Arm, arguments: dict[str, object], networks: NetworkSource, batch: Batch, *, channels_last: bool
) -> Finding:
    """Save the student as a finished arm is saved, build it again, and compare both's answers to `batch`."""
    name, images = arm.plan.name, batch["input"]
    with tempfile.TemporaryDirectory(prefix="densedistill-") as folder:
        saved = ArmDir(Path(folder))
        save_weights(saved.weights, arm.network)
        # By way of a file, as an arm's record goes: what JSON does to the arguments must not matter.
        write_json(saved.record_file, {"network": arm.spec.name, "arguments": arguments, "adapter": arm.adapter})
        size = saved.weights.stat().st_size
        try:
            again = built_again(read_json(saved.record_file), saved.weights, networks)
        except RequestError as error:
            return Finding(check=CHECK, subject=name, status="fail", text=str(error).removesuffix("."), remedy=REMEDY)
    again = place(again, images.device, channels_last=channels_last)
    difference = float((_answer(again, images) - _answer(arm.network, images)).abs().max())
    same = difference <= 1e-4
    return Finding(
        check=CHECK,
        subject=name,
        status="pass" if same else "fail",
        text=f"{size / 1e6:.2f} MB of weights, without teacher and projectors, give "
        + ("the same answers" if same else f"answers that differ by up to {difference:.3g}"),
        remedy="" if same else REMEDY,
        figures={"bytes": size, "difference": difference},
    )


def _answer(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with evaluating(network):
        answer: torch.Tensor = network(images).float()
    return answer
