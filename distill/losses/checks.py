"""What a loss demands of its settings and of the shapes it is given, each fault in one sentence."""

from __future__ import annotations

import math

from torch import Tensor

from densedistill.distill.errors import RequestError

ONE_CHANNEL = "softmax over fewer than two classes is constant, so give two or more classes or a loss for maps"
"""Why a loss on class logits refuses a single output."""


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


def check_logit_pair(student: Tensor, teacher: Tensor, at_least: int = 2, why: str = ONE_CHANNEL) -> None:
    """Raise `RequestError` unless both networks' logits are (B, K) of one shape, with K of `at_least`."""
    check_logits(student, at_least, why)
    check_same_shape("the student's output", student, "the teacher's", teacher)


def check_labels(target: Tensor, logits: Tensor) -> None:
    """Raise `RequestError` unless `target` holds one label for each row of `logits`."""
    if target.shape != logits.shape[:1]:
        raise RequestError(
            f"labels of shape {tuple(target.shape)} do not fit logits of shape {tuple(logits.shape)}: "
            "give one class number for each image"
        )


def check_same_images(student: Tensor, teacher: Tensor) -> None:
    """Raise `RequestError` unless both features are of as many images."""
    if student.shape[0] != teacher.shape[0]:
        raise RequestError(
            f"the student's feature is of {student.shape[0]} images and the teacher's of {teacher.shape[0]}: "
            "give both networks the same batch"
        )


def check_images(feature: Tensor, at_least: int, why: str) -> None:
    """Raise `RequestError` unless the batch has `at_least` images; `why` says what fewer cannot tell."""
    if feature.shape[0] < at_least:
        plural = "" if feature.shape[0] == 1 else "s"
        raise RequestError(
            f"a batch of {feature.shape[0]} image{plural} is too small: {why}; give {at_least} images or more at once"
        )


def check_channels(feature: Tensor, wanted: int, whose: str) -> None:
    """Raise `RequestError` unless axis 1 of `feature` has the `wanted` channels its projector takes."""
    if feature.shape[1] != wanted:
        raise RequestError(
            f"{whose} tapped feature has {feature.shape[1]} channels and its projector takes {wanted}: "
            "give the channels of that tap"
        )


def check_at_least_one(name: str, value: int) -> None:
    """Raise `RequestError` unless `value`, the count called `name`, is 1 or more."""
    if value < 1:
        raise RequestError(f"{name} {value} is no size for a layer: give 1 or more")


def check_exponent(name: str, value: float) -> None:
    """Raise `RequestError` unless `value`, the exponent called `name`, is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"{name} {value} is no exponent for this loss: give a finite number above 0")
