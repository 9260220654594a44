"""What `train_sr_teacher.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from densedistill.distill.configuration.config import parse_setting
from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.evaluation import evaluate
from densedistill.distill.machine.runtime import is_first_process, resolve_device
from densedistill.distill.run_dir import RunDir
from densedistill.distill.tensors import save_tensors
from densedistill.tasks import run
from densedistill.tools.finished import FinishedArm, open_arm

TEACHER = "gen_01"
RECIPE: Mapping[str, object] = {
    "recipe.optimizer": "adam",
    "recipe.learning_rate": 5e-4,
    "recipe.schedule": "cosine",
    "recipe.warmup_epochs": 1.0,
    "recipe.clip_norm": 0.5,
    "recipe.ema_decay": 0.999,
}
"""The authors take 2e-4 for 500,000 steps of 64 patches, halved four times; this is for a shorter run."""


def train(options: argparse.Namespace) -> int:
    """Train or go on, write the file, and print what the network in the file reaches."""
    export, out = Path(options.export), Path(options.out)
    if export.suffix != ".safetensors":
        raise RequestError(f"--export '{export}' is no safetensors file: give a name that ends in .safetensors.")
    try:
        run("sr", out=out, **_request(options, resume=RunDir(out).config_file.is_file()))
    except InterruptedRunError as error:
        raise InterruptedRunError(f"{error} The same command goes on.", error.exit_status) from error
    if not is_first_process():
        return 0
    arm = open_arm(out, TEACHER)
    # Rounded first: the figures are those of the file.
    network = arm.network.half().float()
    figures = _figures(arm, network, resolve_device(options.device))
    _write(export, network, arm, figures)
    table = Table("test set", "metric", "value", title=f"{export} ({export.stat().st_size / 1e6:.2f} MB)")
    for name, metrics in figures.items():
        for metric, value in metrics.items():
            table.add_row(name, metric, f"{value:.4f}")
    Console().print(table)
    return 0


def _request(options: argparse.Namespace, *, resume: bool) -> dict[str, Any]:
    settings = {
        **RECIPE,
        "recipe.views_per_epoch": options.steps * options.batch_size,
        "data.scale": options.scale,
        "data.hr_patch": options.patch * options.scale,
        **dict(parse_setting(text) for text in options.set),
    }
    return {
        "preset": "study",
        "generations": 1,
        "data": options.data,
        "data_root": options.data_root,
        "teacher": options.network,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "device": options.device,
        "precision": options.precision,
        "controls": (),
        "settings": settings,
        "resume": resume,
    }


def _figures(arm: FinishedArm, network: nn.Module, device: torch.device) -> dict[str, dict[str, float]]:
    """The metrics of `network` on each test set of the run."""
    spec, data = arm.resolved.spec, arm.own_data()
    network.to(device)
    return {
        name: dict(
            evaluate(
                network,
                images,
                spec=spec,
                metric=spec.metric.make(arm.resolved.options, data),
                device=device,
                batch_size=1,
            ).metrics
        )
        for name, images in data.tests.items()
    }


def _write(path: Path, network: nn.Module, arm: FinishedArm, figures: Mapping[str, Mapping[str, float]]) -> None:
    """The weights in half precision; what they are and what they reach stands in the file's metadata."""
    state = {name: value.half() for name, value in network.state_dict().items()}
    metadata = {
        "network": str(arm.record["network"]),
        "arguments": json.dumps(arm.record["arguments"]),
        "data": json.dumps({key: arm.recorded_data[key] for key in ("name", "train", "fingerprint")}),
        "recipe": json.dumps(arm.record["recipe"]),
        "tests": json.dumps(figures),
    }
    save_tensors(path, state, metadata)
