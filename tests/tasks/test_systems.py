"""Presets of the reference systems and of the literature's pairs: networks that exist, one change at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from densedistill import backbones
from densedistill.distill.configuration.config import Request, Resolved, differences, resolve
from densedistill.distill.result import published
from densedistill.tasks import get
from densedistill.tasks.peers import peers
from densedistill.tasks.systems import systems

PRESETS = {**systems(), **peers()}


def resolved(preset: str) -> Resolved:
    return resolve(get("cls"), Request(preset=preset))


def changes(first: str, second: str) -> set[str]:
    """The fields in which two presets differ, without their names."""
    plain: list[Mapping[str, Any]] = [resolved(preset).config.plain() for preset in (first, second)]
    return {field.path for field in differences(*plain)} - {"preset"}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_preset_resolves_as_it_is_written(preset: str) -> None:
    found = resolved(preset)
    assert found.config.recipe == PRESETS[preset].recipe
    assert found.options == PRESETS[preset].data
    assert found.options.name in get("cls").datasets  # type: ignore[attr-defined]
    parameters = found.parameters.model_dump()
    assert {key: parameters[key] for key in PRESETS[preset].method_parameters} == PRESETS[preset].method_parameters


@pytest.mark.parametrize("name", sorted({network.name for preset in PRESETS.values() for network in preset.chain}))
def test_networks_exist(name: str) -> None:
    family, _, rest = name.partition("/")
    if family == "timm":
        import timm

        assert timm.is_model(rest)
    elif family == "torchvision":
        from torchvision.models import list_models

        assert rest in list_models()
    else:
        assert name in {info.name for info in backbones.describe_networks()}


def test_each_system_changes_one_thing_of_v2() -> None:
    kd = {"method.alpha", "method.hard_weight", "method.nckd_weight", "method.tckd_weight", "method.warmup_epochs"}
    assert changes("v2", "v4") == {"data.teacher_size"}
    assert changes("v2", "v3") == kd | {"method.name"}
    assert changes("v3", "v3.1") == {"method.nckd_weight"}
    assert changes("v1", "v1-alpha-0.7") == {"method.alpha"}
    strong = {"data.augmentation.auto_augment", "data.augmentation.random_erasing", "method.label_smoothing"}
    assert changes("v1-alpha-0.7", "v2") == strong


def test_v2_is_the_reference_s_recipe() -> None:
    found = resolved("v2")
    recipe, augmentation = found.config.recipe, found.options.augmentation  # type: ignore[attr-defined]
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adamw", 1e-3, 0.05)
    assert (recipe.epochs, recipe.warmup_epochs, recipe.batch_size, recipe.clip_norm) == (200, 5, 128, 1.0)
    assert recipe.early_stopping is not None
    assert (recipe.early_stopping.monitor, recipe.early_stopping.patience) == ("loss", 30)
    assert (augmentation.mixup.beta, augmentation.cutmix.beta, augmentation.mix_probability) == (0.8, 1.0, 1.0)
    assert (augmentation.random_erasing.probability, augmentation.random_erasing.scale) == (0.25, (0.02, 0.2))


@pytest.mark.parametrize("pair", ["50-18", "34-18", "50-34"])
def test_capacity_s_arms_differ_in_what_the_study_asks(pair: str) -> None:
    name = f"capacity-{pair}"
    assert changes(f"{name}-feature", f"{name}-feature-unclipped") == {"recipe.clip_projectors"}
    assert all(change.startswith("method.") for change in changes(name, f"{name}-feature"))
    found = resolved(f"{name}-feature-unclipped")
    teacher, student = (found.config.recipe_of(generation, pretrained=False) for generation in (1, 2))
    assert (teacher.epochs, student.epochs, student.clip_norm, student.clip_projectors) == (200, 100, 1.0, False)
    assert (found.options.name, found.options.val_size, found.options.split_seed) == ("cifar10", 5000, 0)  # type: ignore[attr-defined]
    assert (
        found.parameters.model_dump() | {"cosine_weight": 0.5, "projector": "linear"} == found.parameters.model_dump()
    )


def test_capacity_s_abstract_stands_beside_what_was_redone() -> None:
    figures = {
        (reference.arm, reference.value, "repository" in reference.source)
        for reference in PRESETS["capacity-50-34-feature"].references
    }
    assert figures == {
        ("gen_01", 95.36, True),
        ("gen_02_scratch", 95.04, True),
        ("gen_02", 95.24, True),
        ("gen_02_scratch", 95.25, False),
        ("gen_02", 95.55, False),
    }
    assert {r.arm for r in PRESETS["capacity-34-18-feature-unclipped"].references} == {"gen_01", "gen_02_scratch"}


def test_figures_of_other_data_are_left_out() -> None:
    """CIFAR-100's 72.34 once stood beside a CIFAR-10 teacher."""

    def figures(data: str) -> list[float]:
        asked = Request(preset="resnet56-resnet20", settings=[("data.name", data)])
        return [one.value for one in published(resolve(get("cls"), asked))]

    assert figures("cifar100") == [72.34, 69.06, 70.66]
    assert figures("cifar10") == []


def test_a_demo_s_figures_name_the_data_they_are_of() -> None:
    told = [one.source for one in published(resolve(get("edges"), Request(preset="demo")))]
    assert told
    assert all("BSDS500" in source for source in told)
    assert all("CIFAR-100" in one.source for preset in peers().values() for one in preset.references)


def test_light_students_of_the_literature_take_a_smaller_step() -> None:
    rates = {
        name: (preset.recipe.learning_rate, resolved(name).config.recipe_of(2, pretrained=False).learning_rate)
        for name, preset in peers().items()
    }
    light = {"resnet50-mobilenetv2", "resnet32x4-shufflenetv2"}
    assert {name for name, (_teacher, student) in rates.items() if student == 0.01} == light
    assert {teacher for teacher, _student in rates.values()} == {0.05}
