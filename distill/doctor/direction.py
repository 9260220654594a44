"""Which way a divergence in a loss points: from the teacher's distribution to the student's, or the other way.

KL(teacher ‖ student) grows without bound where the student gives no probability to what the teacher believes in;
KL(student ‖ teacher) where the student believes in what the teacher rules out. Both probes are answered by the loss
term itself, whatever its formula, temperature or decoupling.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from densedistill.distill.doctor.finding import Finding
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import Prediction, StepOutputs

Direction = Literal["teacher to student", "student to teacher", "none"]

RULED_OUT = -200.0
"""A logit so low that at any usual temperature nothing is left of its probability."""
CLEARLY = 2.0
"""How many times larger one probe's loss must be than the other's."""


def direction(term: LossTerm, outputs: StepOutputs) -> Direction:
    """Which way `term` points, `none` for a loss that treats both networks' outputs alike or does not read them.

    Args:
        term: one that needs the teacher.
        outputs: a step's, from which shapes, labels and features are taken; outputs are (B, K, ...) logits of K
            classes, or (B, 1, ...) of one.
    """
    both, one = _believing_in_two(outputs.student.output), _believing_in_one(outputs.student.output)
    missing = _answer(term, outputs, student=one, teacher=both)
    inventing = _answer(term, outputs, student=both, teacher=one)
    if missing > CLEARLY * inventing:
        return "teacher to student"
    return "student to teacher" if inventing > CLEARLY * missing else "none"


def check_direction(arm: str, terms: Sequence[LossTerm], outputs: StepOutputs) -> list[Finding]:
    """A finding for each term that needs the teacher and points one way."""
    found = []
    for term in terms:
        if not term.needs_teacher or not term.weight:
            continue
        pointing = direction(term, outputs)
        if pointing == "none":
            continue
        swapped = pointing == "student to teacher"
        found.append(
            Finding(
                check="KL direction",
                subject=arm,
                status="fail" if swapped else "pass",
                text=f"loss term '{term.name}' is large where the "
                + (
                    "student believes in what the teacher rules out: it is KL(student ‖ teacher)"
                    if swapped
                    else "student misses what the teacher believes in: it is KL(teacher ‖ student)"
                ),
                remedy="swap the arguments: the teacher's distribution comes first, and its gradient is cut; "
                "kd_loss(student_logits, teacher_logits, temperature) does so"
                if swapped
                else "",
                figures={"term": term.name, "direction": pointing},
            )
        )
    return found


def _believing_in_two(like: Tensor) -> Tensor:
    """Logits that give classes 0 and 1 one half each; for a single channel a probability of one half."""
    logits = torch.full_like(like, RULED_OUT, dtype=torch.float32)
    logits[:, :2] = 0.0
    return logits


def _believing_in_one(like: Tensor) -> Tensor:
    """Logits that give class 0 everything; for a single channel a probability of 0."""
    logits = _believing_in_two(like)
    logits[:, 0 if like.shape[1] == 1 else 1] = RULED_OUT
    return logits


@torch.no_grad()
def _answer(term: LossTerm, outputs: StepOutputs, *, student: Tensor, teacher: Tensor) -> float:
    taught = outputs.taught()
    batch = dict(outputs.batch)
    classes = student.shape[1]
    if classes > 2 and not batch["target"].is_floating_point():
        # Labels that neither network believes in: what is left of a decoupled loss is its other classes.
        batch |= {key: torch.full_like(batch[key], classes - 1) for key in ("target", "mixed_target") if key in batch}
    probe = dataclasses.replace(
        outputs,
        batch=batch,
        student=Prediction(output=student, taps=outputs.student.taps),
        teacher=Prediction(output=teacher, taps=taught.taps),
    )
    # A copy: some terms remember what they were shown.
    return float(copy.deepcopy(term.fn)(probe))
