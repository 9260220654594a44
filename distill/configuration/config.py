"""The configuration of a run: a task's preset, changed by the request, validated as a whole."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from densedistill.distill.arm import Control, plan_arms
from densedistill.distill.configuration.methods import checked_also, checked_method, method_tree
from densedistill.distill.configuration.recipe import FROZEN, Recipe
from densedistill.distill.configuration.speed import Speed
from densedistill.distill.configuration.validation import checked, validated
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.features.sources import Role
from densedistill.distill.spec import AnyMethod, NetworkSpec, TaskSpec
from densedistill.distill.yaml_text import UnreadableYamlError, parse_yaml

OPEN_KEYS = ("arguments", "generation_recipes", "pretrained_teacher_recipe", "also")
"""Mappings whose keys are not fixed: `--set` may add to them."""

_APART: Mapping[str, str] = {
    "task": "give --task NAME",
    "preset": "give --preset NAME",
    "plugins": "give --plugin FILE",
}
"""Fields that decide what there is to set, so that they cannot be set themselves; and what does it."""


class RunConfig(BaseModel):
    """A resolved run. Written to config.yaml; reading it back repeats the run."""

    model_config = FROZEN

    task: str
    preset: str
    plugins: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)
    generations: int = Field(default=2, ge=1)
    controls: tuple[Control, ...] = ("scratch",)
    only: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the arms to run, with the teachers they need; None: all of the chain and its controls."""
    networks: tuple[NetworkSpec, ...] = Field(min_length=1)
    """By generation; the first is the teacher."""
    students: tuple[NetworkSpec, ...] = Field(default=(), max_length=26)
    """Several networks that learn side by side as generation 2, in place of that generation's network."""
    method: dict[str, Any]
    """`name`, the method's parameters, and `also`: further methods by name, with what differs from their parameters.

    A further method adds its teacher's terms at its own weights: `also: {at: {weight: 500}, rkd: {}}`, on the command
    line `--set method.also.at.weight=500 --set method.also.rkd={}`.
    """
    recipe: Recipe
    generation_recipes: dict[int, dict[str, Any]] = Field(default_factory=dict)
    pretrained_teacher_recipe: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any]
    pretrained: Literal["auto", "required", "none"] = "auto"
    teacher_weights: Path | None = None
    teacher_run: Path | None = None
    """A finished run whose generation 1, with its weights and its figures, is this run's too."""
    student_weights: Path | None = None
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    speed: Speed = Speed()
    """Shortcuts, each of which can be switched off."""
    teacher_cache: int | None = Field(default=None, ge=1)
    """Views of each image, whose teacher outputs are computed once and kept; the run then sees no others. None: every
    epoch has views of its own, and the teacher answers each."""
    teacher_cache_root: Path | None = None
    """Folder for kept outputs that outlive the run; None: the run's folder, until the run is complete."""
    compared_with: Path | None = None
    """Folder of a finished run that this one changes something of: what its students gain over those there, as a share
    of what their teachers gain, is their transfer efficiency."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    doctor: Literal["auto", "always", "never"] = "auto"
    """Whether the run is examined before it starts: if it will take a quarter of an hour or more; always; never."""

    def network(self, generation: int, variant: int | None = None) -> NetworkSpec:
        """The network of a generation, or one of several students."""
        return self.networks[generation - 1] if variant is None else self.students[variant]

    def recipe_of(self, generation: int, *, pretrained: bool) -> Recipe:
        """The recipe of one generation; `pretrained` says whether it starts from the provider's weights."""
        changes = dict(self.generation_recipes.get(generation, {}))
        if generation == 1 and pretrained:
            changes |= self.pretrained_teacher_recipe
        return validated(Recipe, {**self.recipe.model_dump(), **changes}, f"generation_recipes.{generation}")

    def plain(self) -> dict[str, Any]:
        """As JSON and YAML have it."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A configuration together with the typed objects it stands for."""

    spec: TaskSpec
    config: RunConfig
    method: AnyMethod
    parameters: BaseModel
    options: BaseModel
    """The data options."""
    also: tuple[tuple[AnyMethod, BaseModel], ...] = ()
    """Further methods, whose teacher's terms are added."""

    @property
    def methods(self) -> tuple[tuple[AnyMethod, BaseModel], ...]:
        """Every method with its parameters, the main one first."""
        return ((self.method, self.parameters), *self.also)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those at which methods read logits, each once; CRD's, which is one of features, is none of them."""
        found = [
            float(getattr(parameters, "temperature", 0.0))
            for method, parameters in self.methods
            if not method.needs.features
        ]
        return tuple(dict.fromkeys(temperature for temperature in found if temperature))

    def roles(self, *, teaches: bool) -> tuple[Role, ...]:
        """The features that the methods read of a teacher or of a student, each once."""
        needs = [method.needs for method, _parameters in self.methods]
        own = [role for need in needs for role in (need.teacher_features if teaches else need.student_features)]
        return tuple(dict.fromkeys([*(role for need in needs for role in need.features), *own]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a caller asks for; None leaves the preset's value."""

    preset: str | None = None
    method: str | None = None
    teacher: str | None = None
    student: str | None = None
    students: Sequence[str] = ()
    """Several networks for generation 2."""
    settings: Sequence[tuple[str, object]] = ()
    """Fields of the configuration by dotted path, applied in order."""
    base: Mapping[str, Any] | None = None
    """A configuration to start from in place of a preset."""
    plugins: tuple[str, ...] = field(default=())


def resolve(spec: TaskSpec, request: Request) -> Resolved:
    """The request on top of the preset (or of an earlier configuration), validated.

    Raises:
        RequestError: every fault found, in one message.
    """
    tree = _requested_tree(spec, request)
    faults: list[str] = []
    config = checked(RunConfig, tree, "configuration", faults)
    method, parameters = checked_method(spec, tree.get("method"), faults)
    also = checked_also(spec, tree.get("method"), faults)
    options = checked(type(next(iter(spec.presets.values())).data), tree.get("data"), "data", faults)
    if config is not None:
        faults += chain_faults(config, spec)
    if faults or config is None or method is None or parameters is None or options is None:
        raise RequestError("; ".join(faults) + ".")
    return Resolved(spec=spec, config=config, method=method, parameters=parameters, options=options, also=also)


def _requested_tree(spec: TaskSpec, request: Request) -> dict[str, Any]:
    """The request as a plain tree, not yet validated as a whole."""
    if request.base is None:
        tree = preset_tree(spec, request.preset or "demo")
    else:
        tree = copy.deepcopy(dict(request.base))
        if request.preset not in (None, tree.get("preset")):
            raise RequestError(
                f"preset '{request.preset}' does not apply: the configuration to repeat was made from preset "
                f"'{tree.get('preset')}'; leave the preset or the configuration out."
            )
    if request.plugins:
        tree["plugins"] = list(request.plugins)
    if request.method is not None:
        preset = spec.presets.get(str(tree.get("preset")))
        named = {} if preset is None else preset.methods.get(str(request.method), {})
        tree["method"] = method_tree(spec, request.method, named)
    networks = tree.get("networks")
    for place, name in ((0, request.teacher), (1, request.student)):
        # A list that is none, or too short, is for the validation to judge.
        if name is not None and isinstance(networks, list) and place <= len(networks):
            networks[place : place + 1] = [{"name": name, "arguments": {}, "taps": []}]
    if request.student is not None and request.students:
        raise RequestError(
            f"student '{request.student}' and students {', '.join(request.students)} both name the last generation: "
            "give one of the two."
        )
    if request.students:
        tree["students"] = [{"name": name, "taps": []} for name in request.students]
    for path, value in request.settings:
        field = path.partition(".")[0]
        if field in _APART:
            raise RequestError(
                f"{path}={value!r} cannot be set among the other fields, which follow from it: {_APART[field]}; in a "
                f"study it is a field of its own, {field}."
            )
        change(tree, path, value)
    _require_generations(tree, request.settings)
    return tree


def _require_generations(tree: Mapping[str, Any], settings: Sequence[tuple[str, object]]) -> None:
    """RequestError where one of `settings` is the recipe of a generation that the chain does not have.

    A preset may have recipes for more generations than a chain that a request puts in place of its own.
    """
    networks = tree.get("networks")
    if not isinstance(networks, list | tuple):
        return
    for path, value in settings:
        part, _dot, rest = path.partition(".")
        if part != "generation_recipes":
            continue
        numbers = [rest.partition(".")[0]] if rest else map(str, value) if isinstance(value, Mapping) else ()
        for number in numbers:
            if not number.isdecimal() or not 1 <= int(number) <= len(networks):
                raise RequestError(
                    f"{part}.{number} is of no generation: the chain has the generations 1 to {len(networks)}."
                )


def preset_tree(spec: TaskSpec, name: str) -> dict[str, Any]:
    """A preset as the plain tree that `change` works on.

    Raises:
        RequestError: the task has no such preset.
    """
    if not isinstance(name, str) or name not in spec.presets:
        raise RequestError(unknown_name(f"preset of task {spec.name}", name, spec.presets))
    preset = spec.presets[name]
    return RunConfig(
        task=spec.name,
        preset=name,
        generations=preset.generations,
        networks=preset.chain,
        method=method_tree(spec, preset.method, preset.method_parameters),
        recipe=preset.recipe,
        generation_recipes={key: dict(value) for key, value in preset.generation_recipes.items()},
        pretrained_teacher_recipe=dict(preset.pretrained_teacher_recipe),
        data=preset.data.model_dump(mode="json"),
    ).model_dump(mode="json")


def change(tree: dict[str, Any], path: str, value: object) -> None:
    """Set the field at a dotted `path` (`recipe.epochs`, `networks.0.arguments.width`).

    A change to `recipe.X` holds for all generations: what single generations had for X is dropped.

    Raises:
        RequestError: no such field; the nearest one is named.
    """
    *parents, last = path.split(".")
    node: Any = tree
    walked: list[str] = []
    for key in parents:
        node = _descend(node, key, walked)
        walked.append(key)
    if isinstance(node, list):
        node[_place(node, last, walked)] = value
        return
    _require_key(node, last, walked)
    node[last] = value
    if walked == ["recipe"]:
        generations = tree.get("generation_recipes")
        single = list(generations.values()) if isinstance(generations, dict) else []
        for changes in (*single, tree.get("pretrained_teacher_recipe")):
            if isinstance(changes, dict):
                changes.pop(last, None)


def _descend(node: Any, key: str, walked: Sequence[str]) -> Any:
    if isinstance(node, list):
        return node[_place(node, key, walked)]
    _require_key(node, key, walked)
    if node.get(key) is None:
        node[key] = {}
    if not isinstance(node[key], dict | list):
        raise RequestError(f"'{'.'.join((*walked, key))}' is a single value ({node[key]!r}): it has no fields.")
    return node[key]


def _require_key(node: dict[Any, Any], key: str, walked: Sequence[str]) -> None:
    # An empty mapping was just made for a field that was None: validation will judge its keys.
    if key in node or not node or any(name in OPEN_KEYS for name in walked):
        return
    where = f"field of {'.'.join(walked)}" if walked else "field of the configuration"
    raise RequestError(unknown_name(where, key, [str(name) for name in node]))


def _place(node: list[Any], key: str, walked: Sequence[str]) -> int:
    if key.isdecimal() and int(key) < len(node):
        return int(key)
    if not node:
        whole = ".".join(walked)
        raise RequestError(f"'{whole}' is empty and has no place '{key}': set it as a whole, {whole}=[...].")
    raise RequestError(f"'{'.'.join(walked)}' has the places 0 to {len(node) - 1}, not '{key}'.")


def parse_setting(text: str) -> tuple[str, object]:
    """`key.path=value` as (path, value); the value is read as YAML.

    Raises:
        RequestError: no `=`, or a value that YAML cannot read.
    """
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise RequestError(f"setting '{text}' must have the form key.path=value, such as recipe.epochs=3.")
    try:
        return path, parse_yaml(value)
    except UnreadableYamlError:
        raise RequestError(f"setting '{text}': the value is not readable as YAML; quote it.") from None


def chain_faults(config: RunConfig, spec: TaskSpec) -> list[str]:
    """What no single field shows to be wrong: names, more generations than networks, a generation's recipe."""
    faults = []
    if config.task != spec.name:
        faults.append(f"task={config.task!r}: the configuration is one of another task than {spec.name}")
    elif config.preset not in spec.presets:
        faults.append(unknown_name(f"preset of task {spec.name}", config.preset, spec.presets).removesuffix("."))
    count = len(config.networks)
    if config.generations > count:
        names = " → ".join(network.name for network in config.networks)
        faults.append(
            f"generations={config.generations}, but the chain has {count} networks ({names}): give 1 to {count}, or a "
            "longer chain with --set networks=[...]"
        )
    if "direct" in config.controls and config.generations < 3:
        faults.append(
            f"controls names 'direct', which compares chains of 3 generations or more, but generations="
            f"{config.generations}: give --generations 3 or leave 'direct' out"
        )
    if config.students and config.generations != 2:
        faults.append(
            f"students names {len(config.students)} networks, which learn side by side as the last generation, but "
            f"generations={config.generations}: give --generations 2"
        )
    if config.students and config.student_weights is not None:
        faults.append("student_weights is one network's start, but students names several: leave one of them out")
    if config.teacher_run is not None and config.teacher_weights is not None:
        faults.append("teacher_run and teacher_weights both say where the teacher is from: leave one of them out")
    planned = [plan.name for plan in plan_arms(config.generations, config.controls, len(config.students))]
    unplanned = [name for name in config.only or () if name not in planned]
    faults += [unknown_name("arm in only", name, planned).removesuffix(".") for name in unplanned]
    for generation in range(1, min(config.generations, count) + 1):
        try:
            config.recipe_of(generation, pretrained=True)
        except RequestError as error:
            faults.append(str(error).removesuffix("."))
    return faults


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two plain configurations differ."""

    path: str
    """Dotted."""
    before: object
    now: object
    """None where the field is absent, as where it is none."""

    def __str__(self) -> str:
        """`path: old -> new`."""
        return f"{self.path}: {self.before!r} -> {self.now!r}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """The fields in which two plain configurations differ; `prefix` stands before their paths."""
    found: list[Difference] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(Difference(f"{prefix}{key}", old, new))
    return found
