"""What is read from a job's trials: retries by rule, losses apart from failures, doubles, a second start."""

from __future__ import annotations

from typing import Any

import pytest

from densedistill.distill.study.outcome import MOST_LOSSES, Attempt, JobView, view


def attempt(number: int, state: str, *, turn: int | None = None, **attrs: Any) -> Attempt:
    told = {"attempt": number if turn is None else turn, **attrs}
    return Attempt(trial_id=100 + number, number=number, state=state, attrs=told, params={}, value=1.0)


def failed(number: int, outcome: str = "failed", **attrs: Any) -> Attempt:
    return attempt(number, "FAIL", outcome=outcome, error=f"error {number}", **attrs)


def seen(*attempts: Attempt, retries: int = 1) -> JobView:
    return view("job", attempts, retries)


def test_without_trials_it_waits() -> None:
    found = seen()
    assert (found.state, found.live, found.next_attempt, found.settled) == ("waiting", None, 0, False)


@pytest.mark.parametrize(("retries", "state"), [(0, "failed"), (1, "waiting")])
def test_a_failure_is_tried_again_as_often_as_the_rule_says(retries: int, state: str) -> None:
    found = seen(failed(0), retries=retries)
    assert (found.state, found.live, found.next_attempt) == (state, None, 1)
    assert found.error == "error 0"


def test_a_second_failure_settles_it() -> None:
    found = seen(failed(0), failed(1))
    assert (found.state, found.failures, found.error) == ("failed", 2, "error 1")


def test_a_wrong_request_is_not_tried_again() -> None:
    assert seen(failed(0, "final"), retries=9).state == "failed"


def test_success_after_a_failure() -> None:
    found = seen(failed(0), attempt(1, "COMPLETE", figures={"val": 2}))
    assert (found.state, found.failures, found.error, found.figures) == ("done", 1, None, {"val": 2})


def test_a_killed_process_is_no_failure_until_it_happens_again_and_again() -> None:
    lost = [failed(number, "lost") for number in range(MOST_LOSSES)]
    assert seen(*lost[:-1], retries=0).state == "waiting"
    assert seen(*lost, retries=0).state == "failed"


def test_being_put_back_costs_nothing() -> None:
    assert seen(*(failed(number, "put back") for number in range(20)), retries=0).state == "waiting"


def test_of_two_trials_for_one_turn_the_lower_number_counts() -> None:
    found = seen(attempt(4, "WAITING", turn=0), attempt(3, "RUNNING", turn=0))
    assert found.live is not None
    assert (found.live.number, found.state, found.doubles, found.next_attempt) == (3, "running", (104,), 1)


def test_a_dropped_double_leaves_no_trace() -> None:
    found = seen(attempt(0, "COMPLETE"), failed(1, "double", turn=0))
    assert (found.state, found.failures, found.doubles) == ("done", 0, ())


def test_asked_for_again_it_starts_with_all_its_tries() -> None:
    found = seen(failed(0), failed(1), attempt(2, "WAITING", again=True))
    assert (found.state, found.failures) == ("waiting", 0)
    assert seen(failed(0), failed(1), failed(2, again=True)).state == "waiting"
    assert seen(failed(0), failed(1), failed(2, again=True), failed(3)).state == "failed"


def test_pruned_is_settled() -> None:
    found = seen(attempt(0, "PRUNED", figures={"epochs": 2}))
    assert (found.state, found.settled, found.value) == ("pruned", True, None)
