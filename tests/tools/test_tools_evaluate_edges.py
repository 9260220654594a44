"""evaluate.py on folders of edge maps, and on the benchmark of runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2gray
from skimage.filters import sobel

from densedistill.datasets.bsds import bsds_images
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD
from densedistill.datasets.pixels import read_rgb
from densedistill.distill import load_student
from densedistill.distill.boundaries import THRESHOLDS, thin
from densedistill.tasks.edges import predict
from densedistill.tools import evaluate, evaluate_actions

Capture = pytest.CaptureFixture[str]
SIZE = (90, 120)


def scored(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    """All of stdout as one JSON object."""
    capsys.readouterr()
    assert evaluate.main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(arguments: list[str], capsys: Capture) -> str:
    capsys.readouterr()
    assert evaluate.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def square(seed: int) -> np.ndarray:
    """(H, W) uint8 0/1: the outline of a rectangle, without what thinning takes from its corners."""
    top, left = np.random.default_rng(seed).integers(15, 30, 2)
    mask = np.zeros(SIZE, np.uint8)
    mask[top, left:100] = mask[70, left:100] = 1
    mask[top:71, left] = mask[top:71, 100] = 1
    return thin(mask > 0).astype(np.uint8)


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """BSDS500 with two test images and one in each other part, of two annotators who agree."""
    random = np.random.default_rng(0)
    for part, names in (("test", ("a", "b")), ("val", ("c",)), ("train", ("d",))):
        images, truth = (tmp_path / "bsds500" / kind / part for kind in ("images", "groundTruth"))
        images.mkdir(parents=True)
        truth.mkdir(parents=True)
        for seed, name in enumerate(names):
            Image.fromarray(random.integers(0, 256, (*SIZE, 3), np.uint8)).save(images / f"{name}.jpg")
            drawn = np.stack([square(seed)] * 2)
            np.savez(truth / f"{name}.npz", boundaries=drawn, segmentation=drawn)
    return tmp_path


def predicted(folder: Path, *, level: int = 255, shift: int = 0) -> list[str]:
    """The arguments for predictions equal to the truth, at `level` and moved down by `shift` pixels."""
    maps = folder / "maps"
    maps.mkdir(exist_ok=True)
    for seed, name in enumerate(("a", "b")):
        Image.fromarray(np.roll(square(seed), shift, axis=0) * np.uint8(level)).save(maps / f"{name}.png")
    return ["--task", "edges", "--predictions", str(maps), "--data", "bsds500", "--data-root", str(folder)]


def test_perfect_maps_have_every_figure_but_the_area(bsds: Path, capsys: Capture) -> None:
    found = scored(predicted(bsds), capsys)
    assert (found["schema"], found["task"], found["data"], found["images"]) == (1, "edges", "bsds500", 2)
    assert list(found["metrics"]) == ["ods", "ods_threshold", "ois", "ap", "dice"]
    assert [found["metrics"][key] for key in ("ods", "ois", "dice")] == [1.0, 1.0, 1.0]
    # The original's area under a curve of a single point.
    assert found["metrics"]["ap"] == 0.0
    assert found["per_image"] == {name: {"f": 1.0, "threshold": 0.01, "dice": 1.0} for name in ("a", "b")}
    assert found["curve"]["threshold"] == pytest.approx(THRESHOLDS.tolist())


def test_maps_within_the_tolerance_match_though_no_pixel_is_right(bsds: Path, capsys: Capture) -> None:
    # The diagonal is 150: 1.125 pixels are tolerated.
    near, far = (scored(predicted(bsds, shift=shift), capsys)["metrics"] for shift in (1, 2))
    assert near["ods"] == 1.0
    assert near["dice"] < 0.6
    assert far["ods"] < 0.6


def test_a_map_that_never_says_one_half_has_no_dice_but_an_ods(bsds: Path, capsys: Capture) -> None:
    metrics = scored(predicted(bsds, level=100), capsys)["metrics"]
    assert (metrics["ods"], metrics["dice"]) == (1.0, 0.0)


def test_thick_maps_are_thinned_unless_that_is_turned_off(bsds: Path, capsys: Capture) -> None:
    words = predicted(bsds)
    for seed, name in enumerate(("a", "b")):
        thick = np.maximum.reduce([np.roll(square(seed), (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)])
        Image.fromarray(thick * np.uint8(255)).save(bsds / "maps" / f"{name}.png")
    thinned, thick_f = scored(words, capsys)["metrics"]["ods"], scored([*words, "--no-thin"], capsys)["metrics"]["ods"]
    assert thinned > 0.98
    assert thick_f < 0.6
    assert scored([*words, "--nms"], capsys)["metrics"]["ods"] > 0.9


def test_files_of_other_modes_are_read_by_the_stated_rule(bsds: Path, capsys: Capture) -> None:
    words = predicted(bsds)
    plain = scored(words, capsys)["metrics"]
    first, second = square(0), square(1)
    Image.fromarray(first > 0).save(bsds / "maps" / "a.png")
    clear = np.dstack([np.full((*SIZE, 3), 255, np.uint8), second * np.uint8(255)])
    Image.fromarray(clear, "RGBA").save(bsds / "maps" / "b.png")
    assert scored(words, capsys)["metrics"] == plain
    Image.fromarray(first.astype(np.uint16) * np.uint16(65535)).save(bsds / "maps" / "a.png")
    assert scored(words, capsys)["metrics"] == plain


def test_a_folder_of_masks_is_truth_too(bsds: Path, capsys: Capture) -> None:
    words = predicted(bsds)
    words[words.index("bsds500")] = "folder"
    words[-1] = str(bsds / "maps")
    found = scored(words, capsys)
    assert found["metrics"]["ods"] == 1.0
    assert found["metrics"]["dice"] == 1.0


def test_the_curve_is_drawn(bsds: Path, sr_run: Path, capsys: Capture) -> None:
    words, file = predicted(bsds, level=100), bsds / "curve.svg"
    scored([*words, "--curve", str(file)], capsys)
    drawn = file.read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert len(drawn) > 5000
    assert "end its name in" in refusal([*words, "--curve", str(bsds / "curve.gif")], capsys)
    assert "make" in refusal([*words, "--curve", str(bsds / "none" / "curve.png")], capsys)
    assert "has no curve" in refusal(["--run", str(sr_run), "--curve", str(file)], capsys)


def test_a_curve_that_cannot_be_written_leaves_the_figures(
    bsds: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(evaluate_actions, "draw_curve", refuse)
    capsys.readouterr()
    assert evaluate.main([*predicted(bsds, level=100), "--json", "--curve", str(bsds / "curve.svg")]) == 2
    printed = capsys.readouterr()
    assert "ods" in json.loads(printed.out)["metrics"]
    assert "curve.svg' cannot be read or written (Permission denied)" in printed.err


def test_another_part_is_another_part(bsds: Path, capsys: Capture) -> None:
    words = [*predicted(bsds), "--split", "val"]
    assert "lacks 1 of 1 predictions (c)" in refusal(words, capsys)


def test_an_image_without_boundaries_counts_as_false_and_is_named(bsds: Path, capsys: Capture) -> None:
    words = predicted(bsds)
    nothing = np.zeros((2, *SIZE), np.uint8)
    np.savez(bsds / "bsds500" / "groundTruth" / "test" / "b.npz", boundaries=nothing, segmentation=nothing)
    assert evaluate.main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert "b: no annotator drew a boundary" in printed.err
    found = json.loads(printed.out)
    ones, others = int(square(0).sum()), int(square(1).sum())
    assert found["metrics"]["ods"] == pytest.approx(2 / (1 + (ones + others) / ones))
    assert found["per_image"]["b"]["f"] == 0.0


def test_predictions_that_do_not_fit_are_refused(bsds: Path, capsys: Capture) -> None:
    words = predicted(bsds)
    Image.new("L", (60, 90)).save(bsds / "maps" / "b.png")
    message = refusal(words, capsys)
    assert "b.png' has 60x90 pixels" in message
    assert "b.jpg' 120x90" in message
    (bsds / "maps" / "b.png").write_bytes(b"no image")
    assert "b.png" in refusal(words, capsys)
    (bsds / "maps" / "b.png").unlink()
    assert "lacks 1 of 2 predictions (b)" in refusal(words, capsys)
    assert "is not below" in refusal([*words[:-1], str(bsds / "maps")], capsys)
    words[words.index("bsds500")] = "bsds5000"
    assert "Did you mean 'bsds500'?" in refusal(words, capsys)
    assert "--scale is for --task sr" in refusal([*words, "--scale", "2"], capsys)


def test_a_run_on_collages_is_judged_without_the_benchmark(edges_run: Path, capsys: Capture) -> None:
    found = scored(["--run", str(edges_run), "--arm", "gen_01"], capsys)
    assert set(found["metrics"]) == {"dice", "dice_per_image"}


def pairs(root: Path, part: str, count: int) -> None:
    """Images and masks smaller than the run's training views."""
    random = np.random.default_rng(count)
    for kind, shape in (("images", (40, 48, 3)), ("masks", (40, 48))):
        (root / kind / part).mkdir(parents=True)
        for place in range(count):
            pixels = random.integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels).save(root / kind / part / f"{part}{place}.png")


def test_pairs_are_scored_whole_and_need_fill_no_training_view(
    edges_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Nothing is trained: neither is anything held out, of a single pair either."""
    for count in (1, 6):
        root = tmp_path / str(count)
        pairs(root, "", count)
        words = ["--run", str(edges_run), "--arm", "gen_01", "--data", "pairs", "--data-root", str(root)]
        found = scored(words, capsys)
        assert (found["data"], sorted(found["per_image"])) == ("pairs", [str(place) for place in range(count)])
    assert evaluate.main(words) == 0
    said = capsys.readouterr().err
    assert f"test: all 6 pairs of {tmp_path / '6' / 'images'}" in said
    assert "masks: a grey level is the share of annotators" in said


def test_of_pairs_in_parts_the_test_part_is_scored(edges_run: Path, tmp_path: Path, capsys: Capture) -> None:
    pairs(tmp_path, "train", 3)
    words = ["--run", str(edges_run), "--arm", "gen_01", "--data", "pairs", "--data-root", str(tmp_path)]
    assert scored(words, capsys)["images"] == 3
    pairs(tmp_path, "test", 2)
    assert sorted(scored(words, capsys)["per_image"]) == ["test0", "test1"]


def test_bsds500_is_scored_without_its_training_images(edges_run: Path, bsds: Path, capsys: Capture) -> None:
    shutil.rmtree(bsds / "bsds500" / "images" / "train")
    words = ["--run", str(edges_run), "--arm", "gen_01", "--data", "bsds500", "--data-root", str(bsds)]
    assert sorted(scored(words, capsys)["per_image"]) == ["a", "b"]


def test_a_run_is_judged_on_bsds500_as_its_maps_on_disk_would_be(edges_run: Path, bsds: Path, capsys: Capture) -> None:
    run = ["--run", str(edges_run), "--arm", "gen_01", "--data", "bsds500", "--data-root", str(bsds)]
    found, plain = scored(run, capsys), scored([*run, "--no-nms"], capsys)
    assert list(found["metrics"]) == ["dice", "dice_per_image", "ods", "ods_threshold", "ois", "ap"]
    assert set(found["per_image"]["a"]) == {"dice", "f", "threshold"}
    assert found["metrics"]["dice"] == plain["metrics"]["dice"]
    assert found["metrics"]["ods"] != plain["metrics"]["ods"]
    assert len(found["curve"]["recall"]) == 99
    files = predicted(bsds)
    network = load_student(edges_run, "gen_01")
    for name in ("a", "b"):
        pixels = read_rgb(bsds / "bsds500" / "images" / "test" / f"{name}.jpg") / 255
        image = torch.from_numpy((pixels - IMAGENET_MEAN) / IMAGENET_STD).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            levels = (torch.sigmoid(predict(network, image)) * 255).round().byte()
        Image.fromarray(levels[0, 0].numpy()).save(bsds / "maps" / f"{name}.png")
    for words, figures in ((["--nms"], found), ([], plain)):
        metrics = scored([*files, *words], capsys)["metrics"]
        assert metrics == pytest.approx({name: figures["metrics"][name] for name in metrics}, abs=2e-3)


def test_validation_has_the_benchmark_where_it_is_asked_for(edges_run: Path, bsds: Path, capsys: Capture) -> None:
    run = ["--run", str(edges_run), "--arm", "gen_01", "--data", "bsds500", "--data-root", str(bsds)]
    found = scored([*run, "--split", "val"], capsys)
    assert list(found["per_image"]) == ["c"]
    assert "ods" in found["metrics"]


@pytest.mark.slow
def test_sobel_maps_of_the_whole_test_part(data_root: Path, tmp_path: Path, capsys: Capture) -> None:
    for image in bsds_images(data_root, "test"):
        strength = sobel(rgb2gray(read_rgb(image.image)))
        levels = np.round(strength / strength.max() * 255).astype(np.uint8)
        Image.fromarray(levels).save(tmp_path / f"{image.name}.png")
    words = ["--task", "edges", "--predictions", str(tmp_path), "--data-root", str(data_root)]
    metrics = scored(words, capsys)["metrics"]
    assert metrics["ods"] == pytest.approx(0.5095, abs=0.001)
    assert metrics["ois"] == pytest.approx(0.5466, abs=0.001)
    assert metrics["ap"] == pytest.approx(0.4593, abs=0.001)
