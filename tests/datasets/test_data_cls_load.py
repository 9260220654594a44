"""What `load_classification` hands to the engine: splits, fingerprints, held pixels and worker processes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter
from densedistill.datasets.base import Batch, BatchPlan, DataError, TaskData
from densedistill.datasets.classification import (
    ClassificationData,
    Mixing,
    load_classification,
)
from densedistill.datasets.erasing import RandomErasing
from densedistill.datasets.labelled import first_per_class, hold_out_per_class
from densedistill.datasets.memory import MemoryTrainSet
from densedistill.datasets.normalisation import measure
from densedistill.datasets.photo_crops import CROP, GAP, TILE, tiles
from densedistill.datasets.photos import load_photo, photo_names
from densedistill.datasets.workers import WorkerEvalSet, WorkerTrainSet

CPU = torch.device("cpu")
JITTER = ClassificationAugmentation(crop_padding=2, color_jitter=ColorJitter(), mixup=Mixing(beta=0.8), cutmix=Mixing())
# Since Python 3.12 a fork beside running threads warns; a DataLoader forks by design.
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 12 + 8 training images and 3 test images of each, of noise, in two shapes."""
    root = tmp_path_factory.mktemp("classes")
    generator = np.random.default_rng(0)
    for part, counts in {"train": (12, 8), "test": (3, 3)}.items():
        for name, count in zip(("cat", "dog"), counts, strict=True):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                shape = (20, 24, 3) if number % 2 else (18, 16, 3)
                pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number:02d}.png")
    return root


def load(root: Path, **options: object) -> TaskData:
    settings = {"name": "imagefolder", "root": root, "input_size": 16, "val_size": 4, "workers": 0} | options
    return load_classification(ClassificationData.model_validate(settings))


def plan_of(images: list[int], view: int = 0) -> BatchPlan:
    return BatchPlan(np.array(images), np.full(len(images), view))


def same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_hold_out_keeps_class_shares_and_nothing_overlaps() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    kept, held = hold_out_per_class(labels, 0.2, seed=0)
    assert np.bincount(labels[held]).tolist() == [12, 6, 2]
    assert sorted([*kept, *held]) == list(range(100))
    again = hold_out_per_class(labels, 20, seed=0)
    np.testing.assert_array_equal(held, again[1])
    assert not np.array_equal(held, hold_out_per_class(labels, 20, seed=1)[1])


def test_hold_out_deals_remainders_to_the_largest() -> None:
    labels = np.repeat([0, 1, 2], [5, 4, 1])
    _, held = hold_out_per_class(labels, 3, seed=0)  # 1.5, 1.2 and 0.3 of each class
    assert np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("size", [10, 11, 0.01, 1.0])
def test_hold_out_refuses_to_take_all_or_nothing(size: float) -> None:
    with pytest.raises(DataError, match="val_size"):
        hold_out_per_class(np.zeros(10, dtype=np.int64), size, seed=0)


def test_limit_keeps_at_most_so_many_of_each_class() -> None:
    labels = np.array([0] * 9 + [1] * 2)
    places = first_per_class(labels, 3, seed=0)
    assert np.bincount(labels[places]).tolist() == [3, 2]


def test_split_of_a_folder(folder: Path) -> None:
    data = load(folder)
    assert len(data.train) == 16
    assert len(data.val.ids) == 4
    assert [len(test.ids) for test in data.tests.values()] == [6]
    assert data.classes == ("cat", "dog")
    assert any("4 training images held out" in note for note in data.notes)
    assert len(load(folder, limit=2).train) == 4


def test_fingerprint_follows_the_split_and_not_the_recipe(folder: Path) -> None:
    base = load(folder).fingerprint
    assert base.startswith("sha256:")
    assert base == load(folder, augmentation=JITTER, memory_budget_mb=0).fingerprint
    changed = [load(folder, split_seed=1), load(folder, val_size=5), load(folder, limit=3)]
    assert len({base, *(data.fingerprint for data in changed)}) == 4


def test_batches_are_normalised_pixels(folder: Path) -> None:
    plain = ClassificationAugmentation(crop_padding=0, flip=False)
    data = load(folder, augmentation=plain)
    assert isinstance(data.train, MemoryTrainSet)
    (batch,) = data.train.batches([plan_of([3, 0, 15])], seed=0, device=CPU)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (data.input_mean, data.input_std))
    torch.testing.assert_close(batch["input"] * std + mean, data.train.pixels[[3, 0, 15]] / 255)
    assert batch["index"].tolist() == [3, 0, 15]
    assert batch["target"].tolist() == [0, 0, 1]
    assert set(batch) == {"input", "target", "index"}


def test_eval_covers_the_set_in_order(folder: Path) -> None:
    test = load(folder).tests["imagefolder"]
    batches = list(test.batches(4, device=CPU))
    assert [len(batch["index"]) for batch in batches] == [4, 2]
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(6))
    assert torch.cat([batch["target"] for batch in batches]).tolist() == [0, 0, 0, 1, 1, 1]
    assert test.ids[3] == "test/dog/00.png"


@forks
def test_workers_read_the_same_evaluation_images_as_memory(folder: Path) -> None:
    held, streamed = load(folder), load(folder, memory_budget_mb=0, workers=2)
    assert isinstance(streamed.val, WorkerEvalSet)
    for ours, theirs in [(held.val, streamed.val), (held.tests["imagefolder"], streamed.tests["imagefolder"])]:
        assert ours.ids == theirs.ids
        pairs = zip(ours.batches(4, device=CPU), theirs.batches(4, device=CPU), strict=True)
        assert all(same(first, second) for first, second in pairs)


@forks
@pytest.mark.parametrize("budget", [0, 64])
def test_batches_are_a_pure_function_of_plan_and_seed(folder: Path, budget: int) -> None:
    data = load(folder, augmentation=JITTER, memory_budget_mb=budget)
    plans = [plan_of([0, 5, 9, 12], view=view) for view in range(3)]
    first = list(data.train.batches(plans, seed=1, device=CPU))
    assert not torch.equal(first[0]["input"], first[1]["input"])
    (alone,) = data.train.batches(plans[2:], seed=1, device=CPU)
    assert same(alone, first[2])
    (other,) = data.train.batches(plans[2:], seed=2, device=CPU)
    assert not torch.equal(other["input"], first[2]["input"])
    if budget == 0:
        again = load(folder, augmentation=JITTER, memory_budget_mb=budget, workers=2)
        assert isinstance(again.train, WorkerTrainSet)
        repeated = again.train.batches(plans, seed=1, device=CPU)
        assert all(same(batch, other) for batch, other in zip(first, repeated, strict=True))


def test_worker_views_do_not_depend_on_their_batch(folder: Path) -> None:
    jitter = ClassificationAugmentation(crop_padding=2, color_jitter=ColorJitter())
    data = load(folder, augmentation=jitter, memory_budget_mb=0)
    (together,) = data.train.batches([plan_of([2, 7, 11], view=5)], seed=0, device=CPU)
    (alone,) = data.train.batches([plan_of([11], view=5)], seed=0, device=CPU)
    assert torch.equal(together["input"][2], alone["input"][0])


@forks
@pytest.mark.parametrize("named", [False, True])
def test_worker_views_are_those_of_memory(folder: Path, named: bool) -> None:
    """Every operation on, mixed by batch and by view."""
    everything = JITTER.model_copy(update={"auto_augment": "cifar10", "random_erasing": RandomErasing()})
    held = load(folder, augmentation=everything)
    streamed = load(folder, augmentation=everything, memory_budget_mb=0, workers=1)
    assert isinstance(streamed.train, WorkerTrainSet)
    plans = [BatchPlan(np.arange(16), np.full(16, view), named) for view in range(2)]
    pairs = zip(*(data.train.batches(plans, seed=1, device=CPU) for data in (held, streamed)), strict=True)
    assert all(same(first, second) for first, second in pairs)


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_by_workers_too(folder: Path, tmp_path: Path, workers: int) -> None:
    for path in folder.rglob("*.png"):
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    data = load(tmp_path, memory_budget_mb=0, workers=workers)
    broken = tmp_path / "test" / "dog" / "01.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"^cannot decode \S*01.png: the image is truncated[^\n]*$"):
        list(data.tests["imagefolder"].batches(6, device=CPU))
    with pytest.raises(DataError, match=r"^cannot decode \S*01.png"):
        load(tmp_path)


def test_measured_statistics() -> None:
    pixels = torch.randint(0, 256, (50, 3, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, 1] //= 3
    result = measure(pixels)
    scaled = pixels.double() / 255
    assert result.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert result.std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist(), abs=1e-4)


def test_unknown_name_and_missing_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"unknown classification data 'cifar_100'. Did you mean 'cifar100'"):
        load_classification(ClassificationData(name="cifar_100"))
    monkeypatch.delenv("DENSEDISTILL_DATA", raising=False)
    with pytest.raises(DataError, match=r"'cifar10' needs a root"):
        load_classification(ClassificationData(name="cifar10"))
    with pytest.raises(DataError, match=r"the data root \S*nowhere for 'cifar10' is not a folder"):
        load_classification(ClassificationData(name="cifar10", root=tmp_path / "nowhere"))
    monkeypatch.setenv("DENSEDISTILL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=rf"tiny-imagenet is not under {tmp_path}"):
        load_classification(ClassificationData(name="tiny-imagenet"))


def test_options_refuse_typos_and_nonsense() -> None:
    for bad in ({"nam": "cifar10"}, {"limit": 0}, {"input_size": 2}, {"val_size": 0}, {"workers": -1}):
        with pytest.raises(ValidationError):
            ClassificationData.model_validate(bad)
    assert ClassificationData(val_size=5).val_size == 5
    assert isinstance(ClassificationData(val_size=5).val_size, int)


def test_tiles_of_a_photograph_share_no_pixel() -> None:
    parts = tiles(300, 451, seed=0, photograph=2)
    corners = np.concatenate(list(parts.values()))
    assert len(corners) == 5 * 8  # at multiples of 56 up to 252 and 403
    assert [len(parts[part]) for part in ("val", "test", "train")] == [6, 10, 24]
    distances = np.abs(corners[:, None] - corners[None]).max(axis=-1)
    assert distances[~np.eye(len(corners), dtype=bool)].min() == TILE + GAP
    assert corners.min() >= 0
    assert (corners.max(axis=0) + TILE <= (300, 451)).all()


def test_photo_crops_come_from_their_photograph_and_part() -> None:
    data = load_classification(ClassificationData(input_size=CROP))
    assert data.embedded
    assert data.classes == photo_names()
    test = data.tests["photo-crops"]
    (batch,) = list(test.batches(len(test.ids), device=CPU))
    place = test.ids.index("coffee-test-007")
    assert data.classes[batch["target"][place]] == "coffee"
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.input_mean, data.input_std))
    crop = ((batch["input"][place] * std + mean) * 255).round().byte()
    photo = torch.from_numpy(load_photo("coffee").copy()).permute(2, 0, 1)
    corners = tiles(photo.shape[1], photo.shape[2], seed=0, photograph=data.classes.index("coffee"))["test"]
    found = [
        torch.equal(photo[:, top + dy : top + dy + CROP, left + dx : left + dx + CROP], crop)
        for top, left in corners
        for dy in range(TILE - CROP + 1)
        for dx in range(TILE - CROP + 1)
    ]
    assert any(found)


def test_photo_crops_repeat_and_follow_the_split_seed() -> None:
    first, again, other = (load_classification(ClassificationData(split_seed=seed)) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    with pytest.raises(DataError, match="validation part of its own"):
        load_classification(ClassificationData(val_size=10))


def real_data() -> Path:
    root = Path(os.environ.get("DENSEDISTILL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not root.is_dir():
        pytest.skip("no real data: set DENSEDISTILL_DATA")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classes", "first"),
    [("tiny-imagenet", 100, "goldfish, Carassius auratus"), ("cifar10", 10, "airplane")],
)
def test_real_data(name: str, classes: int, first: str) -> None:
    plain = ClassificationAugmentation(crop_padding=0)
    data = load_classification(
        ClassificationData(name=name, root=real_data(), limit=20, val_size=1000, augmentation=plain)
    )
    assert len(data.classes) == classes
    assert data.classes[0] == first
    assert len(data.train) == 20 * classes
    (batch,) = data.train.batches([plan_of(list(range(len(data.train))))], seed=0, device=CPU)
    assert torch.bincount(batch["target"]).tolist() == [20] * classes
    assert batch["input"].mean((0, 2, 3)).abs().max() < 0.15
    assert batch["input"].std((0, 2, 3)).sub(1).abs().max() < 0.15
