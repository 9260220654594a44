"""How closely a student follows its teacher, and how far its confidence can be trusted.

Shapes: N images, K classes. Logits are on the CPU; everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.metrics.accuracy import calibration_bins, expected_calibration_error

SHARPEST, SOFTEST = 0.01, 100.0
"""Bounds of a fitted temperature, reached where the labels ask for certainty, or for no confidence at all."""
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Scored:
    """What a network said to the images of an evaluation set, in their order."""

    output: Tensor
    """(N, ...) raw output, float32 on the CPU."""
    target: Tensor
    """(N, ...) as the set has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmScores:
    """One arm on the validation part, and on the main test set."""

    val: Scored
    test: Scored


FidelityFunction = Callable[[ArmScores, ArmScores | None, float, Sequence[str]], Mapping[str, Any]]
"""(an arm, its teacher or None, the method's temperature, names of the classes) -> figures by name."""


def class_fidelity(
    own: ArmScores, teacher: ArmScores | None, temperature: float, classes: Sequence[str]
) -> dict[str, Any]:
    """What classification records of an arm, on the main test set; nothing is fitted there.

    Returns:
        `ece` and `ece_scaled`: calibration error in 0..1 as it is, and at `fitted_temperature`, which validation
        chose; `class_accuracy`: percent by class. With a teacher, `agreement` in percent, `kl` in nats at
        `temperature`, and the teacher's own `teacher_ece` and `teacher_ece_scaled`. `calibration_bins` are those of the
        reliability diagram, as the logits are.
    """
    found: dict[str, Any] = {}
    if teacher is not None:
        found["agreement"] = agreement(own.test.output, teacher.test.output)
        found["kl"] = divergence(own.test.output, teacher.test.output, temperature)
        found["temperature"] = temperature
    found |= calibration(own)
    if teacher is not None:
        theirs = calibration(teacher)
        found |= {"teacher_ece": theirs["ece"], "teacher_ece_scaled": theirs["ece_scaled"]}
    said = _confidence(own.test.output, own.test.target)
    return found | {
        "class_accuracy": class_accuracy(own.test, classes),
        "calibration_bins": calibration_bins(*said),
    }


def agreement(student: Tensor, teacher: Tensor) -> float:
    """Share of images to which both give the same class, in percent, from logits (N, K).

    Raises:
        RequestError: logits of different shapes.
    """
    _check_pair(student, teacher)
    return 100.0 * float((student.argmax(dim=1) == teacher.argmax(dim=1)).double().mean())


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Mean KL(teacher ‖ student) of the probabilities at `temperature`, in nats, from logits (N, K).

    Without the factor T² that a loss has (Hinton et al., 2015): it is a distance, and not a gradient's scale.

    Raises:
        RequestError: logits of different shapes, or a temperature that is not above 0.
    """
    _check_pair(student, teacher)
    if not temperature > 0:
        raise RequestError(f"temperature {temperature} is no divisor for logits: give a number above 0, such as 4")
    log_student, log_teacher = (
        torch.log_softmax(logits.double() / temperature, dim=1) for logits in (student, teacher)
    )
    return float((log_teacher.exp() * (log_teacher - log_student)).sum(dim=1).mean())


def calibration(scores: ArmScores) -> dict[str, float]:
    """`ece` on test as it is, `ece_scaled` with logits divided by `fitted_temperature`, which validation chose.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, section 4.2.
    """
    fitted = fitted_temperature(scores.val.output, scores.val.target)
    return {
        "ece": calibration_error(scores.test.output, scores.test.target),
        "ece_scaled": calibration_error(scores.test.output / fitted, scores.test.target),
        "fitted_temperature": fitted,
    }


def calibration_error(logits: Tensor, target: Tensor) -> float:
    """Expected calibration error in 0..1, from logits (N, K) and labels (N,)."""
    return expected_calibration_error(*_confidence(logits, target))


def _confidence(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) float64 each: the highest probability, and 1 where its class is the label, else 0."""
    confidence, predicted = torch.softmax(logits.double(), dim=1).max(dim=1)
    return confidence, (predicted == target).double()


def fitted_temperature(logits: Tensor, target: Tensor) -> float:
    """The T in [0.01, 100] of least cross-entropy of softmax(logits / T), from logits (N, K) and labels (N,).

    The cross-entropy is convex in 1 / T with the derivative mean(E[z] - z_target), where E is over softmax(z / T); its
    zero is found by halving the interval of log T.
    """
    z, at_target = logits.double(), logits.double().gather(1, target[:, None]).squeeze(1)
    low, high = (torch.tensor(bound, dtype=torch.float64).log() for bound in (SHARPEST, SOFTEST))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (torch.softmax(z / middle.exp(), dim=1) * z).sum(dim=1)
        if float((expected - at_target).mean()) > 0:
            low = middle
        else:
            high = middle
    return float(high.exp())


def class_accuracy(scored: Scored, classes: Sequence[str]) -> dict[str, float]:
    """Accuracy in percent by class; a class without an image in the set is left out."""
    hits = scored.output.argmax(dim=1) == scored.target
    counts = torch.bincount(scored.target, minlength=len(classes))
    right = torch.bincount(scored.target[hits], minlength=len(classes))
    return {name: 100.0 * int(right[place]) / int(counts[place]) for place, name in enumerate(classes) if counts[place]}


def compared_fidelity(
    record: Mapping[str, Any], teacher: Mapping[str, Any] | None, scratch: Mapping[str, Any] | None
) -> dict[str, Any]:
    """An arm's fidelity as the result has it: {} without a teacher, else with the change of every class's accuracy.

    Args:
        record: the arm's record.
        teacher: its teacher's record.
        scratch: the record of the same network trained without a teacher.

    Returns:
        The arm's figures with `class_change_from_teacher` and `class_change_from_scratch`, in points.
    """
    if record["teacher"] is None:
        return {}
    found = dict(record["fidelity"])
    for name, other in (("teacher", teacher), ("scratch", scratch)):
        theirs = {} if other is None else other["fidelity"].get("class_accuracy", {})
        own = found.get("class_accuracy", {})
        if theirs and own:
            found[f"class_change_from_{name}"] = {key: own[key] - theirs[key] for key in own if key in theirs}
    return found


def _check_pair(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape or student.ndim != 2:
        raise RequestError(
            f"logits of shapes {tuple(student.shape)} and {tuple(teacher.shape)} cannot be compared: give two networks "
            "of the same classes, on the same images"
        )
