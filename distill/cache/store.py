"""The teacher's answers to named views, computed once and kept in memory-mapped files."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from densedistill.distill.cache.files import INDEX_FILE, CacheFiles, unusable
from densedistill.distill.cache.plan import CachePlan
from densedistill.distill.outputs import Prediction

CPU = torch.device("cpu")


class TeacherCache:
    """Answers by (image, view), in half precision.

    The first answer to a view stays. So what a run sees does not depend on when it was interrupted, nor on how far
    ahead its loader reads: whichever of `read` and `write` gives an answer, it is the same, as it was stored.

    Every answer has a checksum, written after it: one that was cut short by a kill or damaged on the disk is found when
    it is read, counted in `repaired`, and made anew.

    `read` and `write` may be called from different threads. Several processes may share one cache: the first opens,
    and with that creates it, before the others open theirs. They fill it together; where two answer the same view at
    the same moment, at worst its checksum fails later, and it is repaired.
    """

    def __init__(self, files: CacheFiles, say: Callable[[str], None]) -> None:
        """Map the files of a cache that is there; see `open`."""
        self.plan = files.plan
        self.repaired = 0
        """Damaged answers found so far."""
        self.refused = 0
        """Answers not kept so far, since a value was not finite or beyond float16's range."""
        self._say = say
        self._lock = threading.Lock()
        # As plain arrays: a memmap's own indexing costs more than a small read.
        self._index = np.asarray(np.memmap(files.folder / INDEX_FILE, np.uint32, "r+", shape=(self.plan.slots,)))
        self._columns = [
            np.asarray(np.memmap(path, dtype, "r+", shape=shape)) for path, dtype, shape in files.columns()
        ]

    @classmethod
    def open(cls, folder: Path, key: Mapping[str, Any], plan: CachePlan, say: Callable[[str], None]) -> TeacherCache:
        """Open the cache in `folder`, or make it; one that is stale or unfinished is deleted first, and that is said.

        Args:
            folder: where it lies; created if need be. Files that are not the cache's are left alone.
            key: everything the answers depend on (teacher's weights, data, augmentation, seed, precision), as JSON has
                it. Nested mappings are compared field by field.
            plan: what is kept.
            say: takes sentences for the user; may be called from any thread that reads or writes.

        Raises:
            RequestError: no room on the disk, or the folder cannot be used.
        """
        files = CacheFiles.of(folder, key, plan)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Of two runs that begin at once neither may take the other's half-made files for left ones.
            with FileLock(folder.with_name(f"{folder.name}.lock")):
                if files.present() and (fault := files.fault()) is not None:
                    say(f"the teacher cache in '{folder}' {fault}: it is deleted and made anew")
                    files.remove()
                if not files.present():
                    files.create()
                return cls(files, say)
        except OSError as error:
            raise unusable(folder, error) from None

    @property
    def kept(self) -> int:
        """How many answers are kept."""
        return int(np.count_nonzero(self._index))

    def read(self, images: np.ndarray, views: np.ndarray, device: torch.device = CPU) -> Prediction | None:
        """The teacher's answers to a batch of views, as they were stored.

        Args:
            images: (B,) int64 places in the training set.
            views: (B,) int64 view numbers, below the plan's cycle.
            device: to put them on; what crosses to it is what was stored, in half precision.

        Returns:
            New tensors of the example's types, or None unless every view's answer is there. The teacher then has to
            answer the whole batch: what it says to an image can depend, in the last bits, on the batch's size.
        """
        slots = self._slots(images, views)
        with self._lock:
            if not self._index[slots].all():
                return None
            rows = self._rows(slots)
            notes = self._forget_damaged(slots, rows)
            whole = bool(self._index[slots].all())
        self._tell(notes)
        return self._prediction(rows, device) if whole else None

    def write(self, images: np.ndarray, views: np.ndarray, answer: Prediction) -> Prediction:
        """Keep the teacher's answers to a batch of views; the arguments are those of `read`.

        An answer that holds infinity, not-a-number, or a value beyond float16's 65504 is not kept: rounding it would
        teach something else. Nothing fails, since such a value may well be harmless (a masked class, a large
        feature); the teacher is asked again each time, and that is said once.

        Returns:
            What `read` will return, on the answer's device; answers that are not kept as they were given.

        Raises:
            ValueError: shapes or taps are not those of the plan.
        """
        slots = self._slots(images, views)
        tensors = self._tensors(answer, len(slots))
        encoded = [kept.encode(tensor) for kept, tensor in zip(self.plan.tensors, tensors, strict=True)]
        columns = [column for part in encoded for column in part.columns]
        fits = np.logical_and.reduce([part.fits for part in encoded])
        with self._lock:
            there = self._index[slots] != 0
            notes = self._forget_damaged(slots[there], self._rows(slots[there]))
            there = self._index[slots] != 0
            new = fits & ~there
            refused = ~fits & ~there
            notes += self._count_refused(int(refused.sum()))
            for column, values in zip(self._columns, columns, strict=True):
                column[slots[new]] = values[new]
            self._index[slots[new]] = _checksums([values[new] for values in columns])
            rows = self._rows(slots)
        self._tell(notes)
        stored = self._prediction(rows, answer.output.device)
        if refused.any():
            unkept = torch.from_numpy(np.flatnonzero(refused)).to(answer.output.device)
            for place, given in zip(self._tensors(stored, len(slots)), tensors, strict=True):
                place[unkept] = given[unkept].to(place.dtype)
        return stored

    def close(self) -> None:
        """Let go of the files and say in all what had to be mended; the system writes what is not yet on the disk."""
        if self.repaired > 1:
            self._say(f"teacher cache: {self.repaired} damaged answers were computed again in all")
        if self.refused > 1:
            self._say(f"teacher cache: {self.refused} answers could not be kept in all")
        del self._index, self._columns

    # -- slots ------------------------------------------------------------------------------------------------------

    def _slots(self, images: np.ndarray, views: np.ndarray) -> np.ndarray:
        # Checked, because a view beyond the cycle would be another image's slot.
        for name, numbers, count in (("images", images, self.plan.images), ("views", views, self.plan.cycle)):
            if numbers.min() < 0 or numbers.max() >= count:
                raise ValueError(f"{name} {numbers.min()} to {numbers.max()} are not all in [0, {count})")
        slots: np.ndarray = images * self.plan.cycle + views
        return slots

    def _rows(self, slots: np.ndarray) -> list[np.ndarray]:
        """Copies: what is checked is then what is used, whatever another process writes meanwhile."""
        return [column[slots] for column in self._columns]

    def _forget_damaged(self, slots: np.ndarray, rows: Sequence[np.ndarray]) -> list[str]:
        """Empty the slots whose `rows` fail their checksums and count them; what there is to say."""
        damaged = np.unique(slots[self._index[slots] != _checksums(rows)])
        self._index[damaged] = 0
        first = len(damaged) > 0 and self.repaired == 0
        self.repaired += len(damaged)
        if not first:
            return []
        image, view = divmod(int(damaged[0]), self.plan.cycle)
        return [
            f"teacher cache: the kept answer to view {view} of image {image} is damaged and is computed again, as any "
            "other such will be"
        ]

    def _count_refused(self, count: int) -> list[str]:
        first = count > 0 and self.refused == 0
        self.refused += count
        if not first:
            return []
        return [
            f"teacher cache: {count} answers of a batch hold a value that is not finite or beyond 65504, float16's "
            "largest; the teacher gives such answers anew each time"
        ]

    def _tell(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._say(note)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _tensors(self, answer: Prediction, count: int) -> list[Tensor]:
        """The output, then the taps in the plan's order."""
        if answer.taps.keys() != self.plan.taps.keys():
            raise ValueError(f"taps {sorted(answer.taps)} are not those of the teacher cache: {sorted(self.plan.taps)}")
        tensors = [answer.output, *(answer.taps[path] for path in self.plan.taps)]
        for kept, tensor in zip(self.plan.tensors, tensors, strict=True):
            if tensor.shape != (count, *kept.shape):
                raise ValueError(
                    f"an answer of {tuple(tensor.shape)} is not the teacher cache's {count} x {kept.shape}"
                )
        return tensors

    def _prediction(self, rows: Sequence[np.ndarray], device: torch.device) -> Prediction:
        remaining = list(rows)
        tensors = []
        for kept in self.plan.tensors:
            own, remaining = remaining[: len(kept.columns)], remaining[len(kept.columns) :]
            tensors.append(kept.decode(own, device))
        return Prediction(output=tensors[0], taps=dict(zip(self.plan.taps, tensors[1:], strict=True)))


def _checksums(columns: Sequence[np.ndarray]) -> np.ndarray:
    """(B,) uint32: CRC-32 of each row of all columns, one after the other; never 0, which means that there is none."""
    sums = np.empty(len(columns[0]), dtype=np.uint32)
    if not len(sums):
        return sums
    flat = [np.ascontiguousarray(column).reshape(len(sums), -1).view(np.uint8) for column in columns]
    for row in range(len(sums)):
        checksum = 0
        for column in flat:
            checksum = zlib.crc32(column[row], checksum)
        sums[row] = checksum or 1
    return sums
