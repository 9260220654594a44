"""A study run for real on tiny tasks: paired arms, shared teachers, resumption, failures, searches, pruning."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from densedistill.distill.errors import InterruptedRunError, RequestError, RunFailedError
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_words import answer
from densedistill.distill.study.definition import study_from
from densedistill.distill.study.fairness import warnings_of
from densedistill.tasks import run
from densedistill.tasks import study as study_module
from densedistill.tasks.study import StudyWork, by_seed, prepared
from densedistill.tasks.study_log import TrialLog

SCRATCH = {"trains": "gen_02_scratch"}
BASE = {"recipe.epochs": 1, "data.images": 24, "track": [], "device": "cpu", "precision": "fp32"}


def study(arms: dict[str, Any], **fields: Any) -> Any:
    plain = {
        "name": "tiny",
        "question": "Does it help?",
        "task": "tiny_cls",
        "control": "scratch",
        "seeds": [0, 1],
        "base": BASE,
        "arms": {"scratch": SCRATCH, **arms},
    }
    return study_from({**plain, **fields}, "here")


def work(definition: Any, out: Path, **options: Any) -> StudyWork:
    return StudyWork(prepared(definition), out, **options)


def trials(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{arm['arm']}/{trial['seed']}": trial for arm in record["arms"] for trial in arm["trials"]}


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs' own reports are tested elsewhere, and take longer than these runs."""
    module: Any = importlib.import_module("densedistill.tasks.run")
    monkeypatch.setattr(module, "write_panels", lambda _chain: None)
    monkeypatch.setattr(module.report, "write_report", lambda _path: None)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the runs that were started, by their last two names."""
    started: list[str] = []
    execute = study_module.execute

    def noting(request: Any, **options: Any) -> Any:
        started.append("/".join(Path(request.out).parts[-2:]))
        return execute(request, **options)

    monkeypatch.setattr(study_module, "execute", noting)
    return started


def test_every_trial_runs_once_and_equals_the_ordinary_run(
    tiny: ModuleType, tmp_path: Path, executed: list[str]
) -> None:
    made = work(study({"kd": {}}, teacher_seed=1), tmp_path / "study")
    record = made.run()
    assert record["complete"]
    teacher = record["teachers"][0]["key"]
    assert executed == [f"teachers/{teacher}", *(f"{arm}/seed-{seed}" for seed in (0, 1) for arm in ("scratch", "kd"))]
    assert json.loads((tmp_path / "study" / "study.json").read_text()) == record
    # The chain of seed 1 has the very teacher that the study shares: both of its arms must come out alike.
    whole = run("tiny_cls", seed=1, out=tmp_path / "run", settings=BASE)
    found = trials(record)
    for name, arm in (("scratch/1", "gen_02_scratch"), ("kd/1", "gen_02")):
        assert found[name]["arm_in_run"] == arm
        for figure in ("val", "test", "tests"):
            assert found[name][figure] == whole.arm(arm)[figure]
        weights = tmp_path / "study" / found[name]["run"] / arm / "model.safetensors"
        assert weights.read_bytes() == (tmp_path / "run" / arm / "model.safetensors").read_bytes()


def test_a_finished_study_starts_nothing(tiny: ModuleType, tmp_path: Path, executed: list[str]) -> None:
    definition = study({"kd": {}}, seeds=[0])
    first = work(definition, tmp_path / "study").run()
    executed.clear()
    again = work(definition, tmp_path / "study").run()
    assert executed == []
    assert again == first


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_interrupted_study_goes_on(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    definition = study({"kd": {}}, seeds=[0])
    whole = trials(work(definition, tmp_path / "whole").run())
    step = TrialLog.step

    def interrupting(self: TrialLog, done: int, images: int, loss: float | None) -> None:
        if self._claimed.job.key == "kd/seed-0" and done == 2:
            raise InterruptedRunError("stopped by signal 15", 143)
        step(self, done, images, loss)

    with monkeypatch.context() as patched:
        patched.setattr(TrialLog, "step", interrupting)
        with pytest.raises(InterruptedRunError):
            work(definition, tmp_path / "broken").run()
    record = json.loads((tmp_path / "broken" / "study.json").read_text())
    assert (record["complete"], trials(record)["kd/0"]["test"]) == (False, None)
    folder = (tmp_path / "broken").rename(tmp_path / "moved") if elsewhere else tmp_path / "broken"
    found = trials(work(definition, folder).run())
    assert {key: trial["test"] for key, trial in found.items()} == {key: one["test"] for key, one in whole.items()}
    assert found["kd/0"]["retries"] == 0


def test_a_failure_is_retried_shown_and_stops_nothing_else(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, turns = study_module.execute, {"scratch": 0, "kd": 0}

    def failing(request: Any, **options: Any) -> Any:
        for arm, times in (("scratch", 1), ("kd", 9)):
            if f"runs/{arm}/" in str(request.out) and turns[arm] < times:
                turns[arm] += 1
                raise RunFailedError(f"term 'soft' was not finite ({arm})")
        return execute(request, **options)

    monkeypatch.setattr(study_module, "execute", failing)
    said: list[str] = []
    definition = study({"kd": {}, "late": {"settings": {"method.alpha": 0.5}}}, seeds=[0])
    found = trials(work(definition, tmp_path / "study", say=said.append).run())
    assert (found["scratch/0"]["state"], found["scratch/0"]["retries"]) == ("done", 1)
    assert (found["kd/0"]["state"], found["kd/0"]["retries"]) == ("failed", 1)
    assert found["kd/0"]["error"] == "term 'soft' was not finite (kd)"
    assert found["late/0"]["state"] == "done"
    assert sum("not finite (kd)" in text for text in said) == 2
    monkeypatch.setattr(study_module, "execute", execute)
    mended = work(definition, tmp_path / "study")
    assert mended.reopen() == ["kd/seed-0"]
    assert trials(mended.run())["kd/0"]["state"] == "done"


def test_without_its_teacher_an_arm_fails_and_says_so(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = study_module.execute

    def failing(request: Any, **options: Any) -> Any:
        if "teachers" in str(request.out):
            raise ValueError("broken")
        return execute(request, **options)

    monkeypatch.setattr(study_module, "execute", failing)
    found = trials(work(study({"kd": {}}, seeds=[0], retries=0), tmp_path / "study").run())
    assert found["scratch/0"]["state"] == "done"
    assert "its teacher" in found["kd/0"]["error"]
    assert "ValueError: broken" in found["kd/0"]["error"]


def test_a_changed_study_is_refused_with_the_difference(tiny: ModuleType, tmp_path: Path) -> None:
    work(study({"kd": {}}), tmp_path / "study")
    with pytest.raises(RequestError, match=r"arms\.kd\.settings\.method\.alpha: None -> 0\.5"):
        work(study({"kd": {"settings": {"method.alpha": 0.5}}}), tmp_path / "study")


def test_words_may_change_and_the_study_is_judged_anew(tiny: ModuleType, tmp_path: Path, executed: list[str]) -> None:
    out = tmp_path / "study"
    dkd = {"settings": {"method.temperature": 2.0}}
    work(study({"kd": {}, "cold": dkd}), out).run()
    runs = list(executed)
    claim = {"text": "KD gains more.", "source": "reference 000", "expects": {"more": "better"}}
    told = study(
        {"kd": {"label": "KD"}, "cold": {**dkd, "against": "kd"}},
        question="Does KD gain more?",
        claim=claim,
        notes=["a note"],
        varies=["method"],
        contrasts={"more": {"of": ["kd", "scratch"], "minus": "cold"}},
    )
    record = work(told, out).run()
    assert executed == runs
    assert record["contrasts"] == [
        {"contrast": "more", "label": "KD \N{MINUS SIGN} scratch", "of": ["kd", "scratch"], "minus": ["cold", "kd"]}
    ]
    assert {arm["arm"]: arm["against"] for arm in record["arms"]} == {"scratch": None, "kd": "scratch", "cold": "kd"}
    assert yaml.safe_load((out / "study.yaml").read_text()) == told.plain()
    assert work(told, out).trials.study.user_attrs["definition"] == told.plain()
    found = read_study_facts(out)
    numbers = compute(found)
    assert [one.name for one in numbers.judgements] == ["kd", "cold", "more"]
    assert answer(found, numbers).claim.startswith("That KD \N{MINUS SIGN} scratch is better than cold")


def test_a_begun_study_goes_on_with_another_control(tiny: ModuleType, tmp_path: Path) -> None:
    """Controls come first among the arms, and Optuna refuses arms in another order."""
    out = tmp_path / "study"
    arms = {"kd": {}, "cold": {"settings": {"method.temperature": 2.0}}}
    begun = work(study(arms), out)
    claimed = begun.trials.claim(lambda _key: True)
    assert claimed is not None
    with claimed:
        begun._work(claimed)
    other = study({**arms, "kd": {"against": "cold"}}, retries=1)
    assert [arm.name for arm in prepared(other).arms] == ["scratch", "cold", "kd"]
    assert {found["state"] for found in trials(work(other, out).run()).values()} == {"done"}


def test_where_trials_are_pruned_a_control_is_no_mere_word(tiny: ModuleType, tmp_path: Path) -> None:
    arms = {"kd": {}, "cold": {"settings": {"method.temperature": 2.0}}}
    work(study(arms, pruning={}), tmp_path / "study")
    with pytest.raises(RequestError, match=r"arms\.cold\.against: None -> 'kd'"):
        work(study({**arms, "cold": {**arms["cold"], "against": "kd"}}, pruning={}), tmp_path / "study")


def test_fields_that_came_since_change_nothing(tiny: ModuleType, tmp_path: Path) -> None:
    claim = {"text": "KD gains.", "source": "reference 000"}
    work(study({"kd": {}}, claim=claim), tmp_path / "study")
    file = tmp_path / "study" / "study.yaml"
    older = yaml.safe_load(file.read_text())
    del older["claim"]["expects"], older["retries"]
    file.write_text(yaml.safe_dump(older))
    work(study({"kd": {}}, claim=claim), tmp_path / "study")
    with pytest.raises(RequestError, match="retries: 1 -> 2"):
        work(study({"kd": {}}, claim=claim, retries=2), tmp_path / "study")


def test_one_database_holds_one_study(tiny: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    work(study({"kd": {}}), tmp_path / "first", storage=url)
    work(study({"kd": {}}), tmp_path / "second", storage=url)
    with pytest.raises(RequestError, match=r"shared\.db' holds study 'tiny' as it was before"):
        work(study({"kd": {}}, seeds=[7]), tmp_path / "third", storage=url)


def test_a_folder_of_something_else_is_left_alone(tiny: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds no study"):
        work(study({"kd": {}}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_teachers_are_shared_by_what_determines_them(tiny: ModuleType) -> None:
    arms = {
        "kd": {},
        "cold": {"settings": {"method.temperature": 1.0, "recipe.epochs": 2}},
        "wide": {"settings": {"networks.0.arguments.width": 12}},
        "long": {"teacher": {"recipe.epochs": 2}},
    }
    plan = prepared(study(arms))
    keys = {arm: plan.taught_by[arm, 0] for arm in arms}
    assert keys["kd"] == keys["cold"] == plan.taught_by["kd", 1]
    assert len({keys["kd"], keys["wide"], keys["long"]}) == 3
    assert ("scratch", 0) not in plan.taught_by
    roots = {name: {"data.root": f"/data/{name}"} for name in ("clean", "noisy")}
    apart = prepared(study({"kd": {}}, conditions=roots))
    assert apart.taught_by["clean-kd", 0] != apart.taught_by["noisy-kd", 0]
    own = prepared(study({"kd": {}}, teachers="per-seed"))
    assert own.taught_by["kd", 0] != own.taught_by["kd", 1]


def test_unnamed_differences_are_warned_of(tiny: ModuleType) -> None:
    arms = {
        "kd": {"settings": {"method.alpha": 0.5}},
        "slow": {"settings": {"recipe.learning_rate": 0.001}},
        "two": {"against": "kd", "settings": {"method.alpha": 0.5, "method.temperature": 2.0}},
    }
    found = warnings_of(prepared(study(arms)))
    assert len(found) == 2
    assert "slow differs from scratch" in found[0]
    assert "recipe.learning_rate: 0.005 -> 0.001" in found[0]
    assert "two differs from kd" in found[1]
    assert "method.temperature" in found[1]
    named = prepared(study(arms, varies=["recipe.learning_rate", "method"]))
    assert warnings_of(named) == []


def test_teachers_of_unlike_making_are_warned_of(tiny: ModuleType) -> None:
    arms = {"kd": {}, "long": {"against": "kd", "teacher": {"recipe.epochs": 2}}}
    [found] = warnings_of(prepared(study(arms)))
    assert "teacher.recipe.epochs: 1 -> 2" in found
    for named in ("recipe.epochs", "teacher.recipe.epochs"):
        assert warnings_of(prepared(study(arms, varies=[named]))) == []


def test_one_seed_is_said(tiny: ModuleType) -> None:
    assert ["one seed" in text for text in warnings_of(prepared(study({"kd": {}}, seeds=[3])))] == [True]


def test_faults_of_all_arms_come_together(tiny: ModuleType) -> None:
    arms = {"kd": {"settings": {"method.alpha": 2}}, "two": {"settings": {"recipe.epoch": 1}}}
    with pytest.raises(RequestError) as caught:
        prepared(study(arms))
    for part in ("arm kd: method.alpha=2", "arm two: unknown field of recipe 'epoch'", "Did you mean 'epochs'"):
        assert part in str(caught.value)


def test_a_search_ends_with_its_best_point_on_all_seeds(tiny: ModuleType, tmp_path: Path) -> None:
    search = {"points": 2, "fields": {"method.temperature": {"low": 1.0, "high": 8.0, "log": True}}}
    record = work(study({"kd": {"search": search}}), tmp_path / "study").run()
    arms = {arm["arm"]: arm for arm in record["arms"]}
    points = [arms[f"kd-point-{place:02d}"] for place in range(2)]
    best = max(points, key=lambda arm: arm["trials"][0]["val"])
    assert all(1 <= arm["settings"]["method.temperature"] <= 8 and len(arm["trials"]) == 1 for arm in points)
    assert arms["kd-best"]["settings"] == best["settings"]
    assert [trial["state"] for trial in arms["kd-best"]["trials"]] == ["done", "done"]
    config = (tmp_path / "study" / arms["kd-best"]["trials"][1]["run"] / "config.yaml").read_text()
    assert f"temperature: {best['settings']['method.temperature']}" in config
    # Points were chosen among others, and are no evidence themselves.
    report = read_study_facts(tmp_path / "study")
    assert report.pairs == (("kd-best", "scratch"),)
    assert "point 0" not in answer(report, compute(report)).headline
    assert any("kd-best is the best of 2 points by validation with seed 0" in note for note in record["notes"])


def test_hopeless_trials_are_pruned_and_recorded(tiny: ModuleType, tmp_path: Path) -> None:
    arms = {
        "good": {},
        "bad": {"settings": {"recipe.learning_rate": 1e-8}},
    }
    pruning = {"after_epochs": 0, "startup_trials": 4}
    base = {**BASE, "recipe.epochs": 3, "data.images": 96}
    definition = study(arms, pruning=pruning, base=base, varies=["recipe.learning_rate"])
    found = trials(work(definition, tmp_path / "study").run())
    assert [found[f"good/{seed}"]["state"] for seed in (0, 1)] == ["done", "done"]
    assert "pruned" in {found[f"bad/{seed}"]["state"] for seed in (0, 1)}
    stopped = next(trial for key, trial in found.items() if trial["state"] == "pruned")
    assert stopped["test"] is None
    assert "below the median" in stopped["notes"][0]


def test_a_chain_trains_the_student_between(tiny: ModuleType, tmp_path: Path) -> None:
    arms = {"chain": {"trains": "gen_03", "against": "direct"}, "direct": {"trains": "gen_03_direct"}}
    definition = study(arms, control="direct", seeds=[0], varies=["networks"])
    record = work(definition, tmp_path / "study").run()
    folders = {arm["arm"]: tmp_path / "study" / arm["trials"][0]["run"] for arm in record["arms"]}
    arms_in = {name: sorted(path.parent.name for path in run.glob("*/arm.json")) for name, run in folders.items()}
    assert arms_in == {
        "scratch": ["gen_02_scratch"],
        "chain": ["gen_01", "gen_02", "gen_03"],
        "direct": ["gen_01", "gen_03_direct"],
    }


def test_another_figure_may_be_the_judge(tiny: ModuleType, tmp_path: Path) -> None:
    definition = study({"kd": {}}, seeds=[0], metric={"name": "nll", "higher_is_better": False})
    record = work(definition, tmp_path / "study").run()
    trial = trials(record)["kd/0"]
    assert trial["test"] == trial["tests"]["tiny"]["nll"]
    assert record["metric"] == {"name": "nll", "unit": "", "higher_is_better": False}
    teacher = record["teachers"][0]
    assert teacher["test"] == teacher["tests"]["tiny"]["nll"]
    report = read_study_facts(tmp_path / "study")
    assert compute(report).of("kd").figures == {0: trial["test"]}


def test_all_arms_are_compared_before_any_gets_its_second_seed(tiny: ModuleType) -> None:
    plan = prepared(study({"kd": {}}, seeds=[3, 5]))
    order = [(arm.name, seed) for arm, seed in by_seed(plan.arms)]
    names = [arm.name for arm in plan.arms]
    assert order == [(name, 3) for name in names] + [(name, 5) for name in names]


def test_a_metric_that_runs_do_not_have_ends_the_study_and_can_be_mended(
    tiny: ModuleType, tmp_path: Path, executed: list[str]
) -> None:
    out = tmp_path / "study"
    with pytest.raises(
        RequestError, match=r"metric\.name 'accuracyy' is no figure of a test set here: give .*accuracy"
    ):
        work(study({"kd": {}}, seeds=[0], metric={"name": "accuracyy"}), out).run()
    assert executed[-1] == "scratch/seed-0"
    made = work(study({"kd": {}}, seeds=[0]), out)
    record = made.run()
    assert {key: one["state"] for key, one in trials(record).items()} == {"scratch/0": "done", "kd/0": "done"}
    teacher = record["teachers"][0]
    assert teacher["test"] == teacher["tests"]["tiny"]["accuracy"]
    # What is recorded already is judged by the new name too.
    with pytest.raises(RequestError, match=r"metric\.name 'accuracyy'"):
        work(study({"kd": {}}, seeds=[0], metric={"name": "accuracyy"}), out).run()
    name = next(name for name in trials(record)["kd/0"]["tests"]["tiny"] if name != made.spec.metric.name)
    executed.clear()
    again = trials(work(study({"kd": {}}, seeds=[0], metric={"name": name}), out).run())
    assert executed == []
    assert again["kd/0"]["test"] == again["kd/0"]["tests"]["tiny"][name]
