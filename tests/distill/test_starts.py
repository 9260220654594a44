"""What a network starts from is decided once for all arms that train it, and kept after a restart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.chain import Chain
from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.lessons.lesson import Lesson

PUBLISHED = "hub: imagenet"


class Provider:
    """Networks whose weights can be had or not, as `there` says at the moment; remembers what was asked for."""

    def __init__(self, inner: Any, there: bool) -> None:
        self._inner, self.there = inner, there
        self.asked: list[str] = []

    def build(self, name: str, arguments: Mapping[str, object], *, pretrained: str = "none") -> Any:
        self.asked.append(pretrained)
        built = self._inner.build(name, arguments)
        if pretrained == "required" and not self.there:
            raise ConnectionError("the hub does not answer")
        return dataclasses.replace(built, init=PUBLISHED if pretrained != "none" and self.there else "random")


def chain(tiny: ModuleType, out: Path, *, there: bool) -> tuple[Chain, Provider]:
    made: Chain = tiny.tiny_chain(tiny.tiny_spec("cls"), out, {"recipe.epochs": 1, "pretrained": "auto"})
    made.networks = provider = Provider(made.networks, there)
    return made, provider


def starts(record: Mapping[str, Any]) -> dict[str, str]:
    return {arm["arm"]: arm["init"] for arm in record["arms"]}


@pytest.mark.parametrize("there", [False, True])
def test_a_control_starts_as_its_student_did(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """The provider can be reached, or not, while the student is made; it is the other way round for the control."""
    made, provider = chain(tiny, tmp_path, there=there)
    finish = Lesson.run

    def then_otherwise(self: Lesson) -> Any:
        provider.there = not there if self.trainings[0].arm.plan.name == "gen_02" else provider.there
        return finish(self)

    monkeypatch.setattr(Lesson, "run", then_otherwise)
    if there:
        # Better no control than one that starts from something else.
        with pytest.raises(ConnectionError):
            made.run()
        return
    assert starts(made.run()) == {"gen_01": "random", "gen_02": "random", "gen_02_scratch": "random"}


def test_a_restart_goes_by_the_same_start(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _provider = chain(tiny, tmp_path, there=False)

    def interrupted(_self: Lesson) -> None:
        raise InterruptedRunError("stopped by signal 15", 143)

    with monkeypatch.context() as patched:
        patched.setattr(Lesson, "run", interrupted)
        with pytest.raises(InterruptedRunError):
            made.run()
    again, provider = chain(tiny, tmp_path, there=True)
    record = again.run()
    assert provider.asked[0] == "none"
    assert starts(record)["gen_01"] == "random"
    assert {starts(record)["gen_02"], starts(record)["gen_02_scratch"]} == {PUBLISHED}
