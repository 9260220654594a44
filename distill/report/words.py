"""How arms and metrics are called before people: roles in a run, names and units of figures."""

from __future__ import annotations

from collections.abc import Sequence

from densedistill.distill.arm_names import ArmName

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


def roles(arms: Sequence[str], others: Sequence[str] = ()) -> dict[str, str]:
    """Each arm of a run in words, such as `student (distilled)`; distinct within the run.

    A chain of two speaks of teacher and student; a longer one numbers its generations. `others` are named beside them,
    arms that did not run and columns that are no arms, and leave unchanged how the run's own are called.
    """
    longer = any(ArmName.parse(arm).generation > 2 for arm in arms)
    named = {other: _role(other, longer or ArmName.parse(other).generation > 2) for other in others}
    return named | {arm: _role(arm, longer) for arm in arms}


def _role(arm: str, longer: bool) -> str:
    name = ArmName.parse(arm)
    if name.kind == "other":
        return arm
    if name.kind == "teacher" and not name.member:
        return "teacher"
    who = f"generation {name.generation}" if longer else ("teacher" if name.generation == 1 else "student")
    who = f"{who} {name.member.upper()}" if name.member else who
    how = {"teacher": "", "student": " (distilled)", "scratch": " (scratch)", "direct": " (direct)"}
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
