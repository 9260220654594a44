"""Names of very many images, held so that processes can share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np


class Names(Sequence[str]):
    """A sequence of strings in three arrays.

    A million strings are a million objects: over 100 MB as paths, and each process that loads images comes to own a
    copy, since merely reading an object writes its reference count. Arrays stay shared, and selecting copies no text.
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray, places: np.ndarray) -> None:
        """Take all names in one (bytes,) uint8 array, the end of each, (M,) int64, and which there are, (N,) int64."""
        self._text, self._ends, self._places = text, ends, places

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Any strings, file names that are no valid text included."""
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends, np.arange(len(encoded)))

    @classmethod
    def joined(cls, parts: Sequence[Names]) -> Names:
        """The names of all `parts`, one after the other."""
        lengths = [len(part._text) for part in parts]
        counts = [len(part._ends) for part in parts]
        return cls(
            np.concatenate([np.empty(0, np.uint8), *(part._text for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *_shifted([part._ends for part in parts], lengths)]),
            np.concatenate([np.empty(0, np.int64), *_shifted([part._places for part in parts], counts)]),
        )

    def select(self, places: np.ndarray) -> Names:
        """The names at `places`, in that order."""
        return Names(self._text, self._ends, self._places[places])

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[each] for each in range(*place.indices(len(self))))
        row = self._places[place]
        start = self._ends[row - 1] if row else 0
        return self._text[start : self._ends[row]].tobytes().decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(name) for name in self[:3])
        return f"Names({shown}{', ...' if len(self) > 3 else ''})"


def chosen(names: Sequence[str], places: np.ndarray) -> Sequence[str]:
    """The names at `places`, in that order, as `names` holds them."""
    return names.select(places) if isinstance(names, Names) else tuple(names[place] for place in places)


def _shifted(arrays: Sequence[np.ndarray], steps: Sequence[int]) -> list[np.ndarray]:
    """Each array raised by the sum of the `steps` before it."""
    starts = np.cumsum([0, *steps])
    return [array + start for array, start in zip(arrays, starts, strict=False)]
