"""evaluate.py: runs scored again, and predictions of any origin."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.base import TaskData
from densedistill.datasets.bicubic import imresize_8bit
from densedistill.datasets.classification import ClassificationData, input_sizes
from densedistill.datasets.dense import DenseEval, DenseTrain
from densedistill.datasets.pixels import read_rgb
from densedistill.datasets.segmentation import SegmentationData
from densedistill.datasets.super_resolution import SuperResolutionData
from densedistill.distill import load_student
from densedistill.distill.errors import RequestError
from densedistill.tasks import get
from densedistill.tasks.request import RunRequest
from densedistill.tools import evaluate, evaluate_actions, evaluate_runs
from densedistill.tools.evaluate_runs import other_options
from densedistill.tools.finished import FinishedArm, as_trained, kind_of_views, open_arm

Capture = pytest.CaptureFixture[str]


def scored(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    """All of stdout as one JSON object."""
    capsys.readouterr()
    assert evaluate.main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(arguments: list[str], capsys: Capture) -> str:
    """The one message of a wrong request; nothing is printed for the caller to read as figures."""
    capsys.readouterr()
    assert evaluate.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def record(run: Path, arm: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / arm / "arm.json").read_text())
    return found


def picture(path: Path, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A PNG of random levels between 50 and 199."""
    pixels = np.random.default_rng(seed).integers(50, 200, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


# -- runs ---------------------------------------------------------------------------------------------------------


def test_document_has_the_contract_s_keys(sr_run: Path, capsys: Capture) -> None:
    found = scored(["--run", str(sr_run)], capsys)
    assert list(found) == ["schema", "task", "data", "images", "metrics", "per_image"]
    assert (found["schema"], found["task"], found["data"], found["images"]) == (1, "sr", "photos", 1)
    assert list(found["metrics"]) == ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]
    assert found["per_image"] == {"astronaut": found["metrics"]}


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("arm", ["gen_01", "gen_02"])
def test_figures_of_a_run_repeat(sr_run: Path, arm: str, split: str, capsys: Capture) -> None:
    found = scored(["--run", str(sr_run), "--arm", arm, "--split", split], capsys)
    kept = record(sr_run, arm)
    recorded = kept["val_metrics"] if split == "val" else kept["tests"]["photos"]
    assert found["metrics"] == pytest.approx(recorded, rel=0, abs=1e-9)


def test_classes_are_scored_image_by_image(cls_run: Path, capsys: Capture) -> None:
    found = scored(["--run", str(cls_run), "--arm", "gen_01"], capsys)
    assert found["metrics"]["accuracy"] == pytest.approx(record(cls_run, "gen_01")["test"], rel=0, abs=1e-9)
    hits = [figures["accuracy"] for figures in found["per_image"].values()]
    assert len(hits) == found["images"]
    assert sum(hits) / len(hits) == pytest.approx(found["metrics"]["accuracy"])


def test_test_time_augmentation_stands_beside_the_plain_figures(
    cls_run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--run", str(cls_run), "--arm", "gen_01", "--tta"]
    found = scored(words, capsys)
    recorded = record(cls_run, "gen_01")["tests"]["photo-crops"]
    assert found["metrics"] == pytest.approx(recorded, rel=0, abs=1e-9)
    added = found["tta"]
    assert (added["kind"], added["views"]) == ("flip", 2)
    assert set(added["metrics"]) == set(recorded)
    assert added["metrics"]["nll"] != recorded["nll"]
    monkeypatch.setattr(evaluate_actions, "rescore", lambda _options: found)
    capsys.readouterr()
    assert evaluate.main(words) == 0
    printed = capsys.readouterr().out
    assert "mean of 2 views" in printed
    assert f"{recorded['nll']:.6g}" in printed


def test_test_time_augmentation_is_refused_where_it_has_no_meaning(
    cls_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    without = dataclasses.replace(get("cls"), test_time={})
    with pytest.raises(RequestError, match="task cls has no test-time augmentation"):
        kind_of_views(without, "")
    message = refusal(["--run", str(cls_run), "--arm", "gen_01", "--tta", "flp"], capsys)
    assert "Did you mean 'flip'?" in message
    true, mine = folders(tmp_path, offset=1)
    assert "--tta belongs to a run" in refusal([*predictions(true, mine), "--tta"], capsys)


def test_super_resolution_s_views_are_turned_back(sr_run: Path, capsys: Capture) -> None:
    found = scored(["--run", str(sr_run), "--tta"], capsys)
    assert (found["tta"]["kind"], found["tta"]["views"]) == ("self-ensemble", 8)
    # Views that are not turned back would average eight different pictures.
    assert found["tta"]["metrics"]["psnr_y"] == pytest.approx(found["metrics"]["psnr_y"], abs=1.0)


def test_without_json_a_table_names_every_metric(sr_run: Path, capsys: Capture) -> None:
    assert evaluate.main(["--run", str(sr_run)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"))


def test_a_folder_of_images_is_scored_whole(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    for place in range(3):
        picture(tmp_path / "mine" / f"image{place}.png", 48 + 4 * place, 61, seed=place)
    arguments = ["--run", str(sr_run), "--data", "folder", "--data-root", str(tmp_path / "mine")]
    capsys.readouterr()
    assert evaluate.main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "3 of 3 images are cropped at the bottom and right to sides that 4 divides" in printed.err
    assert "degradation: bicubic" in printed.err
    assert list(found["per_image"]) == ["image0", "image1", "image2"]
    truth = read_rgb(tmp_path / "mine" / "image1.png")[:52, :60]
    low = imresize_8bit(read_rgb(tmp_path / "mine" / "image1.png")[:52, :60], (13, 15))
    with torch.inference_mode():
        output = load_student(sr_run)(torch.from_numpy(low).permute(2, 0, 1)[None].float() / 255)
    rounded = (output[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy().astype(np.float64)
    error = np.square(rounded - truth.astype(np.float64))[4:-4, 4:-4].mean()
    assert found["per_image"]["image1"]["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / error), abs=0.02)


def folder_arm(sr_run: Path, root: Path, scored_on: Sequence[str], **data: object) -> FinishedArm:
    """The run's student as if it had been trained on folders below `root`, and scored on these."""
    settings = [(f"data.{key}", value) for key, value in data.items()]
    request = RunRequest(task="sr", data="folder", data_root=root, settings=settings)
    recorded = {"name": "folder", "tests": dict.fromkeys(scored_on, 3)}
    return dataclasses.replace(open_arm(sr_run, None), resolved=request.resolve(), recorded_data=recorded)


def test_a_root_says_where_the_run_s_data_lies_or_other_data(sr_run: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    arm = folder_arm(sr_run, old, ["set5", "urban"], tests=["set5", "urban"], limit=3)
    for name in (None, "set5", "urban"):
        moved = other_options(arm, name, str(new))
        assert isinstance(moved, SuperResolutionData)
        assert (moved.name, moved.root, moved.tests, moved.limit) == ("folder", new, ("set5", "urban"), 3)
    here = other_options(arm, "folder", str(old))
    assert isinstance(here, SuperResolutionData)
    assert (here.root, here.tests, here.limit) == (old, ("set5", "urban"), 3)
    for name in ("folder", "b100"):
        other = other_options(arm, name, str(new))
        assert isinstance(other, SuperResolutionData)
        assert (other.name, other.root, other.tests, other.limit) == ("folder", new, (), None)


def test_what_a_run_held_out_is_found_again_where_its_data_was_moved(
    sr_run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(6):
        picture(tmp_path / "mine" / f"image{place}.png", 48, 48, seed=place)
    arm = folder_arm(sr_run, tmp_path / "old", ["held-out"], val=2, hr_patch=32)
    monkeypatch.setattr(evaluate_runs, "open_arm", lambda _run, _arm: arm)
    words = ["--run", str(sr_run), "--data-root", str(tmp_path / "mine")]
    found = scored(words, capsys)
    assert (found["data"], found["images"]) == ("held-out", 2)
    assert evaluate.main(words) == 0
    assert "taken for the run's own data, moved to " in capsys.readouterr().err
    assert scored([*words, "--data", "held-out"], capsys)["per_image"] == found["per_image"]
    assert scored([*words, "--data", "folder"], capsys)["images"] == 6
    arm = folder_arm(sr_run, tmp_path / "mine", ["held-out"], val=2, hr_patch=32)
    assert scored([*words, "--data", "folder"], capsys)["images"] == 2


def test_the_named_sets_of_a_root_are_scored_by_name(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    for folder, count in (("Set5", 2), ("B100", 3)):
        for place in range(count):
            picture(tmp_path / "sr" / folder / f"image{place}.png", 48, 48, seed=place)
    words = ["--run", str(sr_run), "--data-root", str(tmp_path)]
    assert evaluate.main([*words, "--data", "folder"]) == 0
    assert "scoring set5; --data scores b100" in capsys.readouterr().err
    found = scored([*words, "--data", "b100"], capsys)
    assert (found["data"], found["images"]) == ("b100", 3)
    message = refusal([*words, "--data", "b10"], capsys)
    assert "Did you mean 'b100'? Choose one of: b100, folder, photos, set5" in message


def test_a_segmentation_arm_keeps_its_classes_on_other_images(cls_run: Path, tmp_path: Path) -> None:
    """As many as it tells, and not as many as the other masks happen to show."""
    arm = open_arm(cls_run, "gen_01")
    request = RunRequest(task="seg", data="pairs", data_root=tmp_path / "old")
    arm = dataclasses.replace(arm, resolved=request.resolve(), record={**arm.record, "classes": list("0123456")})
    other = other_options(arm, "pairs", str(tmp_path / "new"))
    assert isinstance(other, SegmentationData)
    assert (other.root, other.classes) == (tmp_path / "new", 7)


def test_changed_data_is_said(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = shutil.copytree(sr_run, tmp_path / "copy")
    result = json.loads((copy / "result.json").read_text())
    result["data"]["fingerprint"] = "sha256:0"
    (copy / "result.json").write_text(json.dumps(result))
    assert evaluate.main(["--run", str(copy)]) == 0
    assert "the data has changed since the run" in capsys.readouterr().err


def test_other_classes_are_refused(cls_run: Path, tmp_path: Path, capsys: Capture) -> None:
    seeds = iter(range(99))
    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            for place in range(4):
                picture(tmp_path / part / name / f"{part}{place}.png", 20, 20, seed=next(seeds))
    arguments = ["--run", str(cls_run), "--arm", "gen_01", "--data", "imagefolder", "--data-root", str(tmp_path)]
    message = refusal(arguments, capsys)
    assert "gen_01 tells 18 classes" in message
    assert "2 classes" in message


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, (32, 32)),
        ({"data.teacher_size": 48}, (32, 48)),
        ({"data.detail": 16}, (16, 16)),
        ({"data.input_size": 64}, (64, 64)),
    ],
)
def test_other_images_are_shown_at_the_size_that_the_run_was_trained_at(
    cls_run: Path, tmp_path: Path, asked: dict[str, int], wanted: tuple[int, int]
) -> None:
    """A folder of images counts as 224 pixels, which a network trained at 32 has never seen."""
    request = RunRequest(task="cls", data="cifar10", settings=tuple(asked.items()))
    arm = dataclasses.replace(open_arm(cls_run, "gen_01"), resolved=request.resolve())
    options = other_options(arm, "imagefolder", str(tmp_path))
    assert isinstance(options, ClassificationData)
    sizes = input_sizes(options)
    assert (options.name, sizes.student, sizes.teacher) == ("imagefolder", *wanted)


def test_images_are_normalised_as_the_arm_was_trained() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), np.uint8)
    images = DenseEval(ids=["a"], inputs=[pixels], targets=[pixels], mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    data = TaskData(
        name="other",
        train=DenseTrain(inputs=(), targets=(), crop=1),
        val=images,
        tests={},
        fingerprint="",
        input_mean=(0.1, 0.2, 0.3),
        input_std=(0.5, 0.6, 0.7),
    )
    adapted = as_trained(images, data, {"input_mean": [0.4, 0.5, 0.6], "input_std": [0.2, 0.3, 0.4]})
    batch = next(iter(adapted.batches(1, device=torch.device("cpu"))))
    wanted = (pixels / 255 - np.array([0.4, 0.5, 0.6]).reshape(3, 1, 1)) / np.array([0.2, 0.3, 0.4]).reshape(3, 1, 1)
    np.testing.assert_allclose(batch["input"][0].numpy(), wanted, atol=1e-6)
    assert list(adapted.ids) == ["a"]
    same = {"input_mean": [0.1, 0.2, 0.3], "input_std": [0.5, 0.6, 0.7]}
    assert as_trained(images, data, same) is images


def test_wrong_requests_are_one_sentence(sr_run: Path, cls_run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert "Did you mean 'gen_02'?" in refusal(["--run", str(sr_run), "--arm", "gen_2"], capsys)
    assert "holds no run" in refusal(["--run", str(tmp_path)], capsys)
    assert "no distilled student" in refusal(["--run", str(cls_run)], capsys)
    assert "--task" in refusal(["--run", str(sr_run), "--task", "sr"], capsys)
    assert "setty" in refusal(["--run", str(sr_run), "--data", "setty"], capsys)
    assert "not there" in refusal(["--run", str(sr_run), "--device", "cuda:99"], capsys)
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([])


# -- predictions --------------------------------------------------------------------------------------------------


def folders(tmp_path: Path, *, offset: int, lost: int = 0) -> tuple[Path, Path]:
    """True images, and the same `offset` levels brighter without their last `lost` rows and columns."""
    for name, height, width in (("one", 40, 44), ("two", 64, 48)):
        pixels = picture(tmp_path / "true" / f"{name}.png", height, width)
        (tmp_path / "mine").mkdir(exist_ok=True)
        brighter = pixels[: height - lost, : width - lost] + np.uint8(offset)
        Image.fromarray(brighter).save(tmp_path / "mine" / f"{name}.png")
    return tmp_path / "true", tmp_path / "mine"


def predictions(true: Path, mine: Path) -> list[str]:
    return ["--task", "sr", "--predictions", str(mine), "--data", "folder", "--data-root", str(true), "--scale", "4"]


@pytest.mark.parametrize("lost", [0, 3])
def test_a_constant_offset_has_its_closed_form(tmp_path: Path, lost: int, capsys: Capture) -> None:
    words = predictions(*folders(tmp_path, offset=8, lost=lost))
    assert evaluate.main(words) == 0
    assert ("2 of 2 true images are cropped" in capsys.readouterr().err) == bool(lost)
    found = scored(words, capsys)
    assert (found["task"], found["data"], found["images"]) == ("sr", "folder", 2)
    rgb = 20 * math.log10(255 / 8)
    luma = 20 * math.log10(255 / (8 * (65.481 + 128.553 + 24.966) / 255))
    for figures in (found["metrics"], *found["per_image"].values()):
        assert figures["psnr_rgb"] == pytest.approx(rgb, abs=1e-6)
        assert figures["psnr_y"] == pytest.approx(luma, abs=1e-6)
    assert set(found["per_image"]) == {"one", "two"}


def test_a_perfect_prediction_has_ssim_one(tmp_path: Path, capsys: Capture) -> None:
    found = scored(predictions(*folders(tmp_path, offset=0)), capsys)
    assert found["metrics"]["ssim_y"] == pytest.approx(1.0)
    assert found["metrics"]["psnr_y"] == 100.0


def test_bicubic_on_set5_has_its_published_figure(data_root: Path, tmp_path: Path, capsys: Capture) -> None:
    set5 = data_root / "sr" / "Set5"
    if not set5.is_dir():
        pytest.skip(f"no Set5 at {set5}")
    for path in sorted((set5 / "LR_x4").iterdir()):
        low = read_rgb(path)
        Image.fromarray(imresize_8bit(low, (4 * low.shape[0], 4 * low.shape[1]))).save(tmp_path / f"{path.stem}.png")
    found = scored(predictions(set5, tmp_path), capsys)
    # Bicubic at x4 in the tables of VDSR and EDSR: 28.42 dB, 0.8104, there from a Y that is rounded to 8 bits.
    assert found["images"] == 5
    assert found["metrics"]["psnr_y"] == pytest.approx(28.42, abs=0.02)
    assert found["metrics"]["ssim_y"] == pytest.approx(0.8104, abs=0.001)


def test_predictions_that_do_not_fit_are_refused(tmp_path: Path, capsys: Capture) -> None:
    true, mine = folders(tmp_path, offset=1, lost=4)
    assert "has 40x36 pixels and its true image 44x40" in refusal(predictions(true, mine), capsys)
    (mine / "two.png").unlink()
    assert "lacks 1 of 2 predictions (two)" in refusal(predictions(true, mine), capsys)
    assert "does not exist" in refusal(predictions(true, tmp_path / "none"), capsys)
    assert "is not a folder" in refusal(predictions(tmp_path / "none", mine), capsys)
    assert "--arm" in refusal([*predictions(true, mine), "--arm", "gen_02"], capsys)


def test_other_tasks_have_no_form_for_predictions(tmp_path: Path, capsys: Capture) -> None:
    assert "Did you mean 'sr'?" in refusal(["--task", "srr", "--predictions", str(tmp_path)], capsys)
    true, mine = folders(tmp_path, offset=0)
    assert "--nms belongs to edges" in refusal([*predictions(true, mine), "--nms"], capsys)
    assert "--no-thin belongs to edges" in refusal([*predictions(true, mine), "--no-thin"], capsys)


def test_maps_are_a_matter_of_edges(sr_run: Path, capsys: Capture) -> None:
    assert "task sr makes none" in refusal(["--run", str(sr_run), "--nms"], capsys)
    assert "--no-thin is for --predictions" in refusal(["--run", str(sr_run), "--no-thin"], capsys)
