"""What edges and segmentation have in common: options, and the parts of images with something drawn for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, Field, PositiveInt

from densedistill.datasets.base import EvalSet, TaskData
from densedistill.datasets.bsds import Split
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD, TargetKind, untrained
from densedistill.datasets.dense_files import AnnotatedFile, annotated_file, filling_a_view, in_order_of_shape
from densedistill.datasets.dense_pairs import HeldPairs, PairFiles, Pairs, Planes, held_where_they_fit
from densedistill.datasets.dense_workers import dense_eval
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.pairs import find_pairs, find_test_pairs
from densedistill.datasets.roots import data_root

PARTS: tuple[Split, ...] = ("train", "val", "test")


class AnnotatedData(BaseModel):
    """Which images, and which views of them. A task adds `name`, `view`, and what its annotations mean."""

    model_config = FROZEN

    name: str
    view: str
    root: Path | None = None
    size: int = Field(default=256, ge=16)
    """Side of a training view in pixels; collages are seen whole where they are smaller."""
    flip: bool = True
    """Random left-right flips of training views."""
    val_size: int | None = Field(default=None, ge=1)
    """`pairs` without a val or test folder: how many pairs are held out for each. None: a fifth."""
    split_seed: int = 0
    """Seed of what is held out of pairs, and of the collages."""
    limit: int | None = Field(default=None, ge=1)
    """At most this many images in each part."""
    collage_size: int = Field(default=128, ge=32)
    """Side of a collage in pixels."""
    collages: tuple[PositiveInt, PositiveInt, PositiveInt] = (400, 50, 50)
    """How many collages for train, val and test."""
    workers: int = Field(default=2, ge=0)
    """Processes that read images where a folder's exceed the memory budget; 0: none, the training process itself."""
    memory_budget_mb: int = Field(default=2048, ge=0)
    """The images and masks of folders are held as uint8 pixels up to this size (MiB, all parts together); above it
    they are read from disk whenever they are seen. The pixels are the same."""

    @property
    def side(self) -> int:
        """Of a training view."""
        return min(self.size, self.collage_size) if self.name == "collage" else self.size

    def resized(self, part: Split) -> int | None:
        """The side that the pairs of `part` are resized to; None: they stay as they are."""
        return self.side if part == "train" and self.view == "resize" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedSplit:
    """All that a task's data is made of, by part."""

    pairs: Mapping[str, Pairs]
    ids: Mapping[str, Sequence[str]]
    entries: Mapping[str, Sequence[tuple[str, bytes]]]
    """Names and digests for the fingerprint."""
    notes: tuple[str, ...]

    def evaluation(self, part: Split, workers: int, target_kind: TargetKind) -> EvalSet:
        """The whole images of `part`, in batches of one shape."""
        return dense_eval(
            self.ids[part],
            self.pairs[part],
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            workers=workers,
            target_kind=target_kind,
        )


Found = Mapping[str, Sequence[AnnotatedFile]]
"""The images on disk of each part."""


def split_on_disk(
    found: Found, files_of: Callable[[Split, Sequence[AnnotatedFile]], PairFiles], options: AnnotatedData
) -> AnnotatedSplit:
    """The parts of a folder: training images that fill a view, and the others in order of their shape.

    Args:
        found: every image.
        files_of: a part and the images chosen for it to its pairs.
        options: what decides the choice.

    Raises:
        DataError: no image fills a view, or a file to be held in memory cannot be read.
    """
    fits = options.view == "resize"
    fitting, left_out = (found["train"], ()) if fits else filling_a_view(found["train"], options.size)
    chosen = {"train": fitting, **{part: in_order_of_shape(found[part]) for part in ("val", "test")}}
    pairs, where = held_where_they_fit({part: files_of(part, chosen[part]) for part in PARTS}, options.memory_budget_mb)
    return AnnotatedSplit(
        pairs=pairs,
        ids={part: [file.name for file in items] for part, items in chosen.items()},
        entries={part: [(file.name, file.digest()) for file in items] for part, items in found.items()},
        notes=(*left_out, *where),
    )


def tests_on_disk(
    found: Sequence[AnnotatedFile], files_of: Callable[[Split, Sequence[AnnotatedFile]], PairFiles], data: AnnotatedData
) -> AnnotatedSplit:
    """Test images alone, in order of their shape; no view has to fit into them, and nothing is held out.

    Args:
        found: every image.
        files_of: as in `split_on_disk`.
        data: the options.

    Raises:
        DataError: a file to be held in memory cannot be read.
    """
    chosen = in_order_of_shape(found)
    pairs, where = held_where_they_fit({"test": files_of("test", chosen)}, data.memory_budget_mb)
    return AnnotatedSplit(pairs=pairs, ids={"test": [file.name for file in chosen]}, entries={}, notes=where)


def scored_alone(
    name: str, split: AnnotatedSplit, workers: int, target_kind: TargetKind, classes: tuple[str, ...] = ()
) -> TaskData:
    """The test images of `split` as data of which nothing is trained on."""
    data = untrained(name, {name: split.evaluation("test", workers, target_kind)}, split.notes)
    return replace(data, classes=classes, input_mean=IMAGENET_MEAN, input_std=IMAGENET_STD)


def split_of_collages(
    make: Callable[[Split, int], tuple[Sequence[str], Sequence[tuple[bytes, Planes]]]], options: AnnotatedData
) -> tuple[AnnotatedSplit, Mapping[str, Sequence[str]]]:
    """The parts of embedded data.

    Args:
        make: a part and a number to the photographs that its textures are cut from, and the digest and planes of each
            of that many collages.
        options: how many there are.

    Returns:
        The split, without notes, and the photographs of each part.
    """
    pairs: dict[str, Pairs] = {}
    entries: dict[str, list[tuple[str, bytes]]] = {}
    photographs: dict[str, Sequence[str]] = {}
    for part, count in zip(PARTS, options.collages, strict=True):
        photographs[part], made = make(part, min(count, options.limit or count))
        pairs[part] = HeldPairs(inputs=[image for _, (image, _) in made], targets=[target for _, (_, target) in made])
        entries[part] = [(f"{part}-{place:04d}", digest) for place, (digest, _) in enumerate(made)]
    ids = {part: [name for name, _ in items] for part, items in entries.items()}
    return AnnotatedSplit(pairs=pairs, ids=ids, entries=entries, notes=()), photographs


def paired_files(options: AnnotatedData) -> tuple[Found, tuple[str, ...]]:
    """The images and masks below `options.root`, and how the parts came about.

    Raises:
        DataError: a folder is missing or empty, a file has no partner or is no image, or a mask is of another size.
    """
    split = find_pairs(data_root(options.root, options.name), held_out=options.val_size, split_seed=options.split_seed)
    parts = {
        part: [annotated_file(pair.name, pair.source, pair.target) for pair in pairs[: options.limit]]
        for part, pairs in (("train", split.train), ("val", split.val), ("test", split.test))
    }
    return parts, split.notes


def paired_tests(options: AnnotatedData) -> tuple[list[AnnotatedFile], tuple[str, ...]]:
    """The images and masks below `options.root` that are tested on where nothing is trained, and which those are.

    Raises:
        DataError: as `paired_files`.
    """
    pairs, note = find_test_pairs(data_root(options.root, options.name))
    return [annotated_file(pair.name, pair.source, pair.target) for pair in pairs[: options.limit]], (note,)


def limit_notes(options: AnnotatedData) -> tuple[str, ...]:
    """That not all images are used, where that is so."""
    return () if options.limit is None else (f"limited to {options.limit} images a part",)
