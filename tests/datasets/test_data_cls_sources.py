"""Every layout a classification data set may have on disk, made small, and every way it may be broken."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.archives import read_archive
from densedistill.datasets.base import DataError
from densedistill.datasets.cifar import read_cifar10, read_cifar100
from densedistill.datasets.decoding import decode, fit
from densedistill.datasets.imagefolder import read_imagefolder
from densedistill.datasets.labelled import ClassificationSource, LabelledImages
from densedistill.datasets.tiny_imagenet import read_tiny_imagenet

CIFAR10_CLASSES = ["airplane", "bird", "cat"]
WNIDS = ["n02", "n01"]


def encoded(colour: tuple[int, int, int] | int, suffix: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    stream = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(stream, suffix)
    return stream.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def pack(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "w:gz" if path.suffix == ".gz" else "w:xz"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def cifar10_pickles(protocol: int = 2) -> dict[str, bytes]:
    """Ten training images in five batches and two test images; image i is filled with the number i."""

    def batch(numbers: list[int]) -> bytes:
        rows = np.repeat(np.array(numbers, dtype=np.uint8)[:, None], 3072, axis=1)
        rows[:, 1024:2048] = 200  # green
        return pickle.dumps({"data": rows, "labels": [n % 3 for n in numbers]}, protocol=protocol)

    files = {f"data_batch_{n}": batch([2 * n - 2, 2 * n - 1]) for n in range(1, 6)}
    files["test_batch"] = batch([100, 101])
    files["batches.meta"] = pickle.dumps({"label_names": CIFAR10_CLASSES}, protocol=protocol)
    return files


def assert_is_small_cifar10(source: ClassificationSource) -> None:
    assert source.classes == tuple(CIFAR10_CLASSES)
    assert source.train.labels.tolist() == [n % 3 for n in range(10)]
    assert source.tests["cifar10"].labels.tolist() == [1, 2]
    image = source.train.images.read(7)
    assert image.shape == (3, 32, 32)
    assert [channel.unique().tolist() for channel in image] == [[7], [200], [7]]


def test_cifar10_folder_and_archive_hold_the_same(tmp_path: Path) -> None:
    for name, content in cifar10_pickles().items():
        write(tmp_path / "a" / "cifar-10-batches-py" / name, content)
    pack(
        tmp_path / "b" / "cifar-10-python.tar.gz",
        {f"cifar-10-batches-py/{name}": content for name, content in cifar10_pickles().items()},
    )
    sources = [
        read_cifar10(tmp_path / "a", False),
        read_cifar10(tmp_path / "a" / "cifar-10-batches-py", False),
        read_cifar10(tmp_path / "b", False),
    ]
    for source in sources:
        assert_is_small_cifar10(source)
    assert len({source.digest for source in sources}) == 1


def test_cifar100_uses_the_fine_labels(tmp_path: Path) -> None:
    rows = np.zeros((3, 3072), dtype=np.uint8)
    part = pickle.dumps({"data": rows, "fine_labels": [2, 0, 1], "coarse_labels": [0, 0, 0]}, protocol=2)
    meta = pickle.dumps({"fine_label_names": ["a", "b", "c"], "coarse_label_names": ["z"]}, protocol=2)
    for name, content in {"train": part, "test": part, "meta": meta}.items():
        write(tmp_path / "cifar-100-python" / name, content)
    source = read_cifar100(tmp_path, False)
    assert source.classes == ("a", "b", "c")
    assert source.train.labels.tolist() == [2, 0, 1]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched-by-a-pickle"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"data": Malicious(), "labels": []}, protocol=2), r"never do"),
        (cifar10_pickles()["data_batch_3"][:-2000], r"truncated"),
        (pickle.dumps([1, 2], protocol=2), r"list where CIFAR has a dictionary"),
        (pickle.dumps({"data": np.zeros((2, 10), np.uint8), "labels": [0, 1]}, 2), r"does not hold"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 7]}, 2), r"does not hold"),
    ],
)
def test_a_damaged_or_hostile_cifar_file_is_refused(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {**cifar10_pickles(), "data_batch_3": content}
    for name, blob in files.items():
        write(tmp_path / "cifar-10-batches-py" / name, blob)
    with pytest.raises(DataError, match=message):
        read_cifar10(tmp_path, False)
    assert not (tmp_path / "touched-by-a-pickle").exists()


def test_cifar10_as_jpeg_says_so(tmp_path: Path) -> None:
    for split in ("train", "test"):
        members = {
            f"{split}/{name}/{n:04d}.jpg": encoded((40 * place, 0, 0), "JPEG", (32, 32))
            for place, name in enumerate(CIFAR10_CLASSES)
            for n in range(2)
        }
        pack(tmp_path / "cifar10_jpeg" / f"{split}.tar.xz", members)
    source = read_cifar10(tmp_path, False)
    assert source.notes == ("JPEG re-encoding",)
    assert source.classes == tuple(CIFAR10_CLASSES)
    assert source.train.ids[:3] == ("airplane/0000", "airplane/0001", "bird/0000")
    assert source.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.train.images.read(5)[0].float().mean().item() == pytest.approx(80, abs=3)


def test_missing_cifar_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-100-python/, cifar-100-python.tar.gz .*download=true"):
        read_cifar100(tmp_path, False)


def official_tiny_imagenet(root: Path) -> Path:
    folder = root / "tiny-imagenet-200"
    write(folder / "wnids.txt", "\n".join(WNIDS).encode())
    write(folder / "words.txt", b"n01\tgoldfish\nn02\tbullfrog, frog\nn99\tunused")
    for wnid, level in zip(WNIDS, (50, 250), strict=True):
        for n in range(3):
            write(folder / "train" / wnid / "images" / f"{wnid}_{n}.JPEG", encoded(level, "JPEG", (64, 64)))
        write(folder / "train" / wnid / f"{wnid}_boxes.txt", b"boxes")
    write(folder / "val" / "val_annotations.txt", b"val_0.JPEG\tn01\t0\t0\t9\t9\nval_1.JPEG\tn02\t0\t0\t9\t9\n")
    for n, level in enumerate((251, 51)):
        write(folder / "val" / "images" / f"val_{n}.JPEG", encoded((level, 0, 0), "JPEG", (64, 64)))
    return folder


def test_official_tiny_imagenet(tmp_path: Path) -> None:
    folder = official_tiny_imagenet(tmp_path)
    source = read_tiny_imagenet(tmp_path)
    assert source.classes == ("bullfrog, frog", "goldfish")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    test = source.tests["tiny-imagenet"]
    assert test.labels.tolist() == [1, 0]
    assert test.ids == ("val/images/val_0.JPEG", "val/images/val_1.JPEG")
    gray = source.train.images.read(0)
    assert gray.shape == (3, 64, 64)
    assert gray.unique().tolist() == [50]
    assert "official validation part serves as test" in source.notes[0]
    assert read_tiny_imagenet(folder).digest == source.digest
    write(folder / "val" / "images" / "val_1.JPEG", encoded((9, 0, 0), "JPEG", (64, 64)))
    assert read_tiny_imagenet(tmp_path).digest != source.digest


def test_unknown_class_in_tiny_imagenets_annotations(tmp_path: Path) -> None:
    folder = official_tiny_imagenet(tmp_path)
    write(folder / "val" / "val_annotations.txt", b"val_0.JPEG\tn77\t0\t0\t9\t9\n")
    with pytest.raises(DataError, match=r"val_0.JPEG is of class 'n77', which is not among the 2"):
        read_tiny_imagenet(tmp_path)


def packed_tiny_imagenet(root: Path, val_class: str = "n01") -> Path:
    folder = root / "tiny_imagenet100"
    write(folder / "classes.tsv", b"0\tn02\tbullfrog\n1\tn01\tgoldfish\n")
    for part, wnid in enumerate(WNIDS, start=1):
        pack(
            folder / f"train_part{part}.tar.xz",
            {f"train/{wnid}/{wnid}_{n}.JPEG": encoded((60 * part, 0, 0), "JPEG", (64, 64)) for n in range(2)},
        )
    pack(folder / "val.tar.xz", {f"val/{val_class}/val_5.JPEG": encoded(77, "JPEG", (64, 64))})
    return folder


def test_packed_tiny_imagenet(tmp_path: Path) -> None:
    packed_tiny_imagenet(tmp_path)
    source = read_tiny_imagenet(tmp_path)
    assert source.classes == ("bullfrog", "goldfish")
    assert source.train.ids == ("n02/n02_0", "n02/n02_1", "n01/n01_0", "n01/n01_1")
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.tests["tiny-imagenet"].labels.tolist() == [1]
    assert source.tests["tiny-imagenet"].images.read(0).unique().tolist() == [77]


def test_packed_tiny_imagenet_with_an_unknown_class(tmp_path: Path) -> None:
    packed_tiny_imagenet(tmp_path, val_class="n33")
    with pytest.raises(DataError, match=r"val.tar.xz:val/n33/val_5.JPEG is of class 'n33'"):
        read_tiny_imagenet(tmp_path)


@pytest.mark.parametrize("suffix", ["xz", "gz"])
@pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
def test_a_truncated_archive_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    content = np.random.default_rng(0).bytes(20_000)
    path = pack(tmp_path / f"part.tar.{suffix}", {f"{n}.bin": content for n in range(3)})
    assert list(read_archive(path).members) == ["0.bin", "1.bin", "2.bin"]
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match=rf"part.tar.{suffix}.*truncated or damaged"):
        read_archive(path)


def test_archive_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = pack(tmp_path / "one.tar.xz", {"a": b"abc"})
    assert read_archive(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def image_folder(root: Path, *parts: str) -> Path:
    for part in parts:
        for place, name in enumerate(("cat", "dog")):
            for n in range(3):
                write(root / part / name / f"{n}.png", encoded((100 * place, n, 0)))
    return root


@pytest.mark.parametrize(
    ("parts", "val", "test", "notes"),
    [
        (("train", "val", "test"), "val", "test", 0),
        (("train", "test"), None, "test", 0),
        (("train", "val"), None, "val", 1),
    ],
)
def test_image_folder_parts(tmp_path: Path, parts: tuple[str, ...], val: str | None, test: str, notes: int) -> None:
    source = read_imagefolder(image_folder(tmp_path, *parts))
    assert source.classes == ("cat", "dog")
    assert source.train.ids[:2] == ("train/cat/0.png", "train/cat/1.png")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.train.images.read(4)[:, 0, 0].tolist() == [100, 1, 0]
    assert source.tests["imagefolder"].ids[5] == f"{test}/dog/2.png"
    assert (source.val is None) == (val is None)
    assert len(source.notes) == notes


def test_image_folder_without_a_test_part_or_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for .*train/CLASS"):
        read_imagefolder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        read_imagefolder(tmp_path)
    with pytest.raises(DataError, match="neither val nor test"):
        read_imagefolder(image_folder(tmp_path, "train"))


def test_image_folder_with_an_unknown_class(tmp_path: Path) -> None:
    root = image_folder(tmp_path, "train", "val")
    write(root / "val" / "horse" / "0.png", encoded((1, 2, 3)))
    with pytest.raises(DataError, match=r"of class 'horse', which is not among the 2 training classes"):
        read_imagefolder(root)


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_a_truncated_image_is_named(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, suffix)
    blob = stream.getvalue()
    assert decode(blob, "whole").shape == (3, 40, 40)
    with pytest.raises(DataError, match=r"cannot decode folder/x.img: the image is truncated"):
        decode(blob[: len(blob) // 2], "folder/x.img")


def test_an_image_too_large_to_be_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the memory; Pillow's error for it is no OSError."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DataError, match=r"cannot decode folder/x.png: .*exceeds limit.*; replace it"):
        decode(encoded((1, 2, 3)), "folder/x.png")


def test_missing_image_is_named(tmp_path: Path) -> None:
    root = image_folder(tmp_path, "train", "test")
    source = read_imagefolder(root)
    (root / "train" / "dog" / "1.png").unlink()
    with pytest.raises(DataError, match=r"cannot read .*dog/1.png"):
        read(source.train, 4)


def read(images: LabelledImages, place: int) -> torch.Tensor:
    return images.images.read(place)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (5, 4), 1 if mode in {"P", "1"} else 0).save(stream, "PNG")
    pixels = decode(stream.getvalue(), "image")
    assert pixels.shape == (3, 4, 5)
    assert pixels.dtype == torch.uint8


def test_transparency_and_16_bits_follow_the_rule_of_all_data_sets() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=bytes([255, 51]))
    # A fifth of the colour over white, and no warning of Pillow about the palette.
    assert decode(stream.getvalue(), "image")[:, 0, 0].tolist() == [206, 208, 210]
    deep = io.BytesIO()
    Image.fromarray(np.full((3, 3), 0x4FE0, np.uint16)).save(deep, "PNG")
    assert decode(deep.getvalue(), "image").unique().tolist() == [0x4F]


@pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
def test_exif_turns_the_image_upright(suffix: str) -> None:
    wide = Image.new("RGB", (16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    wide.save(stream, suffix, exif=exif)
    assert decode(stream.getvalue(), "image").shape == (3, 16, 8)


def test_fit_keeps_the_central_square() -> None:
    columns = torch.arange(12, dtype=torch.uint8).expand(3, 4, 12)
    assert torch.equal(fit(columns, 4), columns[:, :, 4:8])
    assert fit(torch.zeros(3, 50, 31, dtype=torch.uint8), 20).shape == (3, 20, 20)
    assert torch.equal(
        fit(torch.full((3, 64, 64), 9, dtype=torch.uint8), 32), torch.full((3, 32, 32), 9, dtype=torch.uint8)
    )


def test_fit_equals_pillows_bicubic() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (30, 45, 3), dtype=np.uint8)
    expected = Image.fromarray(noise).resize((18, 12), Image.Resampling.BICUBIC).crop((3, 0, 15, 12))
    ours = fit(torch.from_numpy(noise).permute(2, 0, 1), 12)
    assert (ours.permute(1, 2, 0).int() - torch.from_numpy(np.array(expected)).int()).abs().max() <= 1
