"""How arms and metrics are called before people: roles in a run, names and units of figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
