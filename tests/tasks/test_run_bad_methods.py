"""Bad input to classification's methods on the command line: exit status 2 and one message, or a note of what is done.

Which sentence each method says is tested in `test_methods.py`; here, that the command line reaches it before anything
is trained or written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densedistill.tools.distill import main

SMALL = (
    *("--task", "cls", "--device", "cpu", "--precision", "fp32", "--pretrained", "none", "--track", "none"),
    *("--teacher", "cifar/resnet14", "--student", "cifar/resnet8", "--epochs", "1", "--batch-size", "8"),
    *("--set", "data.limit=4", "--set", "data.input_size=16"),
)
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Run the command line; the one message it ends with."""

    def run(*words: str) -> str:
        status = main([*SMALL, *words, "--out", str(tmp_path / "out")])
        shown = capsys.readouterr().err
        assert status == 2, shown
        assert not (tmp_path / "out").exists()
        return shown.partition("densedistill: ")[2].strip()

    return run


def folder_of(path: Path, classes: int) -> Path:
    """An image folder with `classes` classes of 12 training and 4 validation images."""
    generator = np.random.default_rng(0)
    for part, images in (("train", 12), ("val", 4)):
        for number in range(classes):
            folder = path / part / f"class{number}"
            folder.mkdir(parents=True)
            for place in range(images):
                Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    return path


@pytest.mark.parametrize("value", ["0", "-4"])
def test_a_temperature_that_divides_nothing(refused: Refused, value: str) -> None:
    message = refused("--set", f"method.temperature={value}")
    assert message.startswith("method.temperature=")
    assert "is no divisor for logits: give a finite number above 0, such as 4" in message


@pytest.mark.parametrize("value", ["-0.1", "1.01"])
def test_an_alpha_that_is_no_share(refused: Refused, value: str) -> None:
    message = refused("--set", f"method.alpha={value}")
    assert message.startswith("method.alpha=")
    assert "is no share of a whole: give a number from 0 to 1" in message


@pytest.mark.parametrize("field", ["temperature", "alpha"])
@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_a_value_of_a_method_that_is_not_finite(refused: Refused, field: str, value: str) -> None:
    message = refused("--set", f"method.{field}={value}")
    assert message.startswith(f"method.{field}={value[1:]}: must be a finite number; give one")


@pytest.mark.parametrize("method", ["dkd", "lskd-dkd", "nkd"])
def test_two_classes_and_a_method_that_needs_three(refused: Refused, tmp_path: Path, method: str) -> None:
    root = folder_of(tmp_path / "two", 2)
    message = refused("--data", "imagefolder", "--data-root", str(root), "--method", method)
    assert message.startswith("2 output channels: ")
    assert "because with a single class beside the target its non-target term is always 0, so use kd" in message


def test_a_single_class(refused: Refused, tmp_path: Path) -> None:
    root = folder_of(tmp_path / "one", 1)
    message = refused("--data", "imagefolder", "--data-root", str(root))
    assert message.startswith("1 output channel: softmax over fewer than two classes is constant")


@pytest.mark.parametrize(("place", "arm"), [(0, "gen_01"), (1, "gen_02")])
def test_classes_that_are_not_the_data_s(refused: Refused, place: int, arm: str) -> None:
    message = refused("--set", f"networks.{place}.arguments.num_classes=7")
    assert message.startswith(f"{arm}, 'cifar/resnet")
    assert "is given num_classes=7, and for data set 'photo-crops' it must be 18: leave it out" in message


@pytest.mark.parametrize(
    ("place", "tap", "near"), [(1, "layer3.0.conv9", "layer3.0.conv2"), (0, "layr3", "layer3"), (1, "avgpool", "pool")]
)
def test_a_tap_that_is_no_module(refused: Refused, place: int, tap: str, near: str) -> None:
    message = refused("--method", "feature", "--set", f"networks.{place}.taps=[{tap}]")
    assert message.startswith(f"tap '{tap}' is no module of CifarResNet: give a module path such as ")
    assert f"'{near}'" in message


def test_a_tap_that_gives_no_map(refused: Refused) -> None:
    message = refused("--method", "feature", "--set", "networks.1.taps=[fc]")
    assert "feature reads feature maps, and the student shows none at its taps" in message


def test_maps_of_unlike_size_are_aligned_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taps = ("--set", "networks.0.taps=[layer1]", "--set", "networks.1.taps=[layer3]")
    assert main([*SMALL, "--method", "feature", *taps, "--controls", "none", "--out", str(tmp_path / "out")]) == 0
    said = "feature averages the larger of two feature maps to the smaller: layer3 (4x4) with layer1 (16x16)"
    assert said in capsys.readouterr().err
    arms = {arm["arm"]: arm for arm in json.loads((tmp_path / "out" / "result.json").read_text())["arms"]}
    assert said in arms["gen_02"]["notes"]
