"""The references' arithmetic: what does not follow from their own figures, and what does."""

from __future__ import annotations

import pytest

from densedistill.distill.report.arithmetic import CLAIMS, Claim, bridged, check, contradictions, share


def claim(stated: str, *parts: str) -> Claim:
    return Claim(reference="009", where="x", tasks=("cls",), says="y", stated=stated, formula=share, parts=parts)


def test_the_three_known_faults_are_found() -> None:
    told = [one.sentence for task in ("sr", "cls") for one in contradictions(task, ["reference 003, section 4"])]
    assert any("86 % of the gap" in sentence and "65.3 %" in sentence for sentence in told)
    assert any("73 % fewer" in sentence and "92.1 %" in sentence for sentence in told)
    assert any("3.5 M parameters and 2.35 M" in sentence for sentence in told)


def test_what_follows_is_left_alone() -> None:
    assert contradictions("edges", ["reference 003, section 5.2"]) == []
    assert contradictions("sr", ["reference 000"]) == []
    assert contradictions("sr", []) == []


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


def test_every_stored_figure_is_read() -> None:
    assert len({(one.reference, one.says) for one in CLAIMS}) == len(CLAIMS)
    for one in CLAIMS:
        found = check(one)
        assert found.low <= found.value <= found.high or one.stated == "0"
        assert found.sentence.startswith(f"Reference {one.reference}, ")
