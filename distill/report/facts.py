"""What the report knows of a run, as frozen facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricFacts:
    """The metric that selects and compares."""

    name: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeFacts:
    """Something that was seen in an arm's training and that its figures should be read with."""

    kind: str
    text: str
    epoch: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationBin:
    """The test images of one range of confidence."""

    count: int
    confidence: float
    """Their mean, 0..1."""
    accuracy: float
    """Share of them that is right, 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmFacts:
    """One arm of `result.json`; None where it was not measured (yet)."""

    arm: str
    teacher: str | None = None
    network: str | None = None
    params: int | None = None
    init: str | None = None
    val: float | None = None
    test: float | None = None
    tests: Mapping[str, Mapping[str, float]]
    """Every metric by its name, by the name of the test set."""
    gap_closed: float | None = None
    """Share of the distance from scratch to teacher, 1 = all of it."""
    retention: float | None = None
    """Student's figure divided by its teacher's."""
    transfer_efficiency: float | None = None
    """The student's gain over another student's, as a share of its teacher's gain over the other's."""
    fidelity: Mapping[str, float]
    epochs: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    latency_ms: float | None = None
    """Milliseconds for one image, on the run's device."""
    notes: tuple[str, ...] = ()
    notices: tuple[NoticeFacts, ...] = ()
    class_accuracy: Mapping[str, float] = field(default_factory=dict)
    """Percent by class, where the task has classes."""
    calibration: tuple[CalibrationBin, ...] = ()
    finished: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineFacts:
    """What can be had without a network."""

    name: str
    val: float | None
    tests: Mapping[str, float | None]
    """The run's metric by test set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceFacts:
    """A published figure that stands beside an arm's."""

    arm: str
    value: float | None
    metric: str
    """Empty where it is the run's own metric."""
    split: str
    source: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochFacts:
    """One line of `metrics.jsonl`."""

    arm: str
    epoch: int
    learning_rate: float | None
    train_loss: float | None
    losses: Mapping[str, float]
    """Unweighted terms by name."""
    val_loss: float | None
    val: Mapping[str, float]
    seconds: float | None
    images_per_second: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """The data set and its split."""

    name: str
    embedded: bool
    train: int | None
    val: int | None
    tests: Mapping[str, float]
    """Number of images by the name of the test set."""
    fingerprint: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Everything the report tells. `finished` is False while there is no complete `result.json`."""

    folder: Path
    finished: bool
    task: str
    preset: str
    method: str
    seed: int | None
    command: tuple[str, ...]
    data: DataFacts
    metric: MetricFacts
    arms: tuple[ArmFacts, ...]
    baselines: tuple[BaselineFacts, ...]
    references: tuple[ReferenceFacts, ...]
    arithmetic: tuple[str, ...]
    """A sentence for each figure of the references that does not follow from their others."""
    environment: Mapping[str, str]
    epochs: tuple[EpochFacts, ...]
    config: str
    """`config.yaml` as it is written; empty where there is none."""
    notes: tuple[str, ...]

    def lines_of(self, arm: str) -> tuple[EpochFacts, ...]:
        """The epochs of one arm, in order."""
        return tuple(line for line in self.epochs if line.arm == arm)
