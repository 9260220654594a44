"""The doctor's command: a table or JSON, and an exit status."""

from __future__ import annotations

import json

import pytest

from densedistill.distill.doctor.finding import Diagnosis, Finding
from densedistill.tools import doctor, doctor_actions

SOUND = Finding(check="taps", subject="gen_02", status="pass", text="4x8x2x2")
WARNED = Finding(check="duplicates", subject="test set a", status="warn", text="1 image", remedy="take it out")
BROKEN = Finding(check="KL direction", subject="gen_02", status="fail", text="KL is turned [b]", remedy="turn it")


def test_a_finding_that_is_no_pass_names_a_remedy() -> None:
    with pytest.raises(ValueError, match="names no remedy"):
        Finding(check="taps", subject="gen_02", status="fail", text="dead")


@pytest.mark.parametrize(
    ("findings", "status"),
    [((), "pass"), ((SOUND,), "pass"), ((SOUND, WARNED), "warn"), ((BROKEN, WARNED, SOUND), "fail")],
)
def test_a_diagnosis_is_as_bad_as_its_worst_finding(findings: tuple[Finding, ...], status: str) -> None:
    assert Diagnosis(findings=findings, seconds=1.0).status == status


@pytest.mark.parametrize(("findings", "expected"), [((SOUND, WARNED), 0), ((SOUND, BROKEN), 3)])
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_status_and_output(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    findings: tuple[Finding, ...],
    expected: int,
    as_json: bool,
) -> None:
    found = Diagnosis(findings=findings, seconds=2.5)
    monkeypatch.setattr(doctor_actions, "diagnose", lambda _options, _nowhere: found)
    assert doctor.main(["--task", "cls", *(["--json"] if as_json else [])]) == expected
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out) == found.plain()
    else:
        assert all(finding.check in out for finding in findings)
        assert "take it out" in out or "turn it" in out
    assert ("KL direction (gen_02)" in err) == (expected == 3)


def test_a_wrong_request_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--task", "clss"]) == 2
    assert "Did you mean 'cls'?" in capsys.readouterr().err
