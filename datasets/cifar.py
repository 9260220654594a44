"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): the authors' files as folder or archive, or a JPEG re-encoding."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from densedistill.datasets.archives import encoded_by_folder, joint_digest, read_archive, read_archives
from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import read_bytes
from densedistill.datasets.labelled import ClassificationSource, LabelledImages, PixelImages, running_ids

NATIVE_SIZE = 32
"""Height and width that the images have, or are customarily used at, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """How the authors' files of one of the two sets are named."""

    name: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    label_key: str
    classes_key: str
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    torchvision: str
    """The class of torchvision.datasets that knows the address and checksums of the archive."""


_CIFAR10 = _Layout(
    name="cifar10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    label_key="labels",
    classes_key="label_names",
    normalisation=((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    torchvision="CIFAR10",
)
_CIFAR100 = _Layout(
    name="cifar100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train=("train",),
    test="test",
    meta="meta",
    label_key="fine_labels",
    classes_key="fine_label_names",
    normalisation=((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    torchvision="CIFAR100",
)


def read_cifar10(root: Path, download: bool) -> ClassificationSource:
    """CIFAR-10 under `root`; see `_read` for the layouts and errors."""
    return _read(_CIFAR10, root, download)


def read_cifar100(root: Path, download: bool) -> ClassificationSource:
    """CIFAR-100 with its 100 fine classes under `root`; see `_read` for the layouts and errors."""
    return _read(_CIFAR100, root, download)


def _read(layout: _Layout, root: Path, download: bool) -> ClassificationSource:
    """Look for the authors' folder, their archive, then the JPEG re-encoding; download where asked to.

    Raises:
        DataError: none of them is under `root` and `download` is false, or a file is damaged.
    """
    folder = root if root.name == layout.folder else root / layout.folder
    archive = root / layout.archive
    jpeg = root / f"{layout.name}_jpeg"
    if download and not folder.is_dir():
        _download(layout, root)
    if folder.is_dir():
        return _from_pickles(layout, _folder_files(layout, folder), folder)
    if archive.is_file():
        return _from_pickles(layout, _archive_files(layout, archive), archive)
    if jpeg.is_dir():
        return _from_jpeg(layout, jpeg)
    raise DataError(
        f"{layout.name} is not under {root}: looked for {layout.folder}/, {layout.archive} and {jpeg.name}/; "
        "put one of them there, or give --set data.download=true to fetch the authors' archive"
    )


def _download(layout: _Layout, root: Path) -> None:
    """Fetch and unpack the authors' archive through torchvision, which verifies its checksum."""
    from torchvision import datasets

    try:
        getattr(datasets, layout.torchvision)(root, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"could not download {layout.name} to {root} ({error}); put {layout.archive} there yourself"
        ) from error


def _folder_files(layout: _Layout, folder: Path) -> dict[str, bytes]:
    names = (*layout.train, layout.test, layout.meta)
    return {name: read_bytes(folder / name) for name in names}


def _archive_files(layout: _Layout, archive: Path) -> dict[str, bytes]:
    members = read_archive(archive).members
    files = {}
    for name in (*layout.train, layout.test, layout.meta):
        member = f"{layout.folder}/{name}"
        if member not in members:
            raise DataError(f"archive {archive} has no member {member}; fetch the authors' archive again")
        files[name] = members[member]
    return files


def _from_pickles(layout: _Layout, files: Mapping[str, bytes], origin: Path) -> ClassificationSource:
    content = {name: _unpickle(blob, f"{origin}/{name}") for name, blob in files.items()}
    digest = hashlib.sha256()
    for blob in files.values():
        digest.update(hashlib.sha256(blob).digest())
    classes = tuple(content[layout.meta].get(layout.classes_key, ()))
    for name in (*layout.train, layout.test):
        _check(layout, content[name], len(classes), f"{origin}/{name}")
    return ClassificationSource(
        name=layout.name,
        classes=classes,
        train=_part(layout, [content[name] for name in layout.train], "train"),
        tests={layout.name: _part(layout, [content[layout.test]], "test")},
        digest=digest.hexdigest(),
        normalisation=layout.normalisation,
    )


def _check(layout: _Layout, batch: Mapping[str, Any], classes: int, name: str) -> None:
    """Refuse a file whose rows are not images, or whose labels are not theirs."""
    rows, labels = batch.get("data"), batch.get(layout.label_key, [])
    sound = (
        isinstance(rows, np.ndarray)
        and rows.dtype == np.uint8
        and rows.shape == (len(labels), 3 * NATIVE_SIZE * NATIVE_SIZE)
        and all(isinstance(label, int) and 0 <= label < classes for label in labels)
    )
    if not sound:
        raise DataError(
            f"{name} does not hold labelled {NATIVE_SIZE}x{NATIVE_SIZE} images of {classes} classes; "
            "fetch the authors' archive again"
        )


def _part(layout: _Layout, batches: list[dict[str, Any]], split: str) -> LabelledImages:
    rows = np.concatenate([batch["data"] for batch in batches])
    labels = np.concatenate([np.array(batch[layout.label_key], dtype=np.int64) for batch in batches])
    pixels = torch.from_numpy(rows.reshape(-1, 3, NATIVE_SIZE, NATIVE_SIZE))
    return LabelledImages(PixelImages(pixels), running_ids(split, len(labels)), labels)


def _from_jpeg(layout: _Layout, folder: Path) -> ClassificationSource:
    """The re-encoded set: SPLIT.tar.xz with SPLIT/CLASS/NAME.jpg; alphabetical classes are CIFAR's own order."""
    train, test = read_archives([folder / "train.tar.xz", folder / "test.tar.xz"])
    classes = tuple(sorted({Path(name).parent.name for name in train.members}))
    return ClassificationSource(
        name=layout.name,
        classes=classes,
        train=encoded_by_folder([train], classes),
        tests={layout.name: encoded_by_folder([test], classes)},
        digest=joint_digest([train, test]),
        normalisation=layout.normalisation,
        notes=("JPEG re-encoding",),
    )


class _ArraysOnly(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays; refuses anything else a pickle may name.

    The files were written by Python 2, whose pickles name NumPy's constructors by an old path; files rewritten by
    Python 3 name `_codecs.encode` for the bytes of an array.
    """

    def find_class(self, module: str, name: str) -> Any:
        """The constructor called `name`, if it is one of the harmless four."""
        rebuild, _, _ = cast(tuple[Any, ...], np.empty(0).__reduce__())
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("_codecs", "encode"): _encode_latin1,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR's files never do")
        return allowed[module, name]


def _encode_latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}, which CIFAR's files never do")
    return text.encode("latin1")


def _unpickle(blob: bytes, name: str) -> dict[str, Any]:
    try:
        content = _ArraysOnly(io.BytesIO(blob), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(f"cannot read {name} ({error}); fetch the authors' archive again") from error
    if not isinstance(content, dict):
        raise DataError(f"{name} holds a {type(content).__name__} where CIFAR has a dictionary; fetch it again")
    return content
