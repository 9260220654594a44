"""How figures are written for people: units, counts, durations, sizes, lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

ABSENT = "–"


def figure(value: float | None, unit: str = "", *, signed: bool = False, bare: bool = False) -> str:
    """A measured figure with the digits its unit deserves: `61.90 %`, `28.31 dB`, `0.4213`.

    Percent and decibels have two decimals, figures without a unit four. Absent ones are a dash. `bare` leaves the
    unit away, for columns that name it in their head.
    """
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return str(value)
    digits = 2 if unit or abs(value) >= 100 else 4
    # Adding 0 turns the -0.0 that a small loss is rounded to into a figure without a sign.
    written = f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return written if bare or not unit else f"{written} {unit}"


def difference(value: float, unit: str) -> str:
    """A signed difference of two figures; of percentages, in points."""
    return figure(value, "points" if unit == "%" else unit, signed=True)


def share(value: float | None) -> str:
    """A fraction (1 = all) in percent with one decimal."""
    return _decimals(None if value is None else 100 * value, 1, " %")


def count(value: int | None) -> str:
    """A number of images or epochs with its thousands apart."""
    return ABSENT if value is None else f"{value:,}"


def parameters(value: int | None) -> str:
    """A parameter count, shortened: `24.4 M`, `6.63 M`, `929.6 k`."""
    if value is None:
        return ABSENT
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.{1 if value >= 10 * size else 2}f}{suffix}"
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds as `42 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rate(value: float | None) -> str:
    """Images per second, without the unit."""
    return _decimals(value, 0 if value is not None and value >= 10 else 1, "")


def memory(megabytes: float | None) -> str:
    """Megabytes as `512 MB` or `5.2 GB`."""
    if megabytes is not None and megabytes >= 1000:
        return _decimals(megabytes / 1000, 1, " GB")
    return _decimals(megabytes, 0, " MB")


def size(count: int) -> str:
    """Bytes as `812 bytes`, `3.1 kB`, `20.4 MB`, `1.2 GB`; decimal prefixes."""
    if count < 1000:
        return f"{count} bytes"
    value, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:,.1f} {unit}"


def gibibytes(count: int, digits: int = 1) -> str:
    """Bytes of memory or of a disk as `4.1 GiB`, whatever their size."""
    return f"{count / 2**30:.{digits}f} GiB"


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _decimals(value: float | None, digits: int, suffix: str) -> str:
    """`value` with that many decimals and a suffix; a dash where it is absent or not finite."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{round(value, digits) + 0.0:,.{digits}f}{suffix}".replace("-", "\N{MINUS SIGN}")
