"""Segmentation data: class masks as they are stored, how many classes there are, collages' shapes, and bad masks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets import collage
from densedistill.datasets.base import BatchPlan, DataError, TaskData
from densedistill.datasets.collage import MATERIALS, make_collages
from densedistill.datasets.collage_shapes import SHAPES
from densedistill.datasets.photos import Role
from densedistill.datasets.pixels import read_labels
from densedistill.datasets.segmentation import SegmentationData, load_segmentation, load_segmentation_tests

CPU = torch.device("cpu")


def options(root: Path | None, **changes: object) -> SegmentationData:
    return SegmentationData.model_validate(
        {"name": "pairs", "root": root, "size": 16, "val_size": 2, "workers": 0, **changes}
    )


def folder(root: Path, largest: int = 3, count: int = 8, size: tuple[int, int] = (20, 24)) -> Path:
    """Images whose red channel is 10 times the class of the pixel; one corner has none."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for place in range(count):
        labels = rng.integers(0, largest + 1, size, dtype=np.uint8)
        labels[0, 0] = largest
        image = np.zeros((*size, 3), np.uint8)
        image[..., 0] = labels * 10
        labels[-2:, -2:] = 255
        Image.fromarray(image).save(root / f"images/{place:02d}.png")
        Image.fromarray(labels).save(root / f"masks/{place:02d}.png")
    return root


def red(data: TaskData, inputs: torch.Tensor) -> torch.Tensor:
    """Classes as `folder` painted them into the images."""
    return ((inputs[:, 0] * data.input_std[0] + data.input_mean[0]) * 25.5).round().long()


def test_classes_are_counted_and_masks_stay_on_their_images(tmp_path: Path) -> None:
    data = load_segmentation(options(folder(tmp_path)))
    assert data.classes == ("0", "1", "2", "3")
    assert "4 classes (0 to 3, the largest number in the 4 training masks); 255 marks" in data.notes[0]
    plan = BatchPlan(np.arange(4).repeat(4), np.tile(np.arange(4), 4))
    (batch,) = data.train.batches([plan], seed=3, device=CPU)
    assert batch["target"].shape == (16, 16, 16)
    assert batch["target"].dtype == torch.int64
    labelled = batch["target"] != 255
    assert 0 < (~labelled).sum() < labelled.sum()
    assert torch.equal(red(data, batch["input"])[labelled], batch["target"][labelled])
    evaluated = list(data.val.batches(8, device=CPU))
    assert [tuple(batch["target"].shape) for batch in evaluated] == [(2, 20, 24)]
    for batch in evaluated:
        labelled = batch["target"] != 255
        assert torch.equal(red(data, batch["input"])[labelled], batch["target"][labelled])


@pytest.mark.parametrize("budget", [0, 64])
def test_test_images_alone_are_the_whole_folder(tmp_path: Path, budget: int) -> None:
    """Also where none fills a training view, and the masks show fewer classes than there are."""
    folder(tmp_path, largest=3, count=3, size=(12, 14))
    data = load_segmentation_tests(options(tmp_path, classes=6, memory_budget_mb=budget))
    assert data.classes == tuple("012345")
    (images,) = data.tests.values()
    (batch,) = images.batches(8, device=CPU)
    assert tuple(batch["target"].shape) == (3, 12, 14)
    labelled = batch["target"] != 255
    assert torch.equal(red(data, batch["input"])[labelled], batch["target"][labelled])
    assert len(load_segmentation_tests(options(tmp_path, classes=6, limit=2)).tests["pairs"].ids) == 2
    with pytest.raises(DataError, match="holds the class numbers"):
        load_segmentation_tests(options(tmp_path, classes=2))


def test_pixels_are_the_same_from_disk(tmp_path: Path) -> None:
    root = folder(tmp_path)
    held, read = (load_segmentation(options(root, memory_budget_mb=budget)) for budget in (64, 0))
    assert held.fingerprint == read.fingerprint
    plan = BatchPlan(np.arange(4), np.arange(4))
    for first, second in zip(
        [*held.train.batches([plan], seed=1, device=CPU), *held.val.batches(2, device=CPU)],
        [*read.train.batches([plan], seed=1, device=CPU), *read.val.batches(2, device=CPU)],
        strict=True,
    ):
        assert torch.equal(first["input"], second["input"])
        assert torch.equal(first["target"], second["target"])


def test_resized_masks_mix_no_classes(tmp_path: Path) -> None:
    data = load_segmentation(options(folder(tmp_path, largest=9), view="resize", flip=False))
    (batch,) = data.train.batches([BatchPlan(np.array([0]), np.array([0]))], seed=0, device=CPU)
    assert batch["target"].shape == (1, 16, 16)
    with Image.open(tmp_path / "masks" / f"{_first_of_train(data)}.png") as mask:
        expected = np.asarray(mask.resize((16, 16), Image.Resampling.NEAREST))
    assert np.array_equal(batch["target"][0].numpy(), expected)


def _first_of_train(data: TaskData) -> str:
    held_out = {*data.val.ids, *data.tests["pairs"].ids}
    return min({f"{place:02d}" for place in range(8)} - held_out)


def test_palettes_16_bits_and_equal_channels_are_class_numbers(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    palette = Image.fromarray(labels).convert("P")
    palette.putdata(labels.ravel().tolist())
    palette.putpalette([place * 7 % 256 for place in range(768)])
    kept = {
        "palette": palette,
        "wide": Image.fromarray(labels.astype(np.uint16)),
        "equal": Image.fromarray(np.repeat(labels[..., None], 3, axis=2)),
    }
    for name, image in kept.items():
        image.save(tmp_path / f"{name}.png")
        assert np.array_equal(read_labels(tmp_path / f"{name}.png"), labels), name
    Image.fromarray(labels > 0).save(tmp_path / "bits.png")
    assert read_labels(tmp_path / "bits.png").tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("mask", "suffix", "fault"),
    [
        (np.full((20, 24), 4, np.uint8), "png", r"masks/05.png holds the class numbers 4 and there are 4 classes"),
        (np.zeros((20, 25), np.uint8), "png", r"masks/05.png is 25x20 and its image .*05.png is 24x20"),
        (np.zeros((20, 24, 3), np.uint8) + np.arange(3, dtype=np.uint8), "png", "05.png holds colours"),
        (np.full((20, 24), 300, np.uint16), "png", "05.png holds numbers that are no classes"),
        (np.zeros((20, 24), np.uint8), "jpg", "05.jpg is a JPEG, which does not keep class numbers"),
    ],
)
def test_bad_masks_are_named(tmp_path: Path, mask: np.ndarray, suffix: str, fault: str) -> None:
    root = folder(tmp_path)
    (root / "masks/05.png").unlink()
    Image.fromarray(mask).save(root / f"masks/05.{suffix}")
    with pytest.raises(DataError, match=fault):
        load_segmentation(options(root, classes=4))


def test_a_class_that_training_does_not_know_is_named_with_its_mask(tmp_path: Path) -> None:
    root = folder(tmp_path)
    known = load_segmentation(options(root))
    stranger = known.val.ids[0]
    labels = np.zeros((20, 24), np.uint8)
    labels[3] = 7
    Image.fromarray(labels).save(root / f"masks/{stranger}.png")
    with pytest.raises(DataError, match=rf"{stranger}.png holds the class numbers 7 and there are 4 .* data.classes"):
        load_segmentation(options(root))
    told = load_segmentation(options(root, classes=8))
    assert len(told.classes) == 8
    assert "as given" in told.notes[0]


@pytest.mark.parametrize(("largest", "found"), [(0, "class 0 alone"), (255, "no class at all")])
def test_one_class_is_no_segmentation(tmp_path: Path, largest: int, found: str) -> None:
    root = folder(tmp_path, largest=1)
    for path in (root / "masks").iterdir():
        Image.fromarray(np.full((20, 24), largest, np.uint8)).save(path)
    with pytest.raises(DataError, match=f"the 4 training masks hold {found}: segmentation tells two classes or more"):
        load_segmentation(options(root))


def test_views_larger_than_every_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 4 training images is as large as a view of 32"):
        load_segmentation(options(folder(tmp_path), size=32))


def test_collages_know_the_shape_of_every_piece() -> None:
    made = make_collages("train", 12, 64, seed=1)
    assert ((made.shapes > 0) == (made.labels > 0)).all()
    for labels, shapes, textures in zip(made.labels, made.shapes, made.textures, strict=True):
        for label in np.unique(labels):
            assert len(np.unique(shapes[labels == label])) == 1
            assert len(np.unique(textures[labels == label])) == 1
    assert set(np.unique(made.shapes)) == set(range(1 + len(SHAPES)))
    assert set(np.unique(made.textures)) == set(range(len(made.photographs)))


def test_materials_are_known_to_every_part_and_no_pixel_is_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {}
    columns = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (60, 100, 3))
    monkeypatch.setattr(collage, "load_photo", lambda name: columns)
    roles: tuple[Role, ...] = ("train", "val", "test")
    for role in roles:
        used = seen.setdefault(role, set())
        monkeypatch.setattr(collage, "cut_texture", functools.partial(_noted, used))
        assert make_collages(role, 2, 32, seed=0, materials=True).photographs == MATERIALS
    assert (seen["train"], seen["val"], seen["test"]) == (set(range(60)), set(range(60, 80)), set(range(80, 100)))


def _noted(used: set[int], _rng: object, photo: np.ndarray, size: int) -> np.ndarray:
    used.update(np.unique(photo).tolist())
    return np.zeros((3, size, size))


@pytest.mark.parametrize(("labels", "classes"), [("material", MATERIALS), ("shape", ("background", *SHAPES))])
def test_collages_are_whole(labels: Literal["material", "shape"], classes: tuple[str, ...]) -> None:
    data = load_segmentation(
        SegmentationData(collage_labels=labels, collage_size=64, size=128, collages=(6, 3, 3), flip=False)
    )
    assert data.embedded
    assert data.classes == classes
    (batch,) = data.train.batches([BatchPlan(np.arange(6), np.zeros(6, np.int64))], seed=0, device=CPU)
    assert batch["target"].shape == (6, 64, 64)
    made = make_collages("train", 6, 64, seed=0, materials=labels == "material")
    assert np.array_equal(batch["target"].numpy(), made.textures if labels == "material" else made.shapes)
    assert [len(part.ids) for part in (data.val, data.tests["collage"])] == [3, 3]
