"""What a report knows of a study: arms over seeds, each trial with its run where that lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from densedistill.distill.report.facts import ArmFacts, DataFacts, MetricFacts, ReferenceFacts, RunFacts

State = Literal["done", "failed", "pruned", "waiting", "running"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFacts:
    """One arm with one seed."""

    seed: int
    state: State
    figures: ArmFacts
    """What it reached; empty figures while it is not done."""
    run: RunFacts | None
    """The run it was trained in, where its folder is there."""
    error: str = ""
    retries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyArmFacts:
    """One arm of a study."""

    arm: str
    label: str
    """Its name for people."""
    role: str
    """`teacher`, `method`, `control`, or `search`: a point that a search tried."""
    settings: Mapping[str, object]
    """The configuration fields that make it this arm."""
    axes: Mapping[str, object]
    """Its place on the study's axes."""
    condition: str = ""
    """Which of several circumstances it was trained under."""
    teacher: str = ""
    """Key of a shared teacher, or the name of the arm that taught it; empty without one."""
    trials: tuple[TrialFacts, ...]

    @property
    def done(self) -> tuple[TrialFacts, ...]:
        """The trials with a result."""
        return tuple(trial for trial in self.trials if trial.state == "done")


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherFacts:
    """A teacher that arms share."""

    key: str
    figures: ArmFacts
    run: RunFacts | None
    state: str = "done"
    error: str = ""
    retries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ContrastFacts:
    """A difference of two differences: what one arm gains minus what another does."""

    contrast: str
    """Its name in the study."""
    label: str
    """Its name for people."""
    of: tuple[str, str]
    """An arm, and the one that it is measured against."""
    minus: tuple[str, str]
    """Likewise, of the difference that is taken off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """Everything the report tells."""

    folder: Path
    name: str
    task: str
    preset: str
    question: str
    claim: str
    claim_source: str
    expects: Mapping[str, str]
    """By arm: `better` or `worse`, what the claim says of it against what it is compared with; likewise by contrast."""
    metric: MetricFacts
    """What arms are compared by, on test."""
    selected_by: MetricFacts
    """What runs chose their epochs by, on validation; a study may be judged by another figure."""
    data: DataFacts
    axes: Mapping[str, tuple[object, ...]]
    arms: tuple[StudyArmFacts, ...]
    pairs: tuple[tuple[str, str], ...]
    """(arm, its control) for every comparison that the question names."""
    contrasts: tuple[ContrastFacts, ...] = ()
    teachers: tuple[TeacherFacts, ...]
    references: tuple[ReferenceFacts, ...]
    arithmetic: tuple[str, ...]
    """A sentence for each figure of the references that does not follow from their others."""
    complete: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]

    def named(self, arm: str) -> StudyArmFacts:
        """The arm of that name.

        Raises:
            KeyError: there is none.
        """
        for one in self.arms:
            if one.arm == arm:
                return one
        raise KeyError(arm)
