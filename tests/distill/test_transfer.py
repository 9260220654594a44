"""Transfer efficiency: a student's gain as a share of its teacher's."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.result import compare
from densedistill.distill.spec import MetricSpec
from densedistill.distill.transfer import read_earlier, transfer


def arm(name: str, test: float, teacher: str | None = None, **others: Any) -> dict[str, Any]:
    role = {"scratch": "scratch", "direct": "direct"}.get(name.split("_")[-1], "student" if teacher else "teacher")
    plain = {"network": f"net{name[4:6]}", "generation": int(name[4:6]), "role": role, "variant": None}
    return {"arm": name, "test": test, "teacher": teacher, **plain, **others}


def by_name(*arms: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["arm"]: one for one in arms}


def test_an_earlier_run_with_a_weaker_teacher() -> None:
    before = by_name(arm("gen_01", 76.65), arm("gen_02", 76.19, "gen_01"), arm("gen_02_scratch", 70.0))
    now = by_name(arm("gen_01", 84.39), arm("gen_02", 77.93, "gen_01"), arm("gen_02_scratch", 71.0))
    found = {name: transfer(one, now, before, higher=True) for name, one in now.items()}
    assert found["gen_02"] == {
        "transfer_efficiency": pytest.approx(0.225, abs=1e-3),
        "transfer_from": "compared_with/gen_02",
    }
    nothing = {"transfer_efficiency": None, "transfer_from": None}
    assert found["gen_01"] == found["gen_02_scratch"] == nothing
    other = by_name(arm("gen_01", 76.65), arm("gen_02", 76.19, "gen_01", network="another"))
    assert transfer(now["gen_02"], now, other, higher=True) == nothing


@pytest.mark.parametrize(("first", "second", "gains"), [(80.0, 70.0, "gen_03_direct"), (70.0, 80.0, "gen_03")])
def test_in_a_chain_the_student_of_the_better_teacher_gains(first: float, second: float, gains: str) -> None:
    arms = by_name(
        arm("gen_01", first),
        arm("gen_02", second, "gen_01"),
        arm("gen_03", 65.0, "gen_02"),
        arm("gen_03_direct", 62.0, "gen_01"),
    )
    found = {name: transfer(one, arms, {}, higher=True) for name, one in arms.items()}
    (other,) = {"gen_03", "gen_03_direct"} - {gains}
    share = (arms[gains]["test"] - arms[other]["test"]) / 10
    assert found[gains] == {"transfer_efficiency": pytest.approx(share), "transfer_from": other}
    assert all(found[name]["transfer_efficiency"] is None for name in arms if name != gains)


@pytest.fixture
def metric(tiny: ModuleType) -> MetricSpec:
    found: MetricSpec = tiny.tiny_spec("edges").metric
    return found


def test_a_run_says_what_it_gained_over_another(tiny: ModuleType, tmp_path: Path, metric: MetricSpec) -> None:
    settings = {"recipe.epochs": 1, "controls": []}
    first = tiny.tiny_chain(tiny.tiny_spec("edges"), tmp_path / "first", settings).run()
    chain = tiny.tiny_chain(
        tiny.tiny_spec("edges"), tmp_path / "second", {**settings, "seed": 1, "compared_with": str(tmp_path / "first")}
    )
    second = chain.run()
    assert {"transfer_efficiency", "transfer_from"} <= set(first["arms"][1])
    assert first["arms"][1]["transfer_from"] is None
    earlier = read_earlier(tmp_path / "first", chain.resolved.config.task, metric)
    assert [one["arm"] for one in second["arms"]] == list(earlier)
    gained = [{**chain.run_dir.arm(name).record(), "test": earlier[name]["test"] + more} for name, more in GAINS]
    assert compare(gained, metric, earlier)[1]["transfer_efficiency"] == pytest.approx(0.25)


GAINS = (("gen_01", 0.2), ("gen_02", 0.05))


def test_what_is_no_run_or_another_task_s_is_refused(tmp_path: Path, metric: MetricSpec) -> None:
    assert read_earlier(None, "edges", metric) == {}
    with pytest.raises(RequestError, match=r"compared_with is .*nowhere.* give the folder of a finished run"):
        read_earlier(tmp_path / "nowhere", "edges", metric)
    for content in ("[", "[]", '{"metric": {"name": "dice"}, "arms": [{}]}'):
        (tmp_path / "result.json").write_text(content)
        with pytest.raises(RequestError, match=r"no readable result\.json"):
            read_earlier(tmp_path, "edges", metric)
    other = {"task": "cls", "metric": {"name": "accuracy"}, "arms": []}
    (tmp_path / "result.json").write_text(json.dumps(other))
    with pytest.raises(RequestError, match="task cls judged by accuracy, and this one is of task edges"):
        read_earlier(tmp_path, "edges", metric)
