"""Which files a prediction is asked for, and under which name each answer is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from densedistill.datasets.pixels import SUFFIXES
from densedistill.distill.errors import RequestError

_NAMED = 5
"""Files that a message lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One file to predict for."""

    path: Path
    name: str
    """Its path from the folder that was given, or its file name; with its suffix, and forward slashes."""

    @property
    def stem(self) -> str:
        """The name without suffix: what the answer's files are called."""
        return str(Path(self.name).with_suffix("").as_posix())


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that is to be done."""

    files: tuple[Input, ...]
    left_out: tuple[Path, ...]
    """Files in the folders whose suffix is no image's."""


def find_inputs(paths: Sequence[str], output: Path) -> Inputs:
    """The files that `paths` name, and the images in the folders that they name, at any depth.

    A file that is named is taken whatever it is called. In folders, hidden files are passed over, and what lies below
    `output`: it was written by an earlier prediction.

    Raises:
        RequestError: a path is not there, nothing is found, two inputs would be written under one name, or an answer
            could take an input's place.
    """
    found: list[Input] = []
    others: list[Path] = []
    for given in map(Path, paths):
        if given.is_dir():
            images, rest = _in_folder(given, output)
            found += images
            others += rest
        elif given.is_file():
            found.append(Input(path=given, name=given.name))
        else:
            raise RequestError(f"input '{given}' does not exist: give image files, or a folder of them.")
    if not found:
        raise RequestError(
            f"no images in {', '.join(map(repr, paths))}: looked for {', '.join(sorted(SUFFIXES))} at any depth."
        )
    _refuse_clashes(found, output)
    return Inputs(tuple(found), tuple(others))


def refuse_shared_pictures(files: Sequence[Input], endings: Sequence[str], output: Path) -> None:
    """Refuse inputs of which one is called as a picture of another will be.

    Args:
        files: all inputs.
        endings: what may follow an input's name in the names of its pictures.
        output: where they are written.

    Raises:
        RequestError: with both inputs' names.
    """
    by_stem = {file.stem: file for file in files}
    for file in files:
        for ending in endings:
            other = by_stem.get(f"{file.stem}{ending}", file)
            if other is not file:
                raise RequestError(_one_name(file, other, other.stem, output))


def listed(names: Sequence[object]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more


def _in_folder(folder: Path, output: Path) -> tuple[list[Input], list[Path]]:
    images: list[Input] = []
    others: list[Path] = []
    for path in _files(folder, output.resolve()):
        if path.suffix.lower() in SUFFIXES:
            images.append(Input(path=path, name=path.relative_to(folder).as_posix()))
        else:
            others.append(path)
    return images, others


def _files(folder: Path, left_out: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.resolve() == left_out:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path, left_out)
        elif path.is_file():
            yield path


def _refuse_clashes(found: Sequence[Input], output: Path) -> None:
    taken: dict[str, Input] = {}
    read = {file.path.resolve().parent: file for file in found}
    for file in found:
        other = taken.setdefault(file.stem, file)
        if other is not file:
            raise RequestError(_one_name(other, file, file.stem, output))
        endangered = read.get((output / file.name).resolve().parent)
        if endangered is not None:
            raise RequestError(
                f"--output '{output}' is where the input '{endangered.path}' lies, which an answer could overwrite: "
                "give another folder."
            )


def _one_name(one: Input, other: Input, name: str, output: Path) -> str:
    return (
        f"'{one.path}' and '{other.path}' would both be written as '{name}' to '{output}': rename one of them, or "
        "predict them apart."
    )
