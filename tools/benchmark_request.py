"""What a benchmark is asked to measure: checked at once, and small enough to be sent to the process of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.machine.runtime import Precision

Axis = Literal["batch", "image", "workers", "dataset"]
AXES: tuple[Axis, ...] = ("batch", "image", "workers", "dataset")

_FIELDS = {"batch": "batch_size", "image": "image_size", "workers": "workers"}
_SUFFIXES = {"k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkRequest:
    """A task, a pair of networks and a batch. None keeps what the preset has.

    Raises:
        RequestError: a size is out of its bounds.
    """

    task: str
    preset: str | None = None
    method: str | None = None
    teacher: str | None = None
    student: str | None = None
    synthetic: bool = True
    """Random images of the task's kind, held in memory, in place of the preset's own data."""
    image_size: int | None = None
    """Side of a training view in pixels; of its low-resolution part, where the task has two."""
    classes: int = 100
    images: int | None = None
    """Images in the synthetic set. None: as many as fit 64 MiB."""
    batch_size: int | None = None
    workers: int = 2
    """Processes that load for the plain row, and for sets beyond memory."""
    compile: bool = True
    """Whether rows that can be compiled are."""
    device: str = "auto"
    precision: Precision = "auto"
    settings: tuple[tuple[str, object], ...] = ()
    """Fields of the configuration by dotted path; they come last."""
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bounds = {"image_size": 8, "classes": 2, "images": 2, "batch_size": 2, "workers": 0}
        faults = []
        for name, least in bounds.items():
            value = getattr(self, name)
            if value is not None and value < least:
                faults.append(f"--{name.replace('_', '-')} {value} is too small: give {least} or more")
        if faults:
            raise RequestError("; ".join(faults) + ".")

    def at(self, axis: Axis, value: int) -> BenchmarkRequest:
        """This request with the size that `axis` names changed to `value`."""
        return replace(self, **{_FIELDS[axis]: value})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One size, and the values it takes."""

    axis: Axis
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """How long rows are measured.

    Raises:
        RequestError: a count is below 1.
    """

    rounds: int = 5
    steps: int = 10
    """Optimiser steps of one row in one round."""
    warmup: int = 3
    """Steps before the first round, which no figure counts: they compile, and fill caches and queues."""

    def __post_init__(self) -> None:
        small = [f"--{name} {count}" for name in ("rounds", "steps", "warmup") if (count := getattr(self, name)) < 1]
        if small:
            raise RequestError(f"{' and '.join(small)}: must be 1 or more.")


def parse_sweep(text: str) -> Sweep:
    """`batch=32,64` or `dataset=1k,10k,1M`.

    Raises:
        RequestError: an unknown axis, no value, or a value that is no count.
    """
    axis, equals, values = text.partition("=")
    if not equals or not values:
        raise RequestError(f"--sweep {text}: give a size and its values, such as batch=32,64,128.")
    known = next((name for name in AXES if name == axis), None)
    if known is None:
        raise RequestError(f"--sweep {text}: {unknown_name('size', axis, AXES)}")
    return Sweep(known, tuple(_count(value, text) for value in values.split(",")))


def parse_names(text: str) -> tuple[str, ...]:
    """A comma-separated list; `none` is an empty one."""
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


def _count(text: str, whole: str) -> int:
    factor = _SUFFIXES.get(text[-1:].lower(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal():
        raise RequestError(f"--sweep {whole}: '{text}' is no count; give a whole number such as 64, 10k or 1M.")
    return int(digits) * factor


def check_unique(names: Sequence[str], flag: str) -> None:
    """RequestError where a name is given twice."""
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise RequestError(f"{flag} names {', '.join(twice)} twice: name each once.")
