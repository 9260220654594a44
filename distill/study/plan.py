"""A study worked out: every arm with its settings checked, its teacher, and what a fair comparison would mind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densedistill.distill.arm_names import ArmName
from densedistill.distill.configuration.config import Resolved, resolve
from densedistill.distill.configuration.immaterial import HOW_DATA_ARE_READ, among
from densedistill.distill.configuration.paths import path_fields
from densedistill.distill.errors import RequestError
from densedistill.distill.spec import TaskSpec
from densedistill.distill.study.arms import StudyArm, study_arms
from densedistill.distill.study.contrasts import StudyContrast, contrasts_of
from densedistill.distill.study.decided import require_undecided
from densedistill.distill.study.definition import Expectation, StudyDefinition
from densedistill.distill.study.expectations import expected_of
from densedistill.distill.study.layers import RunSettings, merged


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherPlan:
    """A teacher that is trained, or loaded, once for all arms that share it."""

    key: str
    """Eight hexadecimal digits of what determines it."""
    settings: RunSettings
    fields: Mapping[str, Any]
    """What it is made of, as nested fields of a configuration: for a comparison with another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan:
    """All runs of a study."""

    study: StudyDefinition
    arms: tuple[StudyArm, ...]
    configs: Mapping[str, Resolved]
    """By arm: its configuration for the first seed; searched fields are at their lower bounds."""
    teachers: Mapping[str, TeacherPlan]
    """By key."""
    taught_by: Mapping[tuple[str, int], str]
    """(arm, seed) -> key of its teacher; nothing for an arm without one."""
    expects: Mapping[str, Expectation]
    """By arm: what the claim says of it against what it is compared with; by contrast: what it says of that."""
    contrasts: tuple[StudyContrast, ...] = ()

    def arm(self, name: str) -> StudyArm:
        """The arm `name`."""
        return next(arm for arm in self.arms if arm.name == name)


def plan_study(study: StudyDefinition, spec: TaskSpec) -> StudyPlan:
    """Work `study` out for its task.

    Raises:
        RequestError: every arm whose settings are wrong, with what is wrong, in one message; or a contrast or the
            claim names an arm that there is not; or a layer sets what the study itself decides.
    """
    require_undecided(study)
    arms = study_arms(study)
    contrasts = contrasts_of(study, arms)
    expects = expected_of(study, arms)
    configs: dict[str, Resolved] = {}
    teachers: dict[str, TeacherPlan] = {}
    taught_by: dict[tuple[str, int], str] = {}
    faults: dict[str, list[str]] = {}
    for arm in arms:
        try:
            for edge in ("high", "low"):
                sampled = {
                    name: getattr(bounds, edge) for name, bounds in (arm.search.fields if arm.search else {}).items()
                }
                configs[arm.name] = resolve(spec, trial_settings(study, arm, arm.seeds[0], spec, sampled).request())
            for seed in arm.seeds if arm.taught else ():
                plan = teacher_plan(study, arm, seed, spec)
                teachers.setdefault(plan.key, plan)
                taught_by[arm.name, seed] = plan.key
        except RequestError as error:
            faults.setdefault(str(error).removesuffix("."), []).append(arm.name)
    if faults:
        listed = "; ".join(f"{_named(names)}: {fault}" for fault, names in faults.items())
        raise RequestError(f"study '{study.name}': {listed}.")
    return StudyPlan(
        study=study,
        arms=arms,
        configs=configs,
        teachers=teachers,
        taught_by=taught_by,
        expects=expects,
        contrasts=contrasts,
    )


def _named(arms: Sequence[str]) -> str:
    shown = ", ".join(arms[:3]) + (f" and {len(arms) - 3} more" if len(arms) > 3 else "")
    return f"arm{'s' if len(arms) > 1 else ''} {shown}"


def trial_settings(
    study: StudyDefinition, arm: StudyArm, seed: int, spec: TaskSpec, sampled: Mapping[str, Any] | None = None
) -> RunSettings:
    """What the run of `arm` with `seed` changes in the preset: it trains that arm and the students that teach it."""
    kind = ArmName.parse(arm.trains).kind
    run = {
        "generations": arm.generation,
        "controls": [kind] if kind in ("scratch", "direct") else [],
        "only": [arm.trains],
        "seed": seed,
    }
    return RunSettings.of(study.preset, merged(study.base, arm.settings, sampled or {}, run), path_fields(spec))


def teacher_plan(study: StudyDefinition, arm: StudyArm, seed: int, spec: TaskSpec) -> TeacherPlan:
    """The teacher of `arm`, told from others by what determines it."""
    own = {
        "generations": 1,
        "controls": [],
        "seed": study.teacher_seed if study.teachers == "shared" else seed,
        "teacher_cache": None,
    }
    settings = RunSettings.of(study.preset, merged(arm.teacher, own), path_fields(spec))
    resolved = resolve(spec, settings.request())
    return TeacherPlan(key=teacher_key(resolved), settings=settings, fields=_fields_of(resolved))


def _fields_of(resolved: Resolved) -> dict[str, Any]:
    config = resolved.config
    fields: dict[str, Any] = {
        "networks": {"0": config.plain()["networks"][0]},
        "teacher_weights": config.plain()["teacher_weights"],
        "data": _data_of(resolved),
    }
    if not config.teacher_weights:
        fields["recipe"] = config.recipe_of(1, pretrained=False).model_dump(mode="json")
    return fields


def teacher_key(resolved: Resolved) -> str:
    """A digest of all that determines generation 1, and of nothing else: equal teachers are trained once."""
    config = resolved.config
    plain = config.plain()
    determining = {
        **{key: plain[key] for key in ("task", "plugins", "seed", "device", "precision", "pretrained", "speed")},
        "teacher_weights": plain["teacher_weights"],
        "network": plain["networks"][0],
        "recipes": [config.recipe_of(1, pretrained=known).model_dump(mode="json") for known in (False, True)],
        # A teacher that is loaded has no training, and so no loss.
        "method": None if config.teacher_weights else plain["method"],
        "data": _data_of(resolved),
    }
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()[:8]


def _data_of(resolved: Resolved) -> dict[str, Any]:
    """What of the data options decides which pixels there are: also the folder, which may be the data set's only name.

    A study file that leaves the folder to DENSEDISTILL_DATA has none: its teachers stay what they are on every machine.
    """
    options = resolved.options.model_dump(mode="json")
    return {
        key: value
        for key, value in options.items()
        if not among(f"data.{key}", HOW_DATA_ARE_READ) and (key != "root" or value is not None)
    }
