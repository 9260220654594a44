"""What `nckd_mixup.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.machine.runtime import resolve_device
from densedistill.distill.mixup_gradients import LossSpread, MixupSpread, Spread, measure_mixup
from densedistill.distill.mixup_moments import variance_factor
from densedistill.tools.finished import FinishedArm, open_arm

_BATCH = 256


def measure(options: argparse.Namespace) -> int:
    """Measure what `options` names and print it."""
    student, teacher, found = measure_run(
        Path(options.run),
        arm=options.arm,
        taught_by=options.teacher,
        images=options.images,
        draws=options.draws,
        concentration=options.beta,
        temperature=options.temperature,
        seed=options.seed,
        device=options.device,
    )
    if options.json:
        print(json.dumps(document(student, teacher, found), allow_nan=False))
    else:
        Console().print(table(student, teacher, found))
    return 0


def measure_run(
    run: Path,
    *,
    arm: str | None = None,
    taught_by: str | None = None,
    images: int = 512,
    draws: int = 8,
    concentration: float = 0.8,
    temperature: float = 4.0,
    seed: int = 0,
    device: str = "auto",
) -> tuple[FinishedArm, FinishedArm, MixupSpread]:
    """A run's student, its teacher, and their gradients' variance on validation images.

    Raises:
        RequestError: no such run or arms, an arm without a teacher, networks that take other sizes or are no
            classifiers, or a setting out of range.
    """
    student = open_arm(run, arm)
    named = taught_by or student.record["teacher"]
    if named is None:
        raise RequestError(f"{student.name} has no teacher to compare it with: name one with --teacher, such as gen_01")
    teacher = open_arm(run, named)
    pixels, labels = validation_images(student, images, seed)
    theirs, _labels = validation_images(teacher, 1, seed)
    if pixels.shape[1:] != theirs.shape[1:]:
        raise RequestError(
            f"{student.name} takes {pixels.shape[-1]} pixels and {teacher.name} {theirs.shape[-1]}: Mixup is measured "
            "on one image for both, so name a run whose teacher has the student's size"
        )
    where = resolve_device(device)
    for network in (student.network, teacher.network):
        network.to(where)
    found = measure_mixup(
        student.network,
        teacher.network,
        pixels.to(where),
        labels.to(where),
        concentration=concentration,
        temperature=temperature,
        draws=draws,
        seed=seed,
    )
    return student, teacher, found


def validation_images(arm: FinishedArm, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` of the run's validation images at random, as the arm takes them, with their classes.

    Raises:
        RequestError: the task's targets are no classes, or the part is smaller.
    """
    val = arm.own_data().val
    if not 1 <= count <= len(val.ids):
        raise RequestError(f"--images {count}: the validation part has {len(val.ids)}, so give 1 to {len(val.ids)}")
    chosen = torch.zeros(len(val.ids), dtype=torch.bool)
    chosen[torch.randperm(len(val.ids), generator=torch.Generator().manual_seed(seed))[:count]] = True
    pixels, labels, done = [], [], 0
    for batch in val.batches(_BATCH, device=torch.device("cpu")):
        kept = chosen[done : done + len(batch["input"])]
        done += len(kept)
        if batch["target"].ndim != 1:
            raise RequestError(
                f"task {arm.resolved.spec.name} has no classes, and this gradient is one of class logits: give a run "
                "of a classification task"
            )
        pixels.append(batch["input"][kept])
        labels.append(batch["target"][kept])
    return torch.cat(pixels), torch.cat(labels)


def document(student: FinishedArm, teacher: FinishedArm, found: MixupSpread) -> dict[str, Any]:
    """All figures, schema 1."""
    figures = dataclasses.asdict(found)
    for name, loss in (("nckd", found.nckd), ("kd", found.kd)):
        figures[name] |= {"change": loss.change, "predicted_change": predicted_change(loss)}
    return {
        "schema": 1,
        "student": {"arm": student.name, "network": student.record["network"]},
        "teacher": {"arm": teacher.name, "network": teacher.record["network"]},
        "data": student.recorded_data.get("name"),
        "part": "val",
        "independent_images": variance_factor(found.concentration),
        **figures,
    }


def predicted_change(loss: LossSpread) -> float:
    """The closed form's variance under Mixup as a multiple of the plain one, both to first order."""
    return loss.closed_form.total / loss.linear_plain


def table(student: FinishedArm, teacher: FinishedArm, found: MixupSpread) -> Table:
    """Both losses side by side."""
    title = f"{teacher.name} ({teacher.record['network']}) teaches {student.name} ({student.record['network']})"
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", show_edge=False)
    shown.add_column("trace of the gradient's covariance")
    for head in ("NCKD", "KD"):
        shown.add_column(head, justify="right")
    losses = (found.nckd, found.kd)

    def rows(name: str, spreads: Sequence[Spread]) -> None:
        shown.add_row(name, *(f"{value.total:.4g}" for value in spreads))
        shown.add_row("  share of it over λ", *(f"{value.within / value.total:.0%}" for value in spreads), style="dim")

    shown.add_row("plain images", *(f"{loss.plain:.4g}" for loss in losses))
    rows("mixed images", [loss.measured for loss in losses])
    rows("mixed, were logits superposed", [loss.superposed for loss in losses])
    shown.add_row("plain, to first order", *(f"{loss.linear_plain:.4g}" for loss in losses))
    rows("mixed, closed form", [loss.closed_form for loss in losses])
    shown.add_row("mixed over plain, measured", *(f"× {loss.change:.3f}" for loss in losses), style="bold")
    shown.add_row("mixed over plain, closed form", *(f"× {predicted_change(loss):.3f}" for loss in losses))
    for place, kind in enumerate(("plain", "mixed")):
        shown.add_row(f"cosine with the labels', {kind}", *(f"{loss.label_cosine[place]:+.3f}" for loss in losses))
    shown.caption = (
        f"{found.images} validation images, {found.draws} draws of λ ~ Beta({found.concentration:g}, "
        f"{found.concentration:g}), T {found.temperature:g}; of independent images mixing leaves × "
        f"{variance_factor(found.concentration):.3f}"
    )
    return shown
