"""Claims computed again: what does not follow from its parts, and what rounding alone explains."""

from __future__ import annotations

import pytest

from densedistill.distill.arithmetic import Claim, bridged, check, contradictions, share


def claim(stated: str, *parts: str) -> Claim:
    return Claim(reference="009", where="x", says="y", stated=stated, formula=share, parts=parts)


def test_only_what_fails_is_told_and_only_of_the_references_named() -> None:
    claims = (claim("50", "1.00", "2.00"), claim("60", "1.00", "2.00"))
    assert contradictions(claims, ["reference 009, table 1"]) == [
        "Reference 009, x: y; from its figures 1.00, 2.00 follows 50 %."
    ]
    assert contradictions(claims, ["reference 010"]) == []
    assert contradictions(claims, []) == []


def test_the_gap_by_hand() -> None:
    assert bridged(25.79, 23.02, 27.26) == pytest.approx(100 * 2.77 / 4.24)


@pytest.mark.parametrize(
    ("stated", "parts", "holds"),
    [
        ("50", ("1", "2"), True),
        ("50.4", ("1.00", "2.00"), True),  # 1.004 of 1.995 is 50.3, of 1.990 would be more: rounding alone allows it
        ("51.0", ("1.00", "2.00"), False),
        ("51", ("1", "2"), True),
        ("49.9", ("100", "200"), True),
        ("49.8", ("1000", "2000"), False),
    ],
)
def test_rounding_is_no_fault(stated: str, parts: tuple[str, ...], holds: bool) -> None:
    assert check(claim(stated, *parts)).holds is holds
