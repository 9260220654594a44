"""What a study says while it runs."""

from __future__ import annotations

from datetime import datetime, timedelta

from densedistill.distill.errors import RunFailedError
from densedistill.distill.study.definition import StudyMetric
from densedistill.distill.study.outcome import Attempt, JobView, view
from densedistill.tasks.study_words import finished_line, in_words, time_left

BEGUN = datetime(2024, 1, 1)


def job(state: str, seconds: float = 60.0) -> JobView:
    trial = Attempt(
        trial_id=1,
        number=0,
        state=state,
        attrs={"attempt": 0},
        params={},
        value=1.0,
        begun=BEGUN,
        ended=BEGUN + timedelta(seconds=seconds),
    )
    return view("job", [trial], retries=0)


def test_time_left_is_the_mean_of_what_is_done_shared_by_those_at_work() -> None:
    done = [job("COMPLETE", 120), job("COMPLETE", 240)]
    assert time_left([*done, *[job("WAITING")] * 4]) == "; about 12 min left"
    assert time_left([*done, *[job("WAITING")] * 3, job("RUNNING")]) == "; about 6 min left"
    assert time_left([job("COMPLETE", 1), job("WAITING")]) == "; less than a minute left"


def test_nothing_is_guessed_from_nothing() -> None:
    assert time_left([job("WAITING")]) == ""
    assert time_left([job("COMPLETE")]) == ""


def test_a_finished_trial_in_one_line() -> None:
    figures = {"val": 55.25, "test": 54.8}
    accuracy = StudyMetric(name="accuracy", unit="%")
    assert finished_line("kd/seed-0", figures, accuracy, accuracy, 12.4, [job("COMPLETE")]) == (
        "[1/1] kd/seed-0: val 55.25 %, test 54.80 % (12 s)"
    )
    assert "test none" in finished_line("kd/seed-0", {**figures, "test": None}, accuracy, accuracy, 1, [])


def test_unlike_figures_of_a_finished_trial_have_their_names() -> None:
    dice, ods = StudyMetric(name="dice"), StudyMetric(name="ods")
    told = finished_line("kd/seed-0", {"val": 0.13, "test": 0.5831}, dice, ods, 1, [])
    assert "val Dice 0.1300, test ODS 0.5831 (1 s)" in told


def test_errors_in_words() -> None:
    assert in_words(RunFailedError("the loss was not finite")) == "the loss was not finite"
    assert in_words(KeyError("taps")) == "KeyError: 'taps'"
    assert in_words(ValueError()) == "ValueError: no message"
