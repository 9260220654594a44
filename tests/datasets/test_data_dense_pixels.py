"""Reading image files, random views and hold-outs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from densedistill.datasets.base import BatchPlan, DataError
from densedistill.datasets.dense import DenseEval, DenseTrain, turned
from densedistill.datasets.holdout import fingerprint, hold_out
from densedistill.datasets.pixels import by_stem, image_files, image_size, read_mask, read_rgb, read_upright

CPU = torch.device("cpu")


def test_modes_follow_one_rule(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 200).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "palette.png"):
        np.testing.assert_array_equal(read_rgb(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    assert read_rgb(tmp_path / "clear.png").tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, 2)), (3, (1, 2)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (8, (2, 0))],
)
def test_orientation_is_applied_only_where_it_is_asked_for(
    tmp_path: Path, orientation: int, corner: tuple[int, int]
) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "photo.png"), pixels)
    upright, turned = read_upright(tmp_path / "photo.png")
    assert turned == (orientation != 1)
    assert upright.shape == ((2, 3, 3) if orientation < 5 else (3, 2, 3))
    assert np.argwhere(upright[..., 0]).tolist() == [list(corner)]


def test_masks_of_ones_and_of_255_are_the_same(tmp_path: Path) -> None:
    mask = np.eye(4, dtype=np.uint8)
    for name, pixels in (("one.png", mask), ("full.png", mask * 255)):
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(read_mask(tmp_path / name), mask * 255)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=f"cut.{suffix}"):
        read_rgb(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png"):
        image_size(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"there is no image .*absent\.png"):
        read_rgb(tmp_path / "absent.png")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="floating-point"):
        read_rgb(tmp_path / "float.tif")


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    """Pillow raises ValueError for it."""
    (tmp_path / "bad.ppm").write_bytes(b"P6 x2 4 255\n" + bytes(24))
    for read in (read_rgb, read_upright, read_mask, image_size):
        with pytest.raises(DataError, match=r"cannot read the image .*bad\.ppm: .*; replace or remove"):
            read(tmp_path / "bad.ppm")


def test_a_long_history_in_a_png_s_text_is_passed_over(tmp_path: Path) -> None:
    """Editors write megabytes of it; Pillow refuses one of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "edited, " * 400_000, zip=True)
    Image.fromarray(pixels).save(tmp_path / "edited.png", pnginfo=text)
    np.testing.assert_array_equal(read_rgb(tmp_path / "edited.png"), pixels)


def test_names_must_differ_in_more_than_the_suffix(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        Image.new("L", (2, 2)).save(tmp_path / name)
    with pytest.raises(DataError, match="same name"):
        by_stem(image_files(tmp_path))


def _coordinates(height: int, width: int, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """An input whose channels are its own coordinates, and the target that repeats each pixel scale x scale times."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    planes = np.stack([rows, columns, rows * 0]).astype(np.uint8)
    return planes, planes.repeat(scale, axis=1).repeat(scale, axis=2)


@pytest.mark.parametrize("scale", [1, 3])
def test_views_of_input_and_target_are_aligned(scale: int) -> None:
    pairs = [_coordinates(20, 30, scale), _coordinates(17, 12, scale)]
    train = DenseTrain(
        inputs=[low for low, _ in pairs],
        targets=[high for _, high in pairs],
        crop=8,
        scale=scale,
        symmetry="dihedral",
    )
    plan = BatchPlan(np.arange(64) % 2, np.arange(64))
    (batch,) = train.batches([plan], seed=3, device=CPU)
    expected = batch["input"].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    torch.testing.assert_close(batch["target"], expected, rtol=0, atol=0)
    assert batch["index"].tolist() == plan.images.tolist()
    corners = (batch["input"][:, :2].amin(dim=(2, 3)) * 255).round()
    assert corners[::2].amax(dim=0).tolist() == [12.0, 22.0], "crops must reach the far border"
    assert corners.amin(dim=0).tolist() == [0.0, 0.0]


def test_a_view_depends_on_its_plan_alone() -> None:
    low, high = _coordinates(40, 40, 2)
    train = DenseTrain(inputs=[low] * 4, targets=[high] * 4, crop=16, scale=2, symmetry="dihedral")
    (together,) = train.batches([BatchPlan(np.array([0, 1, 2]), np.array([5, 6, 7]))], seed=1, device=CPU)
    (alone,) = train.batches([BatchPlan(np.array([2]), np.array([7]))], seed=1, device=CPU)
    (other,) = train.batches([BatchPlan(np.array([2]), np.array([7]))], seed=2, device=CPU)
    torch.testing.assert_close(together["input"][2:], alone["input"], rtol=0, atol=0)
    assert not torch.equal(alone["input"], other["input"])


def test_the_eight_turns_differ_and_flip_is_left_right() -> None:
    view = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    assert len({turned(view, turn).tobytes() for turn in range(8)}) == 8
    np.testing.assert_array_equal(turned(view, 4)[0], np.fliplr(view[0]))
    np.testing.assert_array_equal(turned(view, 1)[0], np.rot90(view[0]))


def test_flip_uses_two_views_only() -> None:
    low, _ = _coordinates(8, 8, 1)
    train = DenseTrain(inputs=[low], targets=[low], crop=8, symmetry="flip")
    (batch,) = train.batches([BatchPlan(np.zeros(50, np.int64), np.arange(50))], seed=0, device=CPU)
    seen = {view.numpy().tobytes() for view in batch["input"]}
    allowed = {(planes / np.float32(255)).tobytes() for planes in (low, np.ascontiguousarray(low[:, :, ::-1]))}
    assert seen == allowed


def test_normalisation_by_hand() -> None:
    image = np.full((3, 4, 4), 51, np.uint8)
    evaluation = DenseEval(ids=["a"], inputs=[image], targets=[image[:1]], mean=(0.1,) * 3, std=(0.5,) * 3)
    (batch,) = evaluation.batches(8, device=CPU)
    torch.testing.assert_close(batch["input"], torch.full((1, 3, 4, 4), 0.2))
    torch.testing.assert_close(batch["target"], torch.full((1, 1, 4, 4), 0.2))


@pytest.mark.parametrize(
    ("batch_size", "max_batch", "sizes"), [(2, None, [2, 1, 2, 1]), (9, None, [3, 2, 1]), (9, 1, [1] * 6)]
)
def test_evaluation_batches_have_one_shape(batch_size: int, max_batch: int | None, sizes: list[int]) -> None:
    images = [np.zeros((3, *shape), np.uint8) for shape in [(4, 6)] * 3 + [(6, 4)] * 2 + [(4, 6)]]
    evaluation = DenseEval(ids=[str(place) for place in range(6)], inputs=images, targets=images, max_batch=max_batch)
    batches = list(evaluation.batches(batch_size, device=CPU))
    assert [len(batch["index"]) for batch in batches] == sizes
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(6))


def test_mismatched_targets_are_refused() -> None:
    image = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="not 2 times"):
        DenseTrain(inputs=[image], targets=[image], crop=4, scale=2)
    with pytest.raises(ValueError, match="smaller than a view"):
        DenseTrain(inputs=[image], targets=[image], crop=9)


def test_hold_out_splits_once_and_for_all() -> None:
    items = list(range(40))
    kept, held = hold_out(items, 10, 0, stream="val")
    assert sorted(kept + held) == items
    assert len(held) == 10
    assert hold_out(items, 10, 0, stream="val") == (kept, held)
    assert hold_out(items, 10, 1, stream="val")[1] != held
    assert hold_out(items, 10, 0, stream="test")[1] != held
    with pytest.raises(DataError, match="cannot hold 40 of 40"):
        hold_out(items, 40, 0, stream="val")


def test_fingerprint_sees_every_change() -> None:
    parts = {"train": [("a", b"1"), ("b", b"2")], "val": [("c", b"3")]}
    changed = [
        {"train": [("a", b"1"), ("b", b"9")], "val": [("c", b"3")]},
        {"train": [("a", b"1")], "val": [("b", b"2"), ("c", b"3")]},
        {"train": [("b", b"2"), ("a", b"1")], "val": [("c", b"3")]},
        {"train": [("a", b"1"), ("b2", b"")], "val": [("c", b"3")]},
    ]
    marks = {fingerprint(variant) for variant in [parts, *changed]}
    assert len(marks) == 5
    assert fingerprint(parts).startswith("sha256:")
