"""What follows from comparing arms."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.arithmetic import Claim, share
from densedistill.distill.result import compare
from densedistill.distill.spec import Reference


def test_each_arm_is_compared_with_its_own_teacher_and_scratch(tiny: ModuleType, tmp_path: Path) -> None:
    settings = {"generations": 3, "controls": ["scratch", "direct"], "recipe.epochs": 1}
    chain = tiny.tiny_chain(tiny.tiny_spec("edges"), tmp_path, settings)
    chain.run()
    reached = {
        "gen_01": 0.8,
        "gen_02": 0.7,
        "gen_02_scratch": 0.6,
        "gen_03": 0.65,
        "gen_03_scratch": 0.5,
        "gen_03_direct": 0.56,
    }
    records = [chain.run_dir.arm(arm).record() | {"test": value} for arm, value in reached.items()]
    compared = {arm["arm"]: arm for arm in compare(records, chain.resolved.spec.metric)}
    assert compared["gen_02"]["gap_closed"] == pytest.approx(0.5)
    assert compared["gen_03"]["gap_closed"] == pytest.approx(0.75)
    assert compared["gen_03_direct"]["gap_closed"] == pytest.approx(0.2)
    assert compared["gen_03"]["retention"] == pytest.approx(0.65 / 0.7)
    assert compared["gen_03_direct"]["retention"] == pytest.approx(0.7)
    for alone in ("gen_01", "gen_02_scratch", "gen_03_scratch"):
        assert compared[alone]["gap_closed"] is compared[alone]["retention"] is None


def test_references_stand_beside_the_arms_and_never_among_them(tiny: ModuleType, tmp_path: Path) -> None:
    spec = tiny.tiny_spec("edges")
    references = tuple(
        Reference(arm=arm, value=0.99, metric="dice", split="val", source="reference 009, table 1")
        for arm in ("gen_02", "gen_03")
    )
    preset = dataclasses.replace(spec.presets["demo"], references=references)
    claim = Claim(reference="009", where="table 1", says="60 %", stated="60", formula=share, parts=("1.00", "2.00"))
    chain = tiny.tiny_chain(
        dataclasses.replace(spec, presets={"demo": preset}, claims=(claim,)), tmp_path, {"recipe.epochs": 1}
    )
    result = chain.run()
    assert [(one["arm"], one["value"], one["source"]) for one in result["references"]] == [
        ("gen_02", 0.99, "reference 009, table 1")
    ]
    assert result["arithmetic"] == ["Reference 009, table 1: 60 %; from its figures 1.00, 2.00 follows 50 %."]
    assert [arm["arm"] for arm in result["arms"]] == ["gen_01", "gen_02", "gen_02_scratch"]
    assert all(0.99 not in arm.values() for arm in result["arms"])
    assert result["schema"] == 1
