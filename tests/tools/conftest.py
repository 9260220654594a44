"""Small finished runs for the tests of the commands that read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from densedistill.distill.progress import SilentLog
from densedistill.tasks import run


def small_run(task: str, out: Path, settings: Mapping[str, object], generations: int = 2) -> Path:
    """Two steps of each arm on little data; every weight is then a little off its start."""
    done = run(
        task,
        generations=generations,
        controls=[],
        epochs=1,
        batch_size=16,
        settings={"recipe.views_per_epoch": 32, **settings},
        pretrained="none",
        device="cpu",
        precision="fp32",
        track=[],
        out=out,
        log=SilentLog(),
    )
    return done.path


@pytest.fixture(scope="session")
def sr_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `sr`, x4: SwinIR teaches AttentionSRNet."""
    networks = [
        {"name": "swinir", "arguments": {"width": 12, "depths": [1]}, "taps": ["conv_after_body"]},
        {"name": "attention-sr", "arguments": {"width": 8, "blocks": 1}, "taps": ["body_end"]},
    ]
    settings = {"networks": networks, "data.limit": 1, "data.hr_patch": 32}
    return small_run("sr", tmp_path_factory.mktemp("runs") / "sr", settings)


@pytest.fixture(scope="session")
def cls_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `cls` that trained its teacher alone."""
    settings = {"networks.0": {"name": "timm/resnet10t"}, "data.limit": 2, "data.input_size": 16}
    return small_run("cls", tmp_path_factory.mktemp("runs") / "cls", settings, generations=1)


@pytest.fixture(scope="session")
def edges_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `edges` that trained its teacher alone, of stride 8."""
    network = {"name": "smp/unet-resnet18", "arguments": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}}
    settings = {"networks.0": network, "data.collages": [8, 2, 2], "data.collage_size": 64, "data.size": 64}
    return small_run("edges", tmp_path_factory.mktemp("runs") / "edges", settings, generations=1)
