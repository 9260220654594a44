"""A teacher whose input is of another size: every network meets images of its own size, and no other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.chain import Chain
from densedistill.distill.dry_run import TrialChain
from densedistill.distill.outputs import Batch

STUDENT, TEACHER = 8, 16


class AtSizes:
    """A training or evaluation set whose images are enlarged for the teacher."""

    def __init__(self, images: Any, *, size: int, teacher_size: int | None = None) -> None:
        self.images, self.size, self.teacher_size = images, size, teacher_size

    def __len__(self) -> int:
        return len(self.images)

    @property
    def ids(self) -> Sequence[str]:
        ids: Sequence[str] = self.images.ids
        return ids

    def batches(self, what: Any, **how: Any) -> Iterator[Batch]:
        for batch in self.images.batches(what, **how):
            sized = {**batch, "input": nn.functional.interpolate(batch["input"], size=self.size)}
            if self.teacher_size is not None:
                sized["teacher_input"] = nn.functional.interpolate(batch["input"], size=self.teacher_size)
            yield sized


def sized_data(data: Any) -> Any:
    """`data` for a teacher of 16 pixels and students of 8."""
    teacher = dataclasses.replace(
        data,
        train=AtSizes(data.train, size=TEACHER),
        val=AtSizes(data.val, size=TEACHER),
        tests={name: AtSizes(images, size=TEACHER) for name, images in data.tests.items()},
    )
    taught = dataclasses.replace(data, train=AtSizes(data.train, size=STUDENT, teacher_size=TEACHER))
    return dataclasses.replace(data, teacher=teacher, taught=taught)


@pytest.fixture
def spec(tiny: ModuleType) -> Any:
    plain = tiny.tiny_spec("cls")
    return dataclasses.replace(
        plain,
        load_data=lambda options: sized_data(plain.load_data(options)),
        network_arguments=lambda _name, _options, data: {"width": next(sizes_of(data.val))},
    )


def sizes_of(images: Any) -> Iterator[int]:
    """The sides of an evaluation set's batches."""
    for batch in images.batches(1, device=torch.device("cpu")):
        yield batch["input"].shape[-1]


def watched(chain: Chain) -> dict[int, set[int]]:
    """Sides of the images that networks meet, by the networks' widths."""
    met: dict[int, set[int]] = {}
    build = chain.networks.build

    def watching(*words: Any, **options: Any) -> Any:
        built = build(*words, **options)

        def look(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            met.setdefault(module.stem[0].out_channels, set()).add(given[0].shape[-1])  # type: ignore[index, union-attr]

        built.module.register_forward_pre_hook(look)
        return built

    chain.networks.build = watching  # type: ignore[method-assign]
    return met


SETTINGS = {
    "generations": 3,
    "controls": ["scratch", "direct"],
    "networks.0.arguments": {},
    "networks.1.arguments": {"width": 6},
    "networks.2.arguments": {"width": 4},
}


@pytest.mark.parametrize("cache", [None, 2])
def test_every_network_meets_its_own_size(tiny: ModuleType, spec: Any, tmp_path: Path, cache: int | None) -> None:
    chain = tiny.tiny_chain(spec, tmp_path, {**SETTINGS, "teacher_cache": cache})
    met = watched(chain)
    chain.run()
    # The width of the teacher is what the task derived from its data: its input's side.
    assert met == {TEACHER: {TEACHER}, 6: {STUDENT}, 4: {STUDENT}}
    record = json.loads((tmp_path / "gen_01" / "arm.json").read_text())
    assert record["arguments"] == {"width": TEACHER}


def test_the_teacher_s_input_is_what_teaches(tiny: ModuleType, spec: Any, tmp_path: Path) -> None:
    """With a teacher input of zeros, another student comes out; without a teacher, the same one."""
    tiny.tiny_chain(spec, tmp_path / "seen").run()
    blind = dataclasses.replace(spec, load_data=lambda options: blinded(spec.load_data(options)))
    tiny.tiny_chain(blind, tmp_path / "blind").run()
    for arm, equal in (("gen_01", True), ("gen_02", False), ("gen_02_scratch", True)):
        files = [tmp_path / run / arm / "model.safetensors" for run in ("seen", "blind")]
        assert tiny.same_bytes(*files) == equal


class Blinded(AtSizes):
    def batches(self, what: Any, **how: Any) -> Iterator[Batch]:
        for batch in super().batches(what, **how):
            yield {**batch, "teacher_input": torch.zeros_like(batch["teacher_input"])}


def blinded(data: Any) -> Any:
    train = Blinded(data.train, size=STUDENT, teacher_size=TEACHER)
    return dataclasses.replace(data, taught=dataclasses.replace(data.taught, train=train))


def test_a_dry_run_tries_each_arm_at_its_size(tiny: ModuleType, spec: Any, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(spec, tmp_path)
    trials = TrialChain(chain.parts)
    sides = {plan.name: trials.try_arm(plan).input[-1] for plan in trials.plans}
    assert sides == {"gen_01": TEACHER, "gen_02": STUDENT, "gen_02_scratch": STUDENT}
