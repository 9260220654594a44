"""What the doctor finds: one verdict for each check, with the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

Status = Literal["pass", "skip", "warn", "fail"]
"""Sorted from good to bad. `skip`: there was nothing to look at, and the text says why."""
_ORDER: tuple[Status, ...] = ("pass", "skip", "warn", "fail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The verdict of one check."""

    check: str
    """The check's name, the same in every run."""
    subject: str
    """The arm or the data that was looked at."""
    status: Status
    text: str
    """What was measured, in words."""
    remedy: str = ""
    """What to do about a warning or a failure."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What was measured, for programs."""

    def __post_init__(self) -> None:
        """A fault without a remedy helps nobody."""
        if self.status in ("warn", "fail") and not self.remedy:
            raise ValueError(f"check '{self.check}' ends in {self.status} and names no remedy")

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "check": self.check,
            "subject": self.subject,
            "status": self.status,
            "text": self.text,
            "remedy": self.remedy,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All verdicts on a run."""

    findings: tuple[Finding, ...]
    seconds: float
    """What looking took."""

    @property
    def status(self) -> Status:
        """The worst verdict; a check that had nothing to look at does not count."""
        worst = max((_ORDER.index(finding.status) for finding in self.findings), default=0)
        return _ORDER[worst] if worst > _ORDER.index("skip") else "pass"

    def of(self, *statuses: Status) -> tuple[Finding, ...]:
        """The findings with one of `statuses`."""
        return tuple(finding for finding in self.findings if finding.status in statuses)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "schema": SCHEMA,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "findings": [finding.plain() for finding in self.findings],
        }

    def failures(self) -> str:
        """The failed checks in one message, with their remedies; empty where none failed."""
        return "; ".join(
            f"{finding.check} ({finding.subject}): {finding.text}. {finding.remedy}" for finding in self.of("fail")
        )
