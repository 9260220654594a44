"""The frozen types a task is made of. The engine reads these and never asks which task it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn

from densedistill.distill.arithmetic import Claim
from densedistill.distill.configuration.recipe import FROZEN, Recipe
from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.features.sources import Features, Role
from densedistill.distill.fidelity import FidelityFunction
from densedistill.distill.metrics.base import Metric
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import Batch
from densedistill.distill.prediction.application import Application
from densedistill.distill.prediction.views import Views
from densedistill.distill.reuse import Adaptation

Argument = bool | int | float | str | list[int] | None
P = TypeVar("P", bound=BaseModel)
"""A method's parameters."""


class NetworkSpec(BaseModel):
    """A network by name, with the arguments that the data does not decide."""

    model_config = FROZEN

    name: str
    """A builder's name, such as `timm/resnet101` or `swinir-s`."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Added to what the task derives from the data (classes, scale, input size); these win."""
    taps: tuple[str, ...] = ()
    """Module paths whose outputs the losses may read."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _check_finite(cls, arguments: object) -> object:
        """Refuse what no record could hold in one sentence: a union's own message has one for each of its members."""
        for name, value in arguments.items() if isinstance(arguments, Mapping) else ():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}, which is no finite number: give one, or leave it out")
        return arguments


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A figure from a reference document. It stands beside ours and is never mixed in."""

    arm: str
    value: float
    metric: str
    split: str
    """The part of the data the reference measured on."""
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnContext:
    """What a method may know when it builds its own terms, which stand without a teacher."""

    pretrained: str
    """The run's policy on provider's weights: `auto`, `required` or `none`."""
    warn: Callable[[str], None]
    """Says something to the user and records it with the arm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TermContext(OwnContext):
    """What it may know beside a teacher."""

    student_taps: Mapping[str, torch.Size]
    """Shapes of the tapped features for one training batch."""
    teacher_taps: Mapping[str, torch.Size]
    student_features: Features
    """Where the features lie that the methods' `needs` ask for; none where they ask for none."""
    teacher_features: Features
    student_output: torch.Size
    """Of one training batch."""
    teacher_output: torch.Size
    teacher_network: nn.Module
    probe: Batch
    """A few training images, on the networks' device."""
    images: int
    """In the training set."""
    labels: Tensor | None = None
    """(images,) int64, the class of each training image, where the data set tells."""
    batch_size: int
    """Images that one process takes at once."""
    epochs: int
    seed: int
    """For the initialisation of projectors, so that it leaves the student's alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a method reads and owns beside both networks' outputs."""

    labels: bool = False
    """Its own term reads the labels; the labels' cross-entropy beside it is no need of the method."""
    features: tuple[Role, ...] = ()
    """Of either network; found where the configuration names no taps."""
    student_features: tuple[Role, ...] = ()
    """Of the student alone."""
    teacher_features: tuple[Role, ...] = ()
    """Of the teacher alone."""
    trains: str = ""
    """What it trains beside the student: `projector`, `temperature`. No part of the student that is saved."""
    index: bool = False
    """It remembers each training image by its number."""
    classifier: bool = False
    """It reads the teacher's last layer."""
    whole_logits: bool = False
    """Each of the teacher's logits matters to it: the largest and the mass of the rest at one temperature do not do,
    so a teacher cache keeps them all."""

    def words(self) -> str:
        """For a table: `labels, features (stages), projector`."""
        named = {
            "labels": self.labels,
            f"features ({', '.join(self.features)})": bool(self.features),
            f"student's features ({', '.join(self.student_features)})": bool(self.student_features),
            f"teacher's features ({', '.join(self.teacher_features)})": bool(self.teacher_features),
            self.trains: bool(self.trains),
            "index": self.index,
            "teacher's classifier": self.classifier,
        }
        return ", ".join(name for name, needed in named.items() if needed) or "outputs only"


@dataclass(frozen=True, kw_only=True, slots=True)
class Method(Generic[P]):
    """A distillation method: parameters with their defaults, and the loss terms they make.

    An arm without a teacher has the method's own terms, at the weight they have alone; a student has these and the
    taught ones. A method that is added to another brings its taught terms only.
    """

    name: str
    summary: str
    paper: str
    parameters: P
    """The defaults; `method.KEY=value` changes one."""
    own: Callable[[P, OwnContext], Sequence[LossTerm]]
    """(parameters, context) -> terms that read no teacher, such as cross-entropy with the labels."""
    taught: Callable[[P, TermContext], Sequence[LossTerm]]
    """(parameters, context) -> terms that read the teacher. Where all have weight 0 it is not run, and the own terms
    have the weight they have alone."""
    own_first: bool = False
    """Whether the own terms are listed, and added up, before the taught ones."""
    needs: Needs = Needs()
    adapt: Callable[[P, nn.Module, TermContext], Adaptation | None] | None = None
    """(parameters, student, context) -> the student as it is to be trained, evaluated and saved; None: as it is."""


AnyMethod = Method[Any]
"""A method of a collection, whatever its parameters."""


def filed(*methods: AnyMethod) -> dict[str, AnyMethod]:
    """Methods by name, as a `TaskSpec` has them."""
    return {method.name: method for method in methods}


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """Which metric a task is judged by."""

    name: str
    unit: str
    higher_is_better: bool
    make: Callable[[Any, TaskData], Metric]
    """(data options, data) -> a fresh metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelCell:
    """One cell of the report's sample panels."""

    image: np.ndarray | None
    """uint8 (H, W, 3), or None for a cell of text."""
    caption: str = ""
    correct: bool | None = None
    """Whether the prediction is right, for tasks where that is a question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panels:
    """How to show a sample. Each function gets one image's tensors, without the batch dimension."""

    picture: Callable[[Mapping[str, Tensor], TaskData], PanelCell]
    """(one image's batch entries, data) -> the input."""
    truth: Callable[[Mapping[str, Tensor], TaskData], PanelCell]
    prediction: Callable[[Tensor, Mapping[str, Tensor], TaskData], PanelCell]
    """(finished prediction, one image's batch entries, data) -> what an arm made of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """The numbers of a run: chain, recipe, data and method. A task's machinery is the same for all its presets."""

    summary: str
    chain: tuple[NetworkSpec, ...]
    """Networks by generation; the first is the teacher."""
    recipe: Recipe
    data: BaseModel
    method: str
    method_parameters: Mapping[str, object] = field(default_factory=dict)
    """Changes to the method's own defaults."""
    methods: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The same for methods that `--method` may name in its place: what their authors take for these networks."""
    generation_recipes: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """Changes to the recipe for single generations; 1 is the teacher."""
    pretrained_teacher_recipe: Mapping[str, object] = field(default_factory=dict)
    """Changes for generation 1 when it starts from the provider's weights."""
    references: tuple[Reference, ...] = ()
    generations: int = 2

    def __post_init__(self) -> None:
        """Reject a chain too short for the default number of generations."""
        if not 1 <= self.generations <= len(self.chain):
            raise ValueError(f"generations is {self.generations}, but the chain has {len(self.chain)} networks")


def no_benchmark(_options: Any, _part: str, _images: EvalSet) -> Metric | None:
    """For tasks whose metric says all there is to say."""
    return None


def no_baselines(_options: Any) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """For tasks that nothing solves without a network."""
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """A task: data, networks, losses and metric. All of it is data or pure functions."""

    name: str
    summary: str
    metric: MetricSpec
    methods: Mapping[str, AnyMethod]
    presets: Mapping[str, Preset]
    datasets: tuple[str, ...] = ()
    """What `--data` may name."""
    load_data: Callable[[Any], TaskData]
    """(data options) -> the data set with its split."""
    network_arguments: Callable[[str, Any, TaskData], Mapping[str, Argument]]
    """(network name, data options, data) -> arguments that follow from the data."""
    decided: tuple[str, ...] = ()
    """Which of those arguments no network may have otherwise, such as the number of classes."""
    predict: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
    """(network, input of any size) -> raw output of that size; pads and crops where the network needs it."""
    finish: Callable[[Tensor], Tensor]
    """Raw output -> what the metric reads: probabilities, or an image in [0, 1]."""
    panels: Panels
    fidelity: FidelityFunction | None = None
    """What an arm's record says beside the metric, with a teacher and without; None: nothing."""
    test_time: Mapping[str, Views] = field(default_factory=dict)
    """Kinds of test-time augmentation by name, the usual one first. Empty: the task has none."""
    benchmark: Callable[[Any, Literal["val", "test"], EvalSet], Metric | None] = field(default=no_benchmark)
    """(data options, part, images of that part) -> a fresh second metric, too slow for every epoch. The engine asks it
    of test sets alone, when an arm is done. None: this set has no such figures."""
    application: Application = field(default_factory=Application)
    """How its networks are applied to anybody's images; as they are, dense tasks need say nothing."""
    claims: tuple[Claim, ...] = ()
    """Figures that its references derive from others they print. Where one does not follow, results say so."""
    baselines: Callable[[Any], Mapping[str, Callable[[Tensor], Tensor]]] = field(default=no_baselines)
    """(data options) -> what an arm must beat to be worth its weights: functions from input to raw output."""

    def __post_init__(self) -> None:
        """Collect every fault of the spec and raise once."""
        faults = []
        if not self.name.isidentifier():
            faults.append(f"name {self.name!r} must be an identifier, such as 'edges'")
        if not self.presets:
            faults.append("presets is empty: give at least 'demo'")
        if not self.methods:
            faults.append("methods is empty: give at least one")
        for key, preset in self.presets.items():
            if preset.method not in self.methods:
                faults.append(f"preset '{key}' names method '{preset.method}', which is none of {sorted(self.methods)}")
        for key, method in self.methods.items():
            if key != method.name:
                faults.append(f"method '{method.name}' is filed under '{key}'")
        if faults:
            raise ValueError(f"task '{self.name}': " + "; ".join(faults))


def single(batch: Batch, place: int) -> dict[str, Tensor]:
    """The entries of one image of a batch."""
    return {key: value[place] for key, value in batch.items()}
