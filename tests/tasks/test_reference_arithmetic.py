"""The references' arithmetic: what does not follow from their own figures, and what does."""

from __future__ import annotations

from densedistill.distill.arithmetic import check, contradictions
from densedistill.tasks import get


def test_the_three_known_faults_are_found() -> None:
    told = [one for task in ("sr", "cls") for one in contradictions(get(task).claims, ["reference 003, section 4"])]
    assert any("86 % of the gap" in sentence and "65.3 %" in sentence for sentence in told)
    assert any("73 % fewer" in sentence and "92.1 %" in sentence for sentence in told)
    assert any("3.5 M parameters and 2.35 M" in sentence for sentence in told)


def test_what_follows_is_left_alone() -> None:
    assert contradictions(get("edges").claims, ["reference 003, section 5.2"]) == []
    assert contradictions(get("sr").claims, ["reference 000"]) == []
    assert get("seg").claims == ()


def test_every_stored_figure_is_read() -> None:
    claims = [one for task in ("sr", "cls", "edges") for one in get(task).claims]
    assert len({(one.reference, one.says) for one in claims}) == len(claims) == 15
    for one in claims:
        found = check(one)
        assert found.low <= found.value <= found.high or one.stated == "0"
        assert found.sentence.startswith(f"Reference {one.reference}, ")
