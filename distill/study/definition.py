"""What a study is: its question, its arms, their grids and seeds; read from YAML or made by a built-in function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from densedistill.distill.arm_names import ArmName, Kind
from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.configuration.validation import validated
from densedistill.distill.errors import RequestError
from densedistill.distill.yaml_text import read_mapping

NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""Names of studies, arms and conditions are names of folders too."""

_FIRST: Mapping[Kind, int] = {"teacher": 1, "student": 2, "scratch": 2, "direct": 3}
"""The first generation that has an arm of the kind."""

Expectation = Literal["better", "worse"]

Settings = dict[str, Any]
"""Fields of a run's configuration by dotted path, with the flags of `distill.py` by their names."""


class Claim(BaseModel):
    """The statement that a study puts to the test."""

    model_config = FROZEN

    text: str
    source: str
    """Document and place, as a reader finds it."""
    expects: dict[str, Expectation] = Field(default_factory=dict)
    """What follows from the statement for arms against what each is compared with, and for contrasts, so that the
    report can say whether it is borne out. By a contrast's name, or the arm's full name; `*` stands for anything in
    arms' names, as in `*-dkd-8` for every condition."""


class Contrast(BaseModel):
    """A difference of two differences: whether one arm gains more over its control than another does over its own.

    What a claim says of two factors at once ("more under strong augmentation") is in no single comparison, and is not
    shown by one of them being significant where the other is not.
    """

    model_config = FROZEN

    label: str | None = None
    """For tables; None: the two arms of `of`."""
    of: str | tuple[str, str]
    """An arm by its full name, minus what it is compared with; or two arms, the first minus the second."""
    minus: str | tuple[str, str]
    """The difference that is taken off, likewise."""


class StudyMetric(BaseModel):
    """The figure that arms are compared by, where it is not the task's own."""

    model_config = FROZEN

    name: str
    """As the first test set's figures have it, such as `ods`."""
    unit: str = ""
    higher_is_better: bool = True


class Range(BaseModel):
    """An interval to search in; both ends belong to it."""

    model_config = FROZEN

    low: int | float
    high: int | float
    log: bool = False
    """Search in the logarithm: as many points from 1 to 2 as from 10 to 20."""

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 where log is true")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are searched."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(BaseModel):
    """An arm whose settings are searched for: TPE (Bergstra et al. 2011) on the validation figure of the first seed.

    The best point then becomes an arm of its own, `ARM-best`, with all seeds.
    """

    model_config = FROZEN

    fields: dict[str, Range] = Field(min_length=1)
    points: int = Field(ge=2)
    """How many settings are tried."""


class ArmDefinition(BaseModel):
    """One way to train, or with `grid` or `search` a family of them."""

    model_config = FROZEN

    label: str | None = None
    """For tables; None: the arm's name."""
    trains: str = "gen_02"
    """Which arm of the chain it is: `gen_02_scratch` has no teacher, `gen_03_direct` skips the generations between."""
    settings: Settings = Field(default_factory=dict)
    """What this arm changes in the study's `base`."""
    teacher: Settings = Field(default_factory=dict)
    """What its teacher's training changes in the study's `teacher`."""
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Values by field; every combination becomes an arm."""
    search: Search | None = None
    against: str | None = None
    """The arm it is compared with; None: the study's control, and for an arm without a teacher nothing."""

    @field_validator("trains")
    @classmethod
    def _of_a_chain(cls, trains: str) -> str:
        name = ArmName.parse(trains)
        if str(name) != trains or name.member or name.generation < _FIRST.get(name.kind, math.inf):
            raise ValueError(
                f"'{trains}' is no arm of a chain: give gen_01, gen_02, gen_02_scratch, gen_03_direct or a later one"
            )
        return trains

    @field_validator("grid")
    @classmethod
    def _filled(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        empty = [field for field, values in grid.items() if not values]
        if empty:
            raise ValueError(f"the grid of {', '.join(empty)} is empty: give at least one value, or leave it out")
        return grid


class Pruning(BaseModel):
    """Stops arms whose validation figure is below the median of the other trials at the same epoch.

    Controls are never stopped. A stopped trial is recorded as pruned and counts in no comparison.
    """

    model_config = FROZEN

    after_epochs: int = Field(default=1, ge=0)
    """Epochs that every trial gets."""
    startup_trials: int = Field(default=4, ge=1)
    """Finished trials before any is stopped."""


class StudyDefinition(BaseModel):
    """A study. What is written to `study.yaml` is this, with every default in place."""

    model_config = FROZEN

    name: str = Field(pattern=NAME)
    size: str = "custom"
    """Which of a built-in study's sizes this is: `demo` or `paper`."""
    question: str
    """In one sentence; the report answers it in its first lines."""
    claim: Claim | None = None
    task: str
    preset: str = "demo"
    """The task's preset that all arms start from."""
    plugins: tuple[str, ...] = ()
    metric: StudyMetric | None = None
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    base: Settings = Field(default_factory=dict)
    """Changes to the preset, for every arm."""
    teacher: Settings = Field(default_factory=dict)
    """Further changes for teachers' training alone. An arm's own `settings` reach its teacher where they
    describe it: its network (`teacher`, `networks.0`), recipe (`generation_recipes.1`), weights, and the data."""
    teachers: Literal["shared", "per-seed"] = "shared"
    """One teacher for all seeds, or one for each."""
    teacher_seed: int = Field(default=0, ge=0)
    """Of a shared teacher."""
    conditions: dict[str, Settings] = Field(default_factory=dict)
    """Circumstances by name: every arm is run under each, whose fields come last, and compared within it."""
    condition_labels: dict[str, str] = Field(default_factory=dict)
    """Conditions' names for tables, where they are not those above."""
    varies: tuple[str, ...] = ()
    """Fields that the question names, by the start of their path. What else differs between compared arms is warned of;
    fields of grids and conditions count as named."""
    control: str
    """The arm that others are compared with."""
    arms: dict[str, ArmDefinition] = Field(min_length=1)
    contrasts: dict[str, Contrast] = Field(default_factory=dict)
    """Differences of differences by name; tested by seed like comparisons, and corrected for together with them."""
    retries: int = Field(default=1, ge=0)
    """How often a failed run is tried again."""
    pruning: Pruning | None = None
    notes: tuple[str, ...] = ()
    """What a reader has to know to judge the figures."""

    @field_validator("arms", "conditions", "contrasts")
    @classmethod
    def _named(cls, named: dict[str, Any]) -> dict[str, Any]:
        import re

        wrong = [name for name in named if not re.match(NAME, name)]
        if wrong:
            raise ValueError(f"names have lower-case letters, digits, '.', '_' and '-' alone, not {', '.join(wrong)}")
        return named

    @model_validator(mode="after")
    def _consistent(self) -> StudyDefinition:
        faults = []
        for name, against in (("control", self.control), *((key, arm.against) for key, arm in self.arms.items())):
            if against is not None and against not in self.arms:
                faults.append(f"{name} names the arm '{against}', which is none of {', '.join(self.arms)}")
        faults += [
            f"condition_labels names '{name}', which is none of the conditions ({', '.join(self.conditions) or 'none'})"
            for name in self.condition_labels
            if name not in self.conditions
        ]
        if len(set(self.seeds)) != len(self.seeds):
            faults.append(f"seeds {list(self.seeds)} has a seed twice")
        compared = {self.control, *(arm.against for arm in self.arms.values())}
        for name, arm in self.arms.items():
            if name in compared and (arm.search or arm.grid):
                faults.append(f"arm '{name}' has others compared with it, so it must be one arm: leave its grid out")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def plain(self) -> dict[str, Any]:
        """As YAML and JSON have it."""
        return self.model_dump(mode="json")

    def yaml(self) -> str:
        """As a study file has it; only what differs from the defaults."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)


def read_study(path: Path) -> StudyDefinition:
    """The study that the YAML file `path` describes.

    Raises:
        RequestError: the file is missing or no YAML; or every fault of the study, in one message.
    """
    values = read_mapping(path, "study file", "a study as study.py --print-study shows one")
    return study_from(values, f"study file '{path}'")


def study_from(values: Mapping[str, Any], where: str) -> StudyDefinition:
    """`values` as a study.

    Raises:
        RequestError: every fault, with the field it is in.
    """
    try:
        return validated(StudyDefinition, values, "configuration")
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None
