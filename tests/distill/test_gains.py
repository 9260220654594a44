"""Which of two figures is better, and what follows from it."""

from __future__ import annotations

import pytest

from densedistill.distill.gains import best, gap_closed, lead, retention, transfer_efficiency


@pytest.mark.parametrize("higher", [True, False])
def test_a_lead_is_positive_where_the_first_figure_is_better(higher: bool) -> None:
    better, worse = (3.0, 1.0) if higher else (1.0, 3.0)
    assert lead(better, worse, higher=higher) == 2.0
    assert lead(worse, better, higher=higher) == -2.0
    assert lead(worse, worse, higher=higher) == 0.0


def test_the_best_is_the_first_of_equals() -> None:
    figures = {"a": 1.0, "b": 3.0, "c": 1.0, "d": 3.0}
    assert best(figures, figures.__getitem__, higher=True) == "b"
    assert best(figures, figures.__getitem__, higher=False) == "a"


@pytest.mark.parametrize(
    ("student", "scratch", "teacher", "higher", "expected"),
    [
        (75.0, 70.0, 80.0, True, 0.5),
        (82.0, 70.0, 80.0, True, 1.2),
        (68.0, 70.0, 80.0, True, -0.2),
        (70.0, 70.0, 80.0, True, 0.0),
        (0.3, 0.4, 0.2, False, 0.5),
        (75.0, 80.0, 80.0, True, None),
        (75.0, 81.0, 80.0, True, None),
        (0.3, 0.2, 0.4, False, None),
        (None, 70.0, 80.0, True, None),
        (75.0, None, 80.0, True, None),
        (75.0, 70.0, None, True, None),
    ],
)
def test_gap_closed(
    student: float | None, scratch: float | None, teacher: float | None, higher: bool, expected: float | None
) -> None:
    assert gap_closed(student, scratch, teacher, higher=higher) == (
        None if expected is None else pytest.approx(expected)
    )


def test_retention() -> None:
    assert retention(72.0, 80.0) == pytest.approx(0.9)
    assert retention(0.0, 80.0) == 0.0
    assert retention(72.0, 0.0) is None
    assert retention(None, 80.0) is None
    assert retention(72.0, None) is None


@pytest.mark.parametrize(
    ("figures", "higher", "expected"),
    [
        ((77.93, 76.19, 84.39, 76.65), True, 0.2248062),
        ((75.0, 76.0, 84.0, 80.0), True, -0.25),
        ((0.3, 0.4, 0.1, 0.3), False, 0.5),
        ((77.0, 76.0, 76.0, 76.0), True, None),
        ((77.0, 76.0, 75.0, 76.0), True, None),
        ((None, 76.0, 84.0, 76.0), True, None),
        ((77.0, None, 84.0, 76.0), True, None),
        ((77.0, 76.0, None, 76.0), True, None),
        ((77.0, 76.0, 84.0, None), True, None),
    ],
)
def test_gain_over_gain(figures: tuple[float | None, ...], higher: bool, expected: float | None) -> None:
    """The first line is reference 000's: 1.74 points of 7.74, which it calls 22.5 %."""
    found = transfer_efficiency(*figures, higher=higher)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))
