"""Dense pairs that stay on disk: the pixels of pairs in memory, from worker processes, with bounded memory."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from densedistill.datasets.base import Batch, BatchPlan, DataError, EvalSet, TaskData
from densedistill.datasets.dense import DenseEval, DenseTrain, Frame, turned
from densedistill.datasets.dense_degradation import degrade_window
from densedistill.datasets.dense_edges import EdgeFiles
from densedistill.datasets.dense_files import annotated_file
from densedistill.datasets.dense_pairs import held
from densedistill.datasets.dense_sr import SuperResolutionFiles, super_resolution_files
from densedistill.datasets.dense_workers import DenseWorkerEval, DenseWorkerTrain, square_symmetry
from densedistill.datasets.edges import EdgeData, load_edges
from densedistill.datasets.sr_degradation import Degradation, degrade
from densedistill.datasets.sr_sources import HrImage
from densedistill.datasets.super_resolution import (
    SuperResolutionData,
    load_super_resolution,
    super_resolution_tests,
)

CPU = torch.device("cpu")
# Since Python 3.12 a fork beside running threads warns; a DataLoader forks by design.
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def _noise(path: Path, shape: tuple[int, ...], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Few levels: sums that lie exactly between two grey levels are frequent.
    pixels = np.random.default_rng(seed).choice(np.array([0, 1, 2, 128, 254, 255], np.uint8), shape)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine training images and three for test, of two shapes; the test images' inputs at scale 4 are published."""
    root = tmp_path_factory.mktemp("photos")
    for place in range(9):
        _noise(root / "train" / f"{place}.png", (45, 52, 3) if place % 2 else (40, 38, 3), place)
    for place in range(3):
        _noise(root / "test" / "HR" / f"{place}.png", (33, 41, 3), 20 + place)
        _noise(root / "test" / "LR_x4" / f"{place}.png", (8, 10, 3), 30 + place)
    return root


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of two shapes in one pool."""
    root = tmp_path_factory.mktemp("masks")
    for place in range(12):
        shape = (32, 40) if place % 2 else (36, 30)
        _noise(root / "images" / f"{place:02d}.png", (*shape, 3), place)
        _noise(root / "masks" / f"{place:02d}.png", shape, 50 + place)
    return root


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BSDS500 in miniature: two images a part, three annotators."""
    root = tmp_path_factory.mktemp("bsds") / "bsds500"
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        (root / "groundTruth" / part).mkdir(parents=True)
        for name, shape in (("11", (40, 24)), ("12", (24, 40))):
            _noise(root / "images" / part / f"{name}.png", (*shape, 3), int(name))
            cell = np.empty((1, 3), object)
            for place in range(3):
                drawn = rng.random(shape) < 0.2
                cell[0, place] = {"Segmentation": drawn.astype(np.uint16), "Boundaries": drawn}
            savemat(root / "groundTruth" / part / f"{name}.mat", {"groundTruth": cell})
    return root.parent


def _photos(root: Path, **changes: object) -> TaskData:
    fields = {"name": "folder", "root": root, "hr_patch": 24, "workers": 0} | changes
    return load_super_resolution(SuperResolutionData.model_validate(fields))


def _edges(name: str, root: Path, **changes: object) -> TaskData:
    return load_edges(EdgeData.model_validate({"name": name, "root": root, "size": 24, "workers": 0} | changes))


def _plans(count: int, batches: int = 3) -> list[BatchPlan]:
    return [BatchPlan(np.arange(6) % count, np.arange(6) + 6 * number) for number in range(batches)]


def _same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def _assert_same_data(held_data: TaskData, disk: TaskData) -> None:
    """Equal splits, fingerprints and pixels, of views and of whole images."""
    assert isinstance(held_data.train, DenseTrain)
    assert isinstance(disk.train, DenseWorkerTrain)
    assert disk.fingerprint == held_data.fingerprint
    plans = _plans(len(held_data.train))
    views = zip(
        held_data.train.batches(plans, seed=7, device=CPU), disk.train.batches(plans, seed=7, device=CPU), strict=True
    )
    assert all(_same(first, second) for first, second in views)
    for ours, theirs in [(held_data.val, disk.val), *zip(held_data.tests.values(), disk.tests.values(), strict=True)]:
        assert isinstance(ours, DenseEval)
        assert isinstance(theirs, DenseWorkerEval)
        assert list(theirs.ids) == list(ours.ids)
        wholes = zip(ours.batches(2, device=CPU), theirs.batches(2, device=CPU), strict=True)
        assert all(_same(first, second) for first, second in wholes)


@pytest.mark.parametrize("sigma", [0.0, 1.3, 3.0])
@pytest.mark.parametrize("scale", [2, 3, 4, 7])
def test_a_degraded_window_is_a_window_of_the_degraded_image(scale: int, sigma: float) -> None:
    rng = np.random.default_rng(scale)
    pixels = rng.choice(np.array([0, 1, 2, 128, 254, 255], np.uint8), (26 * scale + 1, 33 * scale + scale - 1, 3))
    degradation = Degradation(blur_sigma=sigma)
    whole = degrade(pixels, scale, degradation)
    assert whole.shape == (26, 33, 3)
    for top, left in [(0, 0), (0, 28), (21, 0), (21, 28), (10, 14), (11, 13), (3, 24)]:
        window = degrade_window(pixels, top, left, 5, scale, degradation)
        np.testing.assert_array_equal(window, whole[top : top + 5, left : left + 5])


def test_a_windows_margin_is_needed() -> None:
    """Degrading the bare patch gives other pixels, so the equality above is not a matter of course."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    bare = degrade(pixels[16:48, 16:48], 4, Degradation())
    assert not np.array_equal(bare, degrade_window(pixels, 4, 4, 8, 4, Degradation()))


@pytest.mark.parametrize("channels", [1, 3])
def test_albumentations_turns_as_pairs_in_memory_are_turned(channels: int) -> None:
    planes = np.arange(channels * 25, dtype=np.uint8).reshape(channels, 5, 5)
    named = ["e", "r90", "r180", "r270", "h", "hvt", "v", "t"]
    for turn, name in enumerate(named):
        pixels = square_symmetry().apply(np.ascontiguousarray(planes.transpose(1, 2, 0)), group_element=name)
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), turned(planes, turn))


@pytest.mark.parametrize("changes", [{}, {"scale": 3}, {"degradation": {"blur_sigma": 1.2}}, {"augment": False}])
def test_super_resolution_from_disk_has_the_pixels_of_memory(photos: Path, changes: dict[str, object]) -> None:
    _assert_same_data(_photos(photos, **changes), _photos(photos, memory_budget_mb=0, **changes))


def test_a_windowed_benchmark_is_cropped_and_keeps_its_published_input(photos: Path) -> None:
    images = [
        HrImage(name="crop", path=photos / "train" / "1.png", crop=(41, 33)),
        HrImage(name="given", path=photos / "test/HR/0.png", low=photos / "test/LR_x4/0.png"),
    ]
    files = super_resolution_files(images, 4, Degradation())
    assert files.sizes == ((10, 8), (8, 10))
    for place in range(2):
        low, high = files.read(place)
        assert (low.shape[1:], high.shape[1:]) == (files.sizes[place], tuple(4 * side for side in files.sizes[place]))
        low_window, high_window = files.read_window(place, 2, 3, 5)
        np.testing.assert_array_equal(low_window, low[:, 2:7, 3:8])
        np.testing.assert_array_equal(high_window, high[:, 8:28, 12:32])
    published = np.asarray(Image.open(photos / "test/LR_x4/0.png"))
    np.testing.assert_array_equal(files.read(1)[0], published.transpose(2, 0, 1))


@pytest.mark.parametrize("changes", [{}, {"view": "resize"}, {"consensus": "soft"}, {"flip": False}])
def test_edges_from_disk_have_the_pixels_of_memory(masks: Path, annotated: Path, changes: dict[str, object]) -> None:
    for name, root in (("pairs", masks), ("bsds500", annotated)):
        _assert_same_data(_edges(name, root, **changes), _edges(name, root, memory_budget_mb=0, **changes))


@forks
def test_worker_processes_change_nothing(photos: Path, masks: Path) -> None:
    for alone, helped in [
        (_photos(photos, memory_budget_mb=0), _photos(photos, memory_budget_mb=0, workers=2)),
        (_edges("pairs", masks, memory_budget_mb=0), _edges("pairs", masks, memory_budget_mb=0, workers=2)),
    ]:
        plans = _plans(len(alone.train), batches=5)
        first = list(alone.train.batches(plans, seed=1, device=CPU))
        views = zip(first, helped.train.batches(plans, seed=1, device=CPU), strict=True)
        assert all(_same(ours, theirs) for ours, theirs in views)
        (again,) = helped.train.batches(plans[3:4], seed=1, device=CPU)
        (other,) = helped.train.batches(plans[3:4], seed=2, device=CPU)
        assert _same(again, first[3])
        assert not _same(other, first[3])
        wholes = zip(alone.val.batches(2, device=CPU), helped.val.batches(2, device=CPU), strict=True)
        assert all(_same(ours, theirs) for ours, theirs in wholes)


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_reading_from_disk_leaves_torchs_generator_alone(masks: Path, workers: int) -> None:
    """Dropout draws from it while batches are made: both must not depend on each other."""
    data = _edges("pairs", masks, memory_budget_mb=0, workers=workers)
    before = torch.get_rng_state()
    list(data.train.batches(_plans(len(data.train)), seed=0, device=CPU))
    list(data.val.batches(2, device=CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_budget_decides_from_headers(photos: Path) -> None:
    """Each input pixel costs 3 x (1 + scale^2) bytes: 9 + 3 images of known size."""
    files = super_resolution_files(
        [HrImage(name="a", path=photos / "train/1.png"), HrImage(name="b", path=photos / "train/2.png")],
        4,
        Degradation(),
    )
    assert files.held_bytes == 3 * 17 * (11 * 13 + 10 * 9)
    assert files.held_bytes == sum(
        planes.nbytes for kind in (held(files).inputs, held(files).targets) for planes in kind
    )
    assert isinstance(_photos(photos, memory_budget_mb=1).train, DenseTrain)


def test_edge_pixels_are_counted_as_they_are_held(masks: Path) -> None:
    files = [annotated_file("a", masks / "images/01.png", masks / "masks/01.png")]
    assert EdgeFiles(files=files, consensus="any").held_bytes == 4 * 32 * 40
    assert EdgeFiles(files=files, consensus="any", side=16).held_bytes == 4 * 16 * 16


def test_notes_say_where_the_images_are(photos: Path, masks: Path) -> None:
    for on_disk, in_memory in [
        (_photos(photos, memory_budget_mb=0), _photos(photos)),
        (_edges("pairs", masks, memory_budget_mb=0), _edges("pairs", masks)),
    ]:
        (note,) = [note for note in on_disk.notes if "read from disk" in note]
        assert "memory budget of 0 MiB" in note
        assert [other for other in on_disk.notes if other != note] == list(in_memory.notes)


def test_test_sets_alone_follow_the_budget_too(photos: Path) -> None:
    fields = {"name": "folder", "root": photos, "workers": 0}
    (in_memory,) = super_resolution_tests(SuperResolutionData.model_validate(fields)).values()
    (on_disk,) = super_resolution_tests(SuperResolutionData.model_validate(fields | {"memory_budget_mb": 0})).values()
    assert isinstance(on_disk, DenseWorkerEval)
    wholes = zip(in_memory.batches(1, device=CPU), on_disk.batches(1, device=CPU), strict=True)
    assert all(_same(ours, theirs) for ours, theirs in wholes)


def _peak(evaluation: EvalSet) -> int:
    tracemalloc.start()
    for _ in evaluation.batches(4, device=CPU):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    for place in range(120):
        _noise(tmp_path / "images" / f"{place:03d}.png", (64, 64, 3), place)
        _noise(tmp_path / "masks" / f"{place:03d}.png", (64, 64), place)
    tracemalloc.start()
    data = _edges("pairs", tmp_path, memory_budget_mb=0, val_size=40)
    loaded = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    pixels = 120 * 4 * 64 * 64
    assert loaded < pixels / 4
    assert _peak(data.val) < pixels / 4
    plans = [BatchPlan(np.arange(40), np.full(40, view)) for view in range(2)]
    assert sum(len(batch["index"]) for batch in data.train.batches(plans, seed=0, device=CPU)) == 80


def test_what_workers_get_travels(photos: Path, masks: Path) -> None:
    """A process that is spawned, not forked, receives the files pickled."""
    sr, edges = (
        data.train for data in (_photos(photos, memory_budget_mb=0), _edges("pairs", masks, memory_budget_mb=0))
    )
    for train in (sr, edges):
        assert isinstance(train, DenseWorkerTrain)
        packed = pickle.dumps(train.files)
        assert len(packed) < 20_000
        copy = pickle.loads(packed)
        assert isinstance(copy, SuperResolutionFiles | EdgeFiles)
        np.testing.assert_array_equal(copy.read_window(3, 1, 2, 4)[0], train.files.read_window(3, 1, 2, 4)[0])
    assert pickle.loads(pickle.dumps(Frame(1, 2, 3, 4))) == Frame(1, 2, 3, 4)


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_named(tmp_path: Path, workers: int) -> None:
    for place in range(6):
        _noise(tmp_path / "images" / f"{place}.png", (30, 30, 3), place)
        _noise(tmp_path / "masks" / f"{place}.png", (30, 30), place)
    data = _edges("pairs", tmp_path, memory_budget_mb=0, workers=workers)
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"^cannot read the image \S*\d\.png: [^\n]*$"):
        list(data.train.batches(_plans(len(data.train)), seed=0, device=CPU))
    with pytest.raises(DataError, match=r"^cannot read the image \S*\d\.png"):
        list(data.val.batches(4, device=CPU))


def test_a_mask_of_another_size_is_refused_before_training(masks: Path, annotated: Path, tmp_path: Path) -> None:
    mask = tmp_path / "odd.png"
    _noise(mask, (31, 40), 0)
    with pytest.raises(DataError, match=r"odd\.png is 40x31 and its image \S*01\.png is 40x32"):
        annotated_file("01", masks / "images/01.png", mask)
    annotation = annotated / "bsds500/groundTruth/val/12.mat"
    files = EdgeFiles(
        files=[annotated_file("11", annotated / "bsds500/images/val/11.png", annotation)], consensus="any"
    )
    with pytest.raises(DataError, match=r"12\.mat is 40x24 and its image \S*11\.png is 24x40"):
        files.read(0)


def test_views_larger_than_an_image_are_refused(masks: Path) -> None:
    files = EdgeFiles(files=[annotated_file("a", masks / "images/01.png", masks / "masks/01.png")], consensus="any")
    with pytest.raises(ValueError, match="image 0 of 32x40 is smaller than a view of 33"):
        DenseWorkerTrain(files=files, crop=33)


@pytest.mark.parametrize("options", [SuperResolutionData, EdgeData])
def test_bad_budgets_are_refused(options: type[SuperResolutionData | EdgeData]) -> None:
    for fields in ({"workers": -1}, {"memory_budget_mb": -1}):
        with pytest.raises(ValueError, match="greater than or equal to 0"):
            options.model_validate(fields)
