"""The nested parts of an arm's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densedistill.distill.report.facts import CalibrationBin, NoticeFacts
from densedistill.distill.report.values import entries, integer, text


def read_notices(value: object) -> tuple[NoticeFacts, ...]:
    """What was seen in an arm's training; entries without a text are left out."""
    return tuple(
        NoticeFacts(kind=text(entry.get("kind")), text=text(entry.get("text")), epoch=integer(entry.get("epoch")))
        for entry in entries(value)
        if text(entry.get("text"))
    )


def read_bins(bins: Mapping[str, Any]) -> tuple[CalibrationBin, ...]:
    """The bins of a reliability diagram, given as columns; none where a column is lacking."""
    columns = [bins.get(name) for name in ("count", "confidence", "accuracy")]
    if not all(isinstance(column, list) for column in columns):
        return ()
    return tuple(
        CalibrationBin(count=int(count), confidence=float(confidence), accuracy=float(accuracy))
        for count, confidence, accuracy in zip(*columns, strict=False)
    )
