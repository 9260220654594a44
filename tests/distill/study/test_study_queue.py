"""The queue: each job once however many work on it, taken over from the dead, tried again by rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from densedistill.distill.study import queue as queues
from densedistill.distill.study.queue import Claimed, Job, LostClaimError, Queue
from densedistill.distill.study.storage import open_storage

JOBS = [Job(f"arm/seed-{seed}", {"arm": "arm", "seed": seed}) for seed in range(3)]
WORKER = """
import sys, time, json
from pathlib import Path
from densedistill.distill.study.queue import Job, Queue
from densedistill.distill.study.storage import open_storage
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jobs = [Job(str(place), {}) for place in range(count)]
queue = Queue(open_storage(None, folder), "q", higher_is_better=True, retries=1, jobs=jobs)
done = []
while not queue.finished:
    claimed = queue.claim(lambda _key: True)
    if claimed is None:
        time.sleep(0.02)
        continue
    with claimed:
        done.append(claimed.job.key)
        time.sleep(0.02)
        claimed.done(1.0, {"by": name})
print(json.dumps(done))
"""


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "sqlite" else f"journal:{tmp_path / 'trials.log'}"


def opened(storage: str | None, folder: Path, retries: int = 1) -> Queue:
    """As a process of its own would see it."""
    return Queue(open_storage(storage, folder), "q", higher_is_better=True, jobs=JOBS, retries=retries)


def anything(_key: str) -> bool:
    return True


def take(queue: Queue) -> Claimed:
    claimed = queue.claim(anything)
    assert claimed is not None
    return claimed


def test_no_job_is_taken_twice(storage: str | None, tmp_path: Path) -> None:
    first, second = opened(storage, tmp_path), opened(storage, tmp_path)
    keys = [take(queue).job.key for queue in (first, second, first)]
    assert sorted(keys) == [job.key for job in JOBS]
    assert second.claim(anything) is None
    assert not first.finished


def test_jobs_are_taken_in_order_and_only_when_ready(tmp_path: Path) -> None:
    queue = opened(None, tmp_path)
    claimed = queue.claim(lambda key: key.endswith("2"))
    assert claimed is not None
    assert claimed.job.key == "arm/seed-2"
    assert take(queue).job.key == "arm/seed-0"


def test_results_reach_every_process(storage: str | None, tmp_path: Path) -> None:
    first, second = opened(storage, tmp_path), opened(storage, tmp_path)
    with take(first) as claimed:
        claimed.done(0.5, {"val": 0.5, "notes": ["kept"]})
    found = second.views()["arm/seed-0"]
    assert (found.state, found.value, found.figures) == ("done", 0.5, {"val": 0.5, "notes": ["kept"]})


def test_a_failed_job_comes_again_once(tmp_path: Path) -> None:
    queue = opened(None, tmp_path)
    for turn in range(2):
        with take(queue) as claimed:
            assert claimed.job.key == "arm/seed-0"
            claimed.failed(f"loss was not finite, turn {turn}", final=False)
    assert take(queue).job.key == "arm/seed-1"
    found = queue.views()["arm/seed-0"]
    assert (found.state, found.failures, found.error) == ("failed", 2, "loss was not finite, turn 1")


def test_failed_jobs_come_back_when_asked_for(tmp_path: Path) -> None:
    queue = opened(None, tmp_path, retries=0)
    with take(queue) as claimed:
        claimed.failed("wrong", final=True)
    assert queue.reopen() == ["arm/seed-0"]
    assert take(queue).job.key == "arm/seed-0"
    assert queue.reopen() == []


def test_a_job_put_back_is_the_next_one(tmp_path: Path) -> None:
    queue = opened(None, tmp_path, retries=0)
    for _ in range(3):
        with take(queue) as claimed:
            assert claimed.job.key == "arm/seed-0"
            claimed.put_back()
    assert queue.views()["arm/seed-0"].failures == 0


def test_the_job_of_a_dead_process_is_taken_over(storage: str | None, tmp_path: Path) -> None:
    queue, other = opened(storage, tmp_path), opened(storage, tmp_path)
    claimed = take(queue)
    assert other.views()["arm/seed-0"].state == "running"
    assert take(other).job.key == "arm/seed-1"
    owner = {"host": queues.socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time() - 60}
    queue._note(claimed.trial._trial_id, {"owner": owner})
    assert take(other).job.key == "arm/seed-0"
    assert other.views()["arm/seed-0"].losses == 1


def test_a_silent_machine_loses_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, other = opened(None, tmp_path), opened(None, tmp_path)
    claimed = take(queue)
    queue._note(claimed.trial._trial_id, {"owner": {"host": "elsewhere", "pid": 1, "started": 0.0}, "beat": 7})
    now = queues.time.monotonic()
    for passed, expected in ((0.0, "arm/seed-1"), (queues.GRACE_SECONDS - 1, "arm/seed-2")):
        monkeypatch.setattr(queues.time, "monotonic", lambda passed=passed: now + passed)
        assert take(other).job.key == expected
    queue._note(claimed.trial._trial_id, {"beat": 8})
    monkeypatch.setattr(queues.time, "monotonic", lambda: now + queues.GRACE_SECONDS + 1)
    assert other.claim(anything) is None, "it has beaten meanwhile"
    monkeypatch.setattr(queues.time, "monotonic", lambda: now + 2 * queues.GRACE_SECONDS + 2)
    assert take(other).job.key == "arm/seed-0"


def test_who_lost_a_job_is_told_and_writes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "BEAT_SECONDS", 0.01)
    queue = opened(None, tmp_path)
    with take(queue) as claimed:
        claimed.require()
        queue._fail(claimed.trial._trial_id, {"outcome": "lost"})
        claimed._thread.join(timeout=10)
        with pytest.raises(LostClaimError):
            claimed.require()
        claimed.done(9.0, {"val": 9.0})
    assert queue.views()["arm/seed-0"].state == "waiting"


def test_doubles_of_two_beginners_are_dropped(tmp_path: Path) -> None:
    first, second = opened(None, tmp_path), opened(None, tmp_path)
    found = first.views()["arm/seed-0"]
    first._enqueue(found)
    second._enqueue(found)
    assert take(second).job.key == "arm/seed-0"
    assert take(first).job.key == "arm/seed-1"


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    processes = [subprocess.Popen([*command, name, "30"], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    done = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    assert sorted(map(int, done[0] + done[1])) == list(range(30))


def test_a_search_draws_from_its_range_and_repeats_itself(tmp_path: Path) -> None:
    drawn = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        queue = opened(None, folder)
        values = []
        for place in range(3):
            with take(queue) as claimed:
                values.append(claimed.trial.suggest_float("alpha", 0.1, 0.9))
                claimed.done(place / 10, {})
        drawn.append(values)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    assert all(0.1 <= value <= 0.9 for value in drawn[0])


@pytest.mark.parametrize("ending", ["put back", "lost", "failed"])
def test_what_a_search_has_drawn_stays(tmp_path: Path, ending: str) -> None:
    """The run was begun with it: it can go on with nothing else."""
    queue = opened(None, tmp_path, retries=2)
    with take(queue) as claimed:
        drawn = claimed.trial.suggest_float("alpha", 0.1, 0.9)
        queue._fail(claimed.trial._trial_id, {"outcome": ending})
    with take(opened(None, tmp_path, retries=2)) as again:
        assert again.job.key == claimed.job.key
        assert again.trial.suggest_float("alpha", 0.1, 0.9) == drawn


def test_a_storage_that_hiccups_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "BEAT_SECONDS", 0.01)
    queue = opened(None, tmp_path)
    claimed = take(queue)
    note, failures = queue._note, iter(range(3))

    def hiccuping(trial_id: int, attrs: dict[str, object]) -> bool:
        if next(failures, None) is not None:
            raise OSError("the server is away")
        return note(trial_id, attrs)

    monkeypatch.setattr(queue, "_note", hiccuping)
    with claimed:
        beaten = time.monotonic() + 30
        while queue.views()[claimed.job.key].live.attrs.get("beat", 0) < 2 and time.monotonic() < beaten:  # type: ignore[union-attr]
            time.sleep(0.01)
        claimed.require()
        assert next(failures, None) is None


def test_a_job_counts_as_lost_when_others_may_have_taken_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(queues, "GRACE_SECONDS", 0.05)
    queue = opened(None, tmp_path)
    claimed = take(queue)

    def away(_trial_id: int, _attrs: dict[str, object]) -> bool:
        raise OSError("the server is away")

    monkeypatch.setattr(queue, "_note", away)
    with claimed:
        claimed._thread.join(timeout=30)
        with pytest.raises(LostClaimError):
            claimed.require()
