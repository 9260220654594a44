"""Presets, changes to them, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.configuration.config import Request, Resolved, differences, parse_setting, resolve
from densedistill.distill.errors import RequestError
from densedistill.distill.run_dir import RunDir, read_config_file
from densedistill.distill.spec import TaskSpec


@pytest.fixture
def spec(tiny: ModuleType) -> TaskSpec:
    """A task whose second generation and pretrained teacher have recipes of their own."""
    made: TaskSpec = tiny.tiny_spec("cls")
    preset = dataclasses.replace(
        made.presets["demo"],
        generation_recipes={2: {"learning_rate": 0.5, "weight_decay": 0.25}},
        pretrained_teacher_recipe={"learning_rate": 0.125},
    )
    return dataclasses.replace(made, presets={"demo": preset})


def _resolve(spec: TaskSpec, *settings: str) -> Resolved:
    return resolve(spec, Request(settings=[parse_setting(text) for text in settings]))


def test_generations_have_their_own_recipes(spec: TaskSpec) -> None:
    config = _resolve(spec).config
    rates = [config.recipe_of(generation, pretrained=False).learning_rate for generation in (1, 2, 3)]
    assert rates == [5e-3, 0.5, 5e-3]
    assert config.recipe_of(1, pretrained=True).learning_rate == 0.125
    assert config.recipe_of(2, pretrained=True).learning_rate == 0.5


def test_a_change_of_the_recipe_holds_for_all_generations(spec: TaskSpec) -> None:
    config = _resolve(spec, "recipe.learning_rate=0.01").config
    recipes = [config.recipe_of(generation, pretrained=True) for generation in (1, 2, 3)]
    assert {recipe.learning_rate for recipe in recipes} == {0.01}
    assert [recipe.weight_decay for recipe in recipes] == [0.0, 0.25, 0.0]


def test_a_single_generation_can_be_changed(spec: TaskSpec) -> None:
    config = _resolve(spec, "generation_recipes.3.epochs=7", "generation_recipes.2.epochs=5").config
    assert [config.recipe_of(generation, pretrained=False).epochs for generation in (1, 2, 3)] == [2, 5, 7]
    assert config.recipe_of(2, pretrained=False).learning_rate == 0.5


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("recipe.epochs=3", "recipe.epochs", 3),
        ("recipe.clip_norm=null", "recipe.clip_norm", None),
        ("controls=[scratch, direct]", "controls", ["scratch", "direct"]),
        ("a=b=c", "a", "b=c"),
        ("data.root=", "data.root", None),
    ],
)
def test_settings_are_yaml(text: str, path: str, value: object) -> None:
    assert parse_setting(text) == (path, value)


@pytest.mark.parametrize("text", ["recipe.epochs", "=3", "a=[1"])
def test_settings_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="setting"):
        parse_setting(text)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("recipe.epocs=3", "Did you mean 'epochs'"),
        ("recip.epochs=3", "Did you mean 'recipe'"),
        ("method.alhpa=0.5", "Did you mean 'alpha'"),
        ("data.imagess=3", "Did you mean 'images'"),
        ("seed.x=1", "'seed' is a single value"),
        ("networks.7.name=x", "places 0 to 2"),
        ("recipe.early_stopping.patiense=1", "patiense"),
        ("recipe.epochs=0", "recipe.epochs=0: input should be greater than or equal to 1"),
        ("recipe.optimizer=lion", "recipe.optimizer='lion'"),
        ("method.alpha=2", "method.alpha=2"),
        ("method.temperature=0", "method.temperature=0"),
        ("method.name=dkdd", "unknown method of task tiny_cls 'dkdd'"),
        ("generations=4", "the chain has 3 networks"),
        ("generation_recipes.2.epochs=-1", "epochs=-1"),
        ("controls=[direct]", "--generations 3"),
        ("preset=paper", "give --preset NAME"),
        ("task=edges", "give --task NAME"),
        ("plugins=[x]", "give --plugin FILE"),
        ("plugins.0=x", "give --plugin FILE"),
        ("recipe=3", "recipe=3"),
        ("networks=[]", "networks=[]: tuple should have at least 1 item"),
        ("students.0.name=x", "'students' is empty and has no place '0': set it as a whole, students=[...]"),
        ("recipe.epochs=yes", "recipe.epochs=True: must be a number"),
        ("recipe.batch_size=true", "recipe.batch_size=True: must be a number"),
        ("recipe.milestones=[1, true]", "recipe.milestones.1=True: must be a number"),
        ("recipe.ema_decay=false", "recipe.ema_decay=False: must be a number"),
        ("seed=true", "seed=True: must be a number"),
        ("generation_recipes.2.epochs=true", "epochs=True: must be a number"),
        ("method.alpha=true", "method.alpha=True: must be a number"),
        ("generation_recipes.9.epochs=3", "generation_recipes.9 is of no generation"),
        ("generation_recipes={9: {epochs: 3}}", "generation_recipes.9 is of no generation"),
        ("generation_recipes.0.epochs=3", "generation_recipes.0 is of no generation"),
    ],
)
def test_wrong_values_are_told(spec: TaskSpec, setting: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        _resolve(spec, setting)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipe.epochs": 0, "seed": -1, "method.alpha": 2, "data.images": "many"},
        {"generations": 9, "generation_recipes.2.epochs": -1, "method.alpha": 2, "data.images": "many"},
    ],
    ids=["fields", "chain"],
)
def test_all_faults_come_in_one_message(spec: TaskSpec, wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(spec, Request(settings=tuple(wrong.items())))
    for path in wrong:
        assert path.rpartition(".")[2] in str(caught.value)


def test_a_preset_cannot_be_asked_for_beside_a_configuration(spec: TaskSpec) -> None:
    base = _resolve(spec).config.plain()
    assert resolve(spec, Request(base=base, preset="demo")).config.preset == "demo"
    with pytest.raises(RequestError, match="preset 'paper' does not apply"):
        resolve(spec, Request(base=base, preset="paper"))


def test_one_student_or_several(spec: TaskSpec) -> None:
    with pytest.raises(RequestError, match="student 'x' and students a, b both name the last generation"):
        resolve(spec, Request(student="x", students=("a", "b")))


def test_booleans_stay_where_they_are_meant(spec: TaskSpec) -> None:
    assert _resolve(spec, "recipe.nesterov=true", "recipe.ema_decay=0.5").config.recipe.nesterov is True


def test_written_configuration_reads_back_equal(spec: TaskSpec, tmp_path: Path) -> None:
    first = _resolve(spec, "recipe.early_stopping.patience=4", "generation_recipes.3.epochs=7", "recipe.ema_decay=0.9")
    folder = RunDir(tmp_path)
    folder.write_config(first.config.plain())
    second = resolve(spec, Request(base=read_config_file(folder.config_file)))
    assert second.config == first.config
    assert differences(first.config.plain(), second.config.plain()) == []


def test_a_repeated_run_is_the_same_run(tiny: ModuleType, spec: TaskSpec, tmp_path: Path) -> None:
    first = tiny.tiny_chain(spec, tmp_path / "first", {"seed": 3, "recipe.epochs": 1})
    first.run_dir.write_config(first.resolved.config.plain())
    first.run()
    again = resolve(spec, Request(base=read_config_file(first.run_dir.config_file)))
    second = tiny.tiny_chain(spec, tmp_path / "second")
    second.resolved = again
    second.run()
    other = tiny.tiny_chain(spec, tmp_path / "other", {"seed": 4, "recipe.epochs": 1})
    other.run()
    weights = [chain.run_dir.arm("gen_02").weights for chain in (first, second, other)]
    assert tiny.same_bytes(weights[0], weights[1])
    assert not tiny.same_bytes(weights[0], weights[2])


def test_differences_name_each_field() -> None:
    before: dict[str, Any] = {"seed": 0, "recipe": {"epochs": 3, "batch_size": 8}, "track": []}
    now = {"seed": 0, "recipe": {"epochs": 5, "batch_size": 8}, "plugins": ["a.py"], "track": []}
    assert [str(field) for field in differences(before, now)] == ["plugins: None -> ['a.py']", "recipe.epochs: 3 -> 5"]
    assert differences(before, before) == []


def test_a_student_can_be_named_where_the_chain_has_one_network(spec: TaskSpec) -> None:
    preset = dataclasses.replace(spec.presets["demo"], chain=spec.presets["demo"].chain[:1], generations=1)
    single = dataclasses.replace(spec, presets={"demo": preset})
    resolved = resolve(single, Request(student="tiny/cls", settings=[("generations", 2)]))
    assert [network.name for network in resolved.config.networks] == ["tiny/cls", "tiny/cls"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("recipe: [1", "not readable as YAML"),
        ("- a\n- b\n", "must hold a mapping"),
        ("just words", "must hold a mapping"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
        ("\xff\xfe", "must hold a mapping"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content, encoding="latin-1" if content.startswith("\xff") else "utf-8")
    with pytest.raises(RequestError) as caught:
        read_config_file(path)
    assert said in str(caught.value) or "not readable" in str(caught.value)


@pytest.mark.parametrize(
    "base",
    [
        {},
        {"task": "tiny_cls"},
        {"task": "tiny_cls", "networks": 3, "method": "kd", "recipe": None},
        {"task": "tiny_cls", "preset": "demo", "networks": [], "method": {}, "recipe": {}, "data": 3},
    ],
)
@pytest.mark.parametrize("flags", [{}, {"teacher": "tiny/cls"}, {"settings": [("recipe.epochs", 3)]}])
def test_a_broken_configuration_is_one_message(spec: TaskSpec, base: dict[str, Any], flags: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        resolve(spec, Request(base=base, **flags))
