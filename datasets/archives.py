"""Files inside compressed tar archives, read without unpacking anything to disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import read_bytes
from densedistill.datasets.labelled import EncodedImages, LabelledImages, class_places, known_class


@dataclass(frozen=True, slots=True)
class Archive:
    """The regular files of one archive."""

    path: Path
    members: dict[str, bytes]
    """File contents by name inside the archive, in the archive's order."""
    digest: str
    """SHA-256 (hexadecimal) of the archive's own bytes."""


def read_archive(path: Path) -> Archive:
    """Read every regular file of a `.tar.gz` or `.tar.xz`.

    Raises:
        DataError: the archive cannot be read, is truncated or damaged.
    """
    packed = read_bytes(path)
    try:
        # Unpacked as a whole first: tarfile takes a compressed stream that stops early for the archive's end.
        unpacked = gzip.decompress(packed) if path.suffix == ".gz" else lzma.decompress(packed)
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            members = {info.name: _content(tar, info) for info in tar if info.isfile()}
    except (EOFError, OSError, lzma.LZMAError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"cannot read archive {path} ({error}): it is truncated or damaged; fetch it again") from error
    return Archive(path, members, hashlib.sha256(packed).hexdigest())


def read_archives(paths: Sequence[Path]) -> list[Archive]:
    """`read_archive` for several files at once, each in its thread: decompression releases the interpreter."""
    with ThreadPoolExecutor(max(1, len(paths))) as pool:
        return list(pool.map(read_archive, paths))


def encoded_by_folder(archives: Sequence[Archive], classes: Sequence[str]) -> LabelledImages:
    """Images whose class is the name of their folder (`train/CLASS/NAME.jpg`), still encoded.

    Raises:
        DataError: a folder is none of `classes`.
    """
    places = class_places(classes)
    ids, names, blobs, labels = [], [], [], []
    for archive in archives:
        for member, blob in archive.members.items():
            path, name = PurePosixPath(member), f"{archive.path}:{member}"
            labels.append(known_class(path.parent.name, places, name))
            ids.append(f"{path.parent.name}/{path.stem}")
            names.append(name)
            blobs.append(blob)
    return LabelledImages(EncodedImages(tuple(names), tuple(blobs)), tuple(ids), np.array(labels, dtype=np.int64))


def joint_digest(archives: Sequence[Archive]) -> str:
    """SHA-256 (hexadecimal) over the archives' own digests, in order."""
    return hashlib.sha256("".join(archive.digest for archive in archives).encode()).hexdigest()


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"member {info.name} has no content")
    return stream.read()
