"""Super-resolution data: embedded photographs, a user's folders and the benchmark layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.base import BatchPlan, DataError
from densedistill.datasets.photos import load_photo, photo_names, super_resolution_photos
from densedistill.datasets.sr_degradation import Degradation, degrade
from densedistill.datasets.super_resolution import (
    SuperResolutionData,
    load_super_resolution,
    super_resolution_tests,
)

CPU = torch.device("cpu")


def _write(folder: Path, count: int, size: tuple[int, int] = (40, 48), seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, count])
    for place in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"img{place}.png")


def _options(root: Path, **changes: object) -> SuperResolutionData:
    fields: dict[str, object] = {"name": "folder", "root": root, "hr_patch": 32, **changes}
    return SuperResolutionData.model_validate(fields)


def test_photos_split_keeps_scenes_apart() -> None:
    data = load_super_resolution(SuperResolutionData())
    assert data.embedded
    assert list(data.tests["photos"].ids) == ["astronaut", "motorcycle_left"]
    assert "motorcycle_right" not in photo_names()
    roles = [set(super_resolution_photos(role)) for role in ("train", "val", "test")]
    assert not (roles[0] & roles[1] | roles[0] & roles[2] | roles[1] & roles[2])
    for name in roles[0] | roles[1] | roles[2]:
        assert load_photo(name).ndim == 3
    assert not load_photo("astronaut").flags.writeable


def test_training_patches_are_cut_from_the_whole_degraded_image() -> None:
    data = load_super_resolution(SuperResolutionData(augment=False, hr_patch=64))
    (batch,) = data.train.batches([BatchPlan(np.array([0, 0, 4]), np.arange(3))], seed=0, device=CPU)
    assert batch["input"].shape == (3, 3, 16, 16)
    assert batch["target"].shape == (3, 3, 64, 64)
    whole = degrade(load_photo("chelsea"), 4, Degradation()).transpose(2, 0, 1)
    patch = (batch["input"][0].numpy() * 255).round().astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(whole[0], (16, 16))
    top, left = np.argwhere((windows == patch[0]).all(axis=(2, 3)))[0] * 4
    expected = load_photo("chelsea")[top : top + 64, left : left + 64].transpose(2, 0, 1)
    np.testing.assert_array_equal((batch["target"][0].numpy() * 255).round(), expected)


def test_evaluation_is_whole_images_one_at_a_time() -> None:
    data = load_super_resolution(SuperResolutionData(scale=3, hr_patch=96))
    shapes = [(b["input"].shape, b["target"].shape) for b in data.tests["photos"].batches(8, device=CPU)]
    assert shapes == [((1, 3, 170, 170), (1, 3, 510, 510)), ((1, 3, 166, 247), (1, 3, 498, 741))]


def test_a_users_train_and_test_folders(tmp_path: Path) -> None:
    _write(tmp_path / "train", 12)
    _write(tmp_path / "test", 3, (41, 51), seed=1)
    Image.new("RGB", (20, 20)).save(tmp_path / "train" / "tiny.png")
    data = load_super_resolution(_options(tmp_path))
    assert (len(data.train), len(data.val.ids), list(data.tests)) == (10, 2, ["test"])
    assert any("1 images smaller" in note for note in data.notes)
    (first, *_) = data.tests["test"].batches(1, device=CPU)
    assert first["input"].shape == (1, 3, 10, 12)
    assert first["target"].shape == (1, 3, 40, 48)
    assert data.fingerprint == load_super_resolution(_options(tmp_path)).fingerprint
    assert data.fingerprint != load_super_resolution(_options(tmp_path, split_seed=1)).fingerprint


def test_a_folder_of_images_alone_holds_val_and_test_out(tmp_path: Path) -> None:
    _write(tmp_path, 10)
    data = load_super_resolution(_options(tmp_path, val=2))
    assert (len(data.train), len(data.val.ids), len(data.tests["held-out"].ids)) == (6, 2, 2)
    assert not set(data.val.ids) & set(data.tests["held-out"].ids)
    (everything,) = super_resolution_tests(_options(tmp_path)).values()
    assert len(everything.ids) == 10


def test_several_absolute_folders(tmp_path: Path) -> None:
    _write(tmp_path / "a", 6)
    _write(tmp_path / "b", 6, seed=1)
    _write(tmp_path / "urban" / "HR", 2, seed=2)
    data = load_super_resolution(_options(tmp_path, train=(str(tmp_path / "a"), "b"), tests=("urban",), limit=3))
    assert len(data.train) == 3
    assert list(data.tests) == ["urban"]
    assert all(name.split("/")[0] in {"a", "b"} for name in data.val.ids)


def test_published_inputs_are_used_for_plain_bicubic_only(tmp_path: Path) -> None:
    _write(tmp_path / "train", 6)
    _write(tmp_path / "test" / "HR", 1, (41, 48), seed=1)
    (tmp_path / "test" / "LR_x4").mkdir()
    Image.new("RGB", (11, 10), (9, 9, 9)).save(tmp_path / "test" / "LR_x4" / "img0.png")
    given = load_super_resolution(_options(tmp_path)).tests["test"]
    (batch,) = given.batches(1, device=CPU)
    assert batch["input"].shape == (1, 3, 10, 11)
    assert batch["target"].shape == (1, 3, 40, 44)
    assert (batch["input"] * 255).round().unique().tolist() == [9.0]
    blurred = load_super_resolution(_options(tmp_path, degradation={"blur_sigma": 1.2}))
    (batch,) = blurred.tests["test"].batches(1, device=CPU)
    assert batch["input"].shape == (1, 3, 10, 12)
    assert any("Gaussian blur of sigma 1.2" in note for note in blurred.notes)


def test_sides_that_the_scale_does_not_divide_are_cropped_and_said(tmp_path: Path) -> None:
    _write(tmp_path / "train", 6, (40, 48))
    _write(tmp_path / "test", 2, (43, 50))
    data = load_super_resolution(_options(tmp_path))
    (batch, *_) = data.tests["test"].batches(1, device=CPU)
    assert (batch["input"].shape[2:], batch["target"].shape[2:]) == ((10, 12), (40, 48))
    assert "2 of 8 images are cropped at the bottom and right to sides that 4 divides" in data.notes
    _write(tmp_path / "even", 2, seed=1)
    assert not any("cropped" in note for note in load_super_resolution(_options(tmp_path, tests=("even",))).notes)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_benchmark_s_own_folder_is_a_root(tmp_path: Path, scale: int) -> None:
    _write(tmp_path / "mine" / "HR", 2, (41, 49))
    low = tmp_path / "mine" / f"LR_x{scale}"
    low.mkdir()
    for place in range(2):
        Image.new("RGB", (49 // scale, 41 // scale), (7, 7, 7)).save(low / f"img{place}.png")
    options = _options(tmp_path / "mine", scale=scale, hr_patch=36)
    (label, images), *others = super_resolution_tests(options).items()
    assert (label, list(images.ids), others) == ("mine", ["img0", "img1"], [])
    (batch, *_) = images.batches(1, device=CPU)
    assert (batch["input"] * 255).round().unique().tolist() == [7.0]
    assert batch["target"].shape[2:] == (41 // scale * scale, 49 // scale * scale)


def test_training_on_a_test_image_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "train", 6)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "other.png").write_bytes((tmp_path / "train" / "img2.png").read_bytes())
    with pytest.raises(DataError, match="'img2' is the source of 'other' in the test set 'test'"):
        load_super_resolution(_options(tmp_path))


def _missing_low(root: Path) -> SuperResolutionData:
    (root / "test" / "LR_x4").mkdir()
    return _options(root)


def _wrong_low(root: Path) -> SuperResolutionData:
    (root / "test" / "LR_x4").mkdir()
    Image.new("RGB", (20, 20)).save(root / "test" / "LR_x4" / "img0.png")
    return _options(root)


def _low_of_scale_eight(root: Path) -> SuperResolutionData:
    (root / "test" / "LR_x4").mkdir()
    Image.new("RGB", (6, 5)).save(root / "test" / "LR_x4" / "img0.png")
    return _options(root)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: _options(root, hr_patch=64), "none of the 6 training images"),
        (lambda root: _options(root, train=("nowhere",)), "looked for .*nowhere"),
        (lambda root: _options(root, tests=("set5",)), r"looked for .*sr.Set5 and .*Set5"),
        (lambda root: _options(root / "absent"), "is not a folder"),
        (lambda root: SuperResolutionData(name="folder"), "needs a root"),
        (lambda root: _options(root, tests=("test", "./test")), "two test sets are called 'test'"),
        (_missing_low, "lacks img0"),
        (_wrong_low, "20x20 times 4 is 80x80 pixels, and .*48x40: they are not a pair of this scale"),
        (_low_of_scale_eight, "6x5 times 4 is 24x20 pixels, and .*48x40: they are not a pair"),
    ],
)
def test_bad_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], SuperResolutionData], message: str
) -> None:
    monkeypatch.delenv("DENSEDISTILL_DATA", raising=False)
    _write(tmp_path / "train", 6)
    _write(tmp_path / "test", 1, seed=1)
    with pytest.raises(DataError, match=message):
        load_super_resolution(spoil(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hr_patch": 158}, "158 is not a multiple of scale 4: give 156 or 160"),
        ({"root": Path()}, "fixed split"),
        ({"scales": 4}, "Extra inputs"),
        ({"degradation": {"blur_sigma": -1.0}}, "greater than or equal to 0"),
    ],
)
def test_bad_options(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SuperResolutionData.model_validate(fields)


def test_benchmark_layout() -> None:
    given = os.environ.get("DENSEDISTILL_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (root / "sr" / "Set5").is_dir():
        pytest.skip(f"no super-resolution data below {root}: set DENSEDISTILL_DATA")
    data = load_super_resolution(SuperResolutionData(name="folder", root=root, limit=6))
    assert list(data.tests) == ["set5", "b100"]
    assert list(data.tests["set5"].ids) == ["baby", "bird", "butterfly", "head", "woman"]
    (first, *_) = data.tests["b100"].batches(1, device=CPU)
    assert first["input"].shape == (1, 3, 120, 80)
    assert first["target"].shape == (1, 3, 480, 320)
    assert any("published for set5, b100" in note for note in data.notes)
    with pytest.raises(DataError, match="test set 'b100'"):
        load_super_resolution(
            SuperResolutionData(name="folder", root=root, train=("bsds500/images/val",), tests=("b100",))
        )
