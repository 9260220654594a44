"""What an arm's epochs show to be wrong: said once, recorded, and not said of a run that goes well."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from densedistill.distill.configuration.recipe import EarlyStopping
from densedistill.distill.lessons.stopping import Stopping
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.lessons.watching import Notice, Watch, stopped_early, worse_teacher
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.progress import SilentLog
from densedistill.distill.spec import TaskSpec, TermContext


def nothing(_outputs: StepOutputs) -> Tensor:
    """Stand for a term's function."""
    return torch.zeros(())


HARD = LossTerm(name="hard", fn=nothing, weight=0.5)
SOFT = LossTerm(name="soft", fn=nothing, weight=0.5, needs_teacher=True)


def line(epoch: int, hard: float, soft: float = 1.0, norm: float | None = 1.0) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "losses": {"hard": hard, "soft": soft},
        "train_loss": 0.5 * hard + 0.5 * soft,
        "grad_norm": norm,
    }


def watched(lines: Sequence[dict[str, Any]], terms: Sequence[LossTerm] = (HARD, SOFT), steps: int = 6) -> list[Notice]:
    watch = Watch()
    return [notice for one in lines for notice in watch.epoch(one, terms, steps)]


def kinds(notices: Sequence[Notice]) -> list[tuple[str, int | None]]:
    return [(notice.kind, notice.epoch) for notice in notices]


def test_a_run_that_goes_well_is_left_alone() -> None:
    falling = [line(1 + n, 2.0 * 0.8**n, 3.0 * 0.9**n, 1.0 + 0.3 * (n % 3)) for n in range(30)]
    assert watched(falling) == []


def test_divergence_is_twice_the_lowest_and_above_the_first_and_said_once() -> None:
    losses = [2.0, 1.0, 0.5, 0.9, 1.9, 2.1, 5.0, 9.0]
    found = watched([line(1 + n, hard, 1.0 + 0.01 * n) for n, hard in enumerate(losses)])
    assert kinds(found) == [("divergence", 6)]
    assert "4.2 times its lowest" in found[0].text
    assert "recipe.learning_rate" in found[0].text


def test_a_teachers_term_that_grows_in_its_warm_up_is_no_divergence() -> None:
    assert watched([line(1 + n, 2.0 - 0.1 * n, 0.5 * (n + 1)) for n in range(10)]) == []


def test_without_a_term_of_its_own_the_total_counts() -> None:
    lines = [
        {"epoch": 1 + n, "losses": {"soft": loss}, "train_loss": loss, "grad_norm": None}
        for n, loss in enumerate([1.0, 0.3, 1.2])
    ]
    assert kinds(watched(lines, [SOFT])) == [("divergence", 3)]


def test_a_dead_term_is_named() -> None:
    assert kinds(watched([line(1, 2.0, 0.0)])) == [("dead term", 1)]
    constant = watched([line(1, 2.0, 0.7), line(2, 1.9, 0.7), line(3, 1.8, 0.7)])
    assert kinds(constant) == [("dead term", 2)]
    assert "'soft' was 0.7" in constant[0].text


def test_a_warm_up_from_0_is_no_dead_term() -> None:
    assert watched([line(1, 2.0, 0.0), line(2, 1.9, 0.1)], steps=1) == []
    assert kinds(watched([line(1, 2.0, 0.0), line(2, 1.9, 0.0)], steps=1)) == [("dead term", 2)]


@pytest.mark.parametrize(("soft", "said"), [(199.0, False), (250.0, True)])
def test_a_term_out_of_scale_is_named_with_its_weight_counted(soft: float, said: bool) -> None:
    found = watched([line(1, 1.0, soft), line(2, 0.001, soft * 0.9)], [dataclasses.replace(HARD, weight=1.0), SOFT])
    assert kinds(found) == ([("out of scale", 1)] if said else [])
    assert not said or "'soft' is 125 times" in found[0].text


def test_a_gradient_jump_needs_epochs_to_compare_with() -> None:
    norms = [500.0, 1.0, 1.2, 0.9, 9.0, 30.0, 80.0]
    found = watched([line(1 + n, 2.0 - 0.01 * n, 1.0 + 0.01 * n, norm) for n, norm in enumerate(norms)])
    assert kinds(found) == [("gradient jump", 6)]
    assert watched([line(1, 2.0), line(2, 1.9, 1.1, norm=1e6)]) == []


def test_a_watch_goes_on_after_a_restart() -> None:
    first = Watch()
    for one in (line(1, 2.0, 0.7), line(2, 1.0, 0.7)):
        for notice in first.epoch(one, (HARD, SOFT), 6):
            first.add(notice)
    second = Watch()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.epoch(line(3, 4.1, 0.7), (HARD, SOFT), 6)[0].kind == "divergence"
    assert [notice["kind"] for notice in second.notices] == ["dead term"]


def test_an_early_stop_at_a_high_rate_is_no_evidence() -> None:
    notice = stopped_early(40, 0.63)
    assert notice is not None
    assert (
        notice.text == "stopped early while the learning rate was at 63 % of its peak: this is not evidence of collapse"
    )
    assert stopped_early(40, 0.05) is None


def test_a_worse_teacher_is_said_by_the_metrics_direction() -> None:
    assert worse_teacher("gen_01", 70.0, "gen_02_scratch", 71.0, higher=True) is not None
    assert worse_teacher("gen_01", 70.0, "gen_02_scratch", 71.0, higher=False) is None
    assert worse_teacher("gen_01", None, "gen_02_scratch", 71.0, higher=True) is None


# -- early stopping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "higher", "has_loss", "figures", "losses", "stops"),
    [
        ("metric", True, True, [1, 2, 3, 3, 3], [5, 5, 5, 5, 5], [False, False, False, False, True]),
        ("metric", False, True, [3, 2, 1, 1, 1], [5, 5, 5, 5, 5], [False, False, False, False, True]),
        ("loss", True, True, [1, 2, 3, 4, 5], [3, 2, 2, 2, 1], [False, False, False, True, False]),
        # Without a loss the metric is watched, in its own direction: rising accuracy is no reason to stop.
        ("loss", True, False, [1, 2, 3, 4, 5], [None] * 5, [False] * 5),
        ("loss", False, False, [1, 2, 3, 4, 5], [None] * 5, [False, False, True, True, True]),
    ],
)
def test_what_is_watched_and_which_way(
    monitor: Any, higher: bool, has_loss: bool, figures: list[float], losses: list[Any], stops: list[bool]
) -> None:
    rule = EarlyStopping(monitor=monitor, patience=2)
    stopping = Stopping(rule, higher_is_better=higher, has_loss=has_loss)
    found = [stopping.over(figure, loss, 1 + n) for n, (figure, loss) in enumerate(zip(figures, losses, strict=True))]
    assert found == stops
    assert (stopping.substituted is not None) == (monitor == "loss" and not has_loss)


class Listening(SilentLog):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str, level: Any = "info") -> None:
        """Keep it."""
        self.said.append(f"{level}: {text}")


def only_taught(spec: TaskSpec) -> TaskSpec:
    """`spec` with a method whose every term needs the teacher, beside a teacher."""
    method = spec.methods["kd"]

    def own(parameters: Any, context: Any) -> Any:
        return [] if isinstance(context, TermContext) else method.own(parameters, context)

    return dataclasses.replace(spec, methods={**spec.methods, "kd": dataclasses.replace(method, own=own)})


def test_an_arm_without_a_validation_loss_is_stopped_by_its_metric(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, str]] = []
    restore = ArmTraining.restore

    def noting(training: ArmTraining) -> None:
        restore(training)
        stopping = training.supervision.stopping
        assert stopping is not None
        seen.append((stopping.selection.higher_is_better, stopping.monitor))

    monkeypatch.setattr(ArmTraining, "restore", noting)
    log = Listening()
    settings = {"controls": [], "recipe.early_stopping": {"monitor": "loss", "patience": 9}}
    chain = tiny.tiny_chain(only_taught(tiny.tiny_spec("cls")), tmp_path, settings, log=log)
    result = chain.run()
    assert seen == [(False, "loss"), (True, "metric")]
    arm = result["arms"][1]
    assert [notice["kind"] for notice in arm["notices"]] == ["monitor"]
    assert [text for text in log.said if "the metric is watched" in text] == [
        f"warning: gen_02: {arm['notices'][0]['text']}"
    ]


def test_notices_are_in_the_record_and_the_result(tiny: ModuleType, tmp_path: Path) -> None:
    log = Listening()
    settings = {
        "recipe.schedule": "constant",
        "recipe.epochs": 30,
        "recipe.learning_rate": 1e-9,
        "recipe.early_stopping": {"monitor": "metric", "patience": 1},
        "generations": 1,
    }
    result = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings, log=log).run()
    (arm,) = result["arms"]
    assert arm["epochs"] < 30
    (notice,) = [notice for notice in arm["notices"] if notice["kind"] == "early stop"]
    assert notice["epoch"] == arm["epochs"]
    assert "at 100 % of its peak: this is not evidence of collapse" in notice["text"]
    assert json.loads((tmp_path / "gen_01/arm.json").read_text())["notices"] == arm["notices"]
    assert json.loads((tmp_path / "result.json").read_text())["arms"][0]["notices"] == arm["notices"]
    assert sum(notice["text"] in text for text in log.said) == 1


def test_a_result_says_that_a_teacher_is_worse(tiny: ModuleType, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"recipe.epochs": 1})
    chain.run()
    for arm, figure in (("gen_01", 20.0), ("gen_02", 60.0), ("gen_02_scratch", 50.0)):
        file = tmp_path / arm / "arm.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"test": figure}))
    seen = {arm["arm"]: [notice["kind"] for notice in arm["notices"]] for arm in chain.run()["arms"]}
    assert "teacher" in seen["gen_02"]
    assert "teacher" not in seen["gen_02_scratch"] + seen["gen_01"]
