"""Every system and pair trains two steps with its real networks, recipe and method; only its data set is small."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from densedistill.datasets import classification
from densedistill.datasets.labelled import ClassificationSource, LabelledImages, PixelImages, running_ids
from densedistill.distill.progress import SilentLog
from densedistill.distill.student import load_student
from densedistill.tasks import run
from densedistill.tasks.peers import peers
from densedistill.tasks.systems import systems

BATCH = 4
STEPS = 2
SIDES = {"cifar10": (10, 32), "cifar100": (100, 32), "tiny-imagenet": (100, 64)}
"""Classes and pixels. Tiny-ImageNet with the 100 classes that the suite's tests have of it."""
PRESETS = {**systems(), **peers()}


def images(count: int, classes: int, side: int, part: str) -> LabelledImages:
    generator = torch.Generator().manual_seed(len(part))
    pixels = torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return LabelledImages(PixelImages(pixels), running_ids(part, count), np.arange(count) % classes)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two random images of each class under the names of the real sets: split, views and sizes stay the presets'."""

    def reader(name: str, classes: int, side: int) -> classification._Reader:
        return lambda _options: ClassificationSource(
            name=name,
            classes=tuple(f"class {place}" for place in range(classes)),
            train=images(2 * classes, classes, side, "train"),
            tests={name: images(4, classes, side, "test")},
            digest=name,
        )

    small = {name: reader(name, *shape) for name, shape in SIDES.items()}
    monkeypatch.setattr(classification, "_READERS", {**classification._READERS, **small})


def trained(preset: str, out: Path, **settings: object) -> Mapping[str, object]:
    """The result of two steps of teacher and student."""
    plain = {"recipe.views_per_epoch": STEPS * BATCH, "data.val_size": 4, **settings}
    done = run(
        "cls",
        preset=preset,
        epochs=1,
        batch_size=BATCH,
        controls=[],
        settings=plain,
        pretrained="none",
        device="cpu",
        precision="fp32",
        track=[],
        out=out,
        log=SilentLog(),
    )
    return done.summary


def check(preset: str, out: Path) -> None:
    """The run folder's figures: both arms done, every term finite, the student rebuilt from its weights."""
    result = json.loads((out / "result.json").read_text())
    spec = PRESETS[preset]
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert result["complete"]
    assert [arm["network"] for arm in arms.values()] == [network.name for network in spec.chain]
    assert result["methods"] == [spec.method]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["arm"], line["step"]) for line in lines] == [("gen_01", STEPS), ("gen_02", STEPS)]
    assert set(lines[1]["losses"]) - set(lines[0]["losses"])
    assert all(math.isfinite(value) for line in lines for value in line["losses"].values())
    # Of figures between 0 and 1 nothing can be asked after two steps; of the arms, that they were scored.
    assert all(0 <= arm["test"] <= 100 for arm in arms.values())
    classes, side = SIDES[result["data"]["name"]]
    with torch.no_grad():
        assert load_student(out)(torch.zeros(1, 3, side, side)).shape == (1, classes)


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_two_steps_of_the_real_networks(preset: str, tmp_path: Path) -> None:
    trained(preset, tmp_path / "run")
    check(preset, tmp_path / "run")


def test_two_steps_of_a_light_pair(tmp_path: Path) -> None:
    """What the slow test does for all, with few layers."""
    trained("vgg13-vgg8", tmp_path / "run")
    check("vgg13-vgg8", tmp_path / "run")
