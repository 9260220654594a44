"""Layers of settings: the last word, and what a replaced part takes with it."""

from __future__ import annotations

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study.layers import RunSettings, merged


def test_a_flag_and_its_field_are_one() -> None:
    assert merged({"epochs": 3, "data": "cifar10"}, {"recipe.epochs": 5}) == {
        "data.name": "cifar10",
        "recipe.epochs": 5,
    }
    assert merged({"recipe.epochs": 5}, {"epochs": 3}) == {"recipe.epochs": 3}


def test_a_later_layer_comes_last() -> None:
    # A part set as a whole must come after what was set inside it, or the older part would win.
    layers = merged(
        {"data.augmentation.flip": False, "seed": 1}, {"data.augmentation": {"crop_padding": 2}}, {"seed": 2}
    )
    assert list(layers) == ["data.augmentation.flip", "data.augmentation", "seed"]
    assert merged({"a": 1, "b": 2}, {"a": 3}) == {"b": 2, "a": 3}
    assert list(merged({"a": 1, "b": 2}, {"a": 3})) == ["b", "a"]


@pytest.mark.parametrize(
    ("flag", "below"), [("method", "method.alpha"), ("teacher", "networks.0.taps"), ("student", "networks.1.arguments")]
)
def test_a_replaced_part_drops_what_was_set_in_it(flag: str, below: str) -> None:
    assert merged({below: 1, "recipe.epochs": 2}, {flag: "other"}) == {"recipe.epochs": 2, flag: "other"}
    assert merged({flag: "one", below: 1}, {flag: "other", below: 2}) == {flag: "other", below: 2}
    assert merged({flag: "one"}, {below: 1}) == {flag: "one", below: 1}


def test_a_method_of_similar_name_is_no_part() -> None:
    assert merged({"networks.10.taps": 1}, {"student": "x"}) == {"networks.10.taps": 1, "student": "x"}


def test_paths_may_name_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS_HERE", "/somewhere")
    settings = {"teacher_weights": "$WEIGHTS_HERE/a.pth", "method": "kd", "x": "$WEIGHTS_HERE"}
    found = RunSettings.of("demo", settings, {"teacher_weights"})
    assert found.settings == (("teacher_weights", "/somewhere/a.pth"), ("x", "$WEIGHTS_HERE"))
    assert (found.method, found.teacher) == ("kd", None)
    monkeypatch.delenv("WEIGHTS_HERE")
    with pytest.raises(RequestError, match=r"environment variable that is not set"):
        RunSettings.of("demo", {"teacher_weights": "$WEIGHTS_HERE/a.pth"}, {"teacher_weights"})
