"""Which of two figures is better and by how much, and what shares of a gap or of a gain follow from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def lead(figure: float, other: float, *, higher: bool) -> float:
    """By how much `figure` is better than `other`, negative where it is worse; `higher`: higher figures are better."""
    return figure - other if higher else other - figure


def best(items: Iterable[Item], figure: Callable[[Item], float], *, higher: bool) -> Item:
    """The one of `items` with the best figure, of equal ones the first; ValueError where there is none."""
    return max(items, key=lambda item: lead(figure(item), 0.0, higher=higher))


def gap_closed(student: float | None, scratch: float | None, teacher: float | None, *, higher: bool) -> float | None:
    """(student - scratch) / (teacher - scratch): 0 is no better than no teacher, 1 is as good as the teacher.

    None without one of the three, or where the teacher does not beat the scratch student: there is no gap to close.
    """
    return transfer_efficiency(student, scratch, teacher, scratch, higher=higher)


def retention(student: float | None, teacher: float | None) -> float | None:
    """Student / teacher, or None without one of them."""
    return student / teacher if student is not None and teacher else None


def transfer_efficiency(
    student: float | None, before: float | None, teacher: float | None, teacher_before: float | None, *, higher: bool
) -> float | None:
    """(student - before) / (teacher - teacher_before): 1 is a student that gained all that its teacher gained.

    Args:
        student: figure of the student of the better teacher.
        before: figure of the same student under the other teacher.
        teacher: the better teacher's figure.
        teacher_before: the other teacher's.
        higher: whether higher figures are better.

    Returns:
        A share, negative where the student lost; None without one of the four, or where the teacher gained nothing.
    """
    if student is None or before is None or teacher is None or teacher_before is None:
        return None
    gain = lead(teacher, teacher_before, higher=higher)
    return lead(student, before, higher=higher) / gain if gain > 0 else None
