"""How names and figures are written for people: roles of arms, units, counts, durations."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ABSENT = "–"

_LABELS = {
    "accuracy": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "ece": "calibration error",
    "nll": "negative log-likelihood",
    "dice": "Dice",
    "dice_per_image": "Dice per image",
    "psnr_y": "PSNR (Y)",
    "ssim_y": "SSIM (Y)",
    "psnr_rgb": "PSNR (RGB)",
    "ssim_rgb": "SSIM (RGB)",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ods": "ODS",
    "ods_threshold": "threshold of ODS",
    "ois": "OIS",
    "ap": "AP",
    "iou": "IoU",
    "miou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "agreement": "same class as the teacher",
    "kl": "KL from the teacher (nats)",
    "temperature": "at temperature",
    "ece_scaled": "calibration error, scaled",
    "teacher_ece": "the teacher's",
    "teacher_ece_scaled": "the teacher's, scaled",
}
_UNITS = {
    "accuracy": "%",
    "top5": "%",
    "agreement": "%",
    "pixel_accuracy": "%",
    "psnr": "dB",
    "psnr_y": "dB",
    "psnr_rgb": "dB",
}

Kind = Literal["teacher", "distilled", "scratch", "direct", "other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmName:
    """What an arm's name says."""

    generation: int
    member: str
    """The letter of one of several students of a generation; empty where there is one."""
    kind: Kind


def parse_arm(arm: str) -> ArmName:
    """Take apart `gen_02`, `gen_02_a`, `gen_02_scratch`, `gen_02_a_scratch`, `gen_02_scratch_a`."""
    found = re.fullmatch(r"gen_(\d+)((?:_[a-z]+)*)", arm)
    if found is None:
        return ArmName(generation=0, member="", kind="other")
    generation, words = int(found[1]), [word for word in found[2].split("_") if word]
    members = [word for word in words if len(word) == 1]
    kinds = [word for word in words if len(word) > 1]
    kind: Kind
    match kinds:
        case []:
            kind = "teacher" if generation == 1 else "distilled"
        case ["scratch"]:
            kind = "scratch"
        case ["direct"]:
            kind = "direct"
        case _:
            kind = "other"
    return ArmName(generation=generation, member="".join(members), kind=kind)


def roles(arms: Sequence[str], others: Sequence[str] = ()) -> dict[str, str]:
    """Each arm of a run in words, such as `student (distilled)`; distinct within the run.

    A chain of two speaks of teacher and student; a longer one numbers its generations. `others` are named beside them,
    arms that did not run and columns that are no arms, and leave unchanged how the run's own are called.
    """
    longer = any(parse_arm(arm).generation > 2 for arm in arms)
    named = {other: _role(other, longer or parse_arm(other).generation > 2) for other in others}
    return named | {arm: _role(arm, longer) for arm in arms}


def _role(arm: str, longer: bool) -> str:
    name = parse_arm(arm)
    if name.kind == "other":
        return arm
    if name.kind == "teacher" and not name.member:
        return "teacher"
    who = f"generation {name.generation}" if longer else ("teacher" if name.generation == 1 else "student")
    who = f"{who} {name.member.upper()}" if name.member else who
    how = {"teacher": "", "distilled": " (distilled)", "scratch": " (scratch)", "direct": " (direct)"}
    return f"{who}{how[name.kind]}"


def label(metric: str) -> str:
    """A metric's name for people."""
    return _LABELS.get(metric, metric.replace("_", " "))


def title(metric: str) -> str:
    """A metric's name at the start of a line."""
    name = label(metric)
    return name[:1].upper() + name[1:]


def unit_of(metric: str) -> str:
    """The unit of a metric that stands beside the main one; empty where it has none or is not known."""
    return _UNITS.get(metric, "")


def in_unit(metric: str, unit: str) -> str:
    """A metric's name and its unit: `PSNR (Y), dB`."""
    return f"{label(metric)}, {unit}" if unit else label(metric)


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
