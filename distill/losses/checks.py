"""What a loss demands of its settings and of the shapes it is given, each fault in one sentence."""

from __future__ import annotations

import math

from torch import Tensor

from densedistill.distill.errors import RequestError


def check_temperature(temperature: float) -> None:
    """Raise `RequestError` unless `temperature` is finite and above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise RequestError(
            f"temperature {temperature} is no divisor for logits: give a finite number above 0, such as 4"
        )


def check_fraction(name: str, value: float) -> None:
    """Raise `RequestError` unless `value`, the setting called `name`, lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise RequestError(f"{name} {value} is no share of a whole: give a number from 0 to 1")


def check_label_smoothing(label_smoothing: float) -> None:
    """Raise `RequestError` unless `label_smoothing` lies in [0, 1)."""
    if not 0 <= label_smoothing < 1:
        raise RequestError(
            f"label smoothing {label_smoothing} leaves no label to learn: give a number from 0 to below 1"
        )


def check_weight(name: str, value: float) -> None:
    """Raise `RequestError` unless `value`, the setting called `name`, is finite and at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise RequestError(f"{name} {value} cannot weigh a loss: give a finite number of at least 0")


def check_pos_weight(pos_weight: float) -> None:
    """Raise `RequestError` unless `pos_weight` is finite and above 0."""
    if not (math.isfinite(pos_weight) and pos_weight > 0):
        raise RequestError(
            f"pos_weight {pos_weight} would unlearn the positive pixels: give a finite number above 0, "
            "1 for no weighting"
        )


def check_same_shape(what: str, given: Tensor, against: str, wanted: Tensor) -> None:
    """Raise `RequestError` unless both tensors have one shape, since broadcasting would hide the fault."""
    if given.shape != wanted.shape:
        raise RequestError(
            f"{what} has shape {tuple(given.shape)} and {against} {tuple(wanted.shape)}: "
            "give networks and data whose shapes agree"
        )


def check_logits(logits: Tensor, at_least: int, why: str) -> None:
    """Raise `RequestError` unless `logits` is (B, K) with K of `at_least`; `why` ends the sentence."""
    if logits.ndim != 2:
        raise RequestError(
            f"logits of shape {tuple(logits.shape)} are not (batch, classes): "
            "give a classification network, or a loss for maps"
        )
    if logits.shape[1] < at_least:
        plural = "" if logits.shape[1] == 1 else "s"
        raise RequestError(f"{logits.shape[1]} output channel{plural}: {why}")
