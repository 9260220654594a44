"""Sets of many images on disk: made alike, reused, refused where there is no room; and what they cost."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from densedistill.datasets.imagefolder import read_imagefolder
from densedistill.distill.errors import RequestError
from densedistill.tools import benchmark_folder
from densedistill.tools.benchmark_dataset import _parts, dataset_table, measure_point, on_disk, require_labelled
from densedistill.tools.benchmark_folder import image_folder
from densedistill.tools.benchmark_request import BenchmarkRequest, Rounds
from densedistill.tools.benchmark_workload import prepare

SMALL = BenchmarkRequest(
    task="cls",
    teacher="cifar/resnet8",
    student="cifar/resnet8",
    image_size=16,
    batch_size=4,
    classes=5,
    workers=0,
    compile=False,
    device="cpu",
)


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_folder, "_DISTINCT", 7)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_holds_the_images_asked_for(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, images=23, size=12, classes=5)
    found = read_imagefolder(folder)
    assert (len(found.train), len(found.tests["imagefolder"]), len(found.classes)) == (23, 5, 5)
    with Image.open(folder / "train" / "class-0002" / "0000002.jpg") as image:
        assert image.size == (12, 12)
    assert contents(folder) == contents(image_folder(tmp_path / "again", images=23, size=12, classes=5))


def test_a_folder_is_reused_and_a_half_made_one_is_finished(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, images=12, size=12, classes=3)
    before = contents(folder)
    inodes = {path: path.stat().st_ino for path in folder.rglob("*.jpg")}
    os.utime(folder / "set.json", (1, 1))
    image_folder(tmp_path, images=12, size=12, classes=3)
    assert (folder / "set.json").stat().st_mtime == 1

    (folder / "set.json").unlink()
    next(iter(inodes)).write_bytes(b"torn")
    image_folder(tmp_path, images=12, size=12, classes=3)
    assert contents(folder) == before


def test_no_room_is_known_before_the_first_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(f_frsize=4096, f_bavail=10, f_files=1000, f_favail=1000)
    monkeypatch.setattr(benchmark_folder.os, "statvfs", lambda _folder: disk)
    with pytest.raises(RequestError, match=r"24 images need up to 0\.0 GiB, but 0\.0 GiB are free"):
        image_folder(tmp_path, images=20, size=12, classes=4)
    disk.f_bavail, disk.f_favail = 1000, 23
    with pytest.raises(RequestError, match="24 images need as many file entries, but 23 are free"):
        image_folder(tmp_path, images=20, size=12, classes=4)
    assert not list(tmp_path.rglob("*.jpg"))


def test_wrong_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="a set of 9 images is too small for 5 classes: give 10 or more"):
        image_folder(tmp_path, images=9, size=12, classes=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be used"):
        image_folder(tmp_path / "file", images=10, size=12, classes=5)
    edges = BenchmarkRequest(task="edges", images=2, image_size=32, device="cpu")
    with pytest.raises(RequestError, match="task 'edges' has none"):
        require_labelled(prepare(edges))


def test_a_point_is_measured_on_images_from_disk(tmp_path: Path) -> None:
    request = on_disk(SMALL, image_folder(tmp_path, images=40, size=16, classes=5))
    point = measure_point(request, Rounds(rounds=1, steps=3, warmup=1), 40)
    assert point.value == 40
    assert point.images_per_second == pytest.approx(4 / point.seconds_per_step)
    assert point.loader_images_per_second > 0
    assert 50 < point.peak_memory_mb < 10_000
    table = dataset_table({"points": [{field: getattr(point, field) for field in point.__dataclass_fields__}]})
    assert table.row_count == 1


@pytest.mark.parametrize("count", [1, 3, 10, 2001])
def test_parts_add_up(count: int) -> None:
    parts = list(_parts(count))
    assert sum(parts) == count
    assert min(parts) >= 1
    assert len(parts) <= 10
