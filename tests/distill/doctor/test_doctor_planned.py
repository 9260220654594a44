"""What a run will take: arms counted once each, memory against what is free, and time within limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from densedistill.distill.doctor import planned
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.finding import Status
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.doctor.planned import check_memory, check_time, planned_images, seconds_per_image
from densedistill.distill.dry_run import Trial
from densedistill.distill.lessons.training import ArmTraining

Patients = Callable[..., DoctorChain]


def trial(needed: int, free: int) -> Trial:
    return Trial(
        arm="gen_02",
        network="tiny/cls",
        init="random",
        params=1,
        input=(8, 3, 8, 8),
        output=(8, 4),
        losses={},
        epochs=2,
        steps=10,
        seconds_per_step=0.5,
        memory_bytes=needed,
        free_bytes=free,
    )


@pytest.mark.parametrize(
    ("needed", "in_parts", "status"),
    [(10, False, "pass"), (80, False, "pass"), (90, False, "warn"), (101, False, "fail"), (101, True, "warn")],
)
def test_memory_is_judged_against_what_is_free(needed: int, in_parts: bool, status: Status) -> None:
    (found,) = check_memory([trial(needed, 100)], in_parts=in_parts)
    assert found.status == status


def test_the_time_is_the_sum_over_arms() -> None:
    found = check_time({"gen_01": 3600.0, "gen_02": 1800.0})
    assert found.figures["seconds"] == 5400.0
    assert "1 h 30 min" in found.text


def test_arms_of_one_network_count_together_and_finished_ones_do_not(
    tiny: ModuleType, patient: Patients, tmp_path: Path
) -> None:
    chain = patient(tiny.tiny_spec("cls"), tmp_path, {"recipe.epochs": 5})
    teacher, student = chain.to_train
    # 48 images in whole batches of 8, five times over; the student is trained with and without its teacher.
    assert planned_images(chain, teacher) == 240
    assert planned_images(chain, student) == 480
    done = tmp_path / "gen_02_scratch"
    done.mkdir()
    (done / "arm.json").write_text("{}")
    assert planned_images(chain, student) == 240
    assert seconds_per_image(chain, chain.assemble(student).arm) > 0


def test_limits_end_a_row_and_always_give_its_first() -> None:
    clock = iter(range(100))
    limits = Limits(until=10.0, clock=lambda: float(next(clock)))
    assert list(limits.within(range(50), share=0.5)) == [0, 1, 2, 3]
    assert list(Limits(until=0.0).within("abc")) == ["a"]
    assert list(Limits().within("abc")) == ["a", "b", "c"]


def test_what_the_device_still_had_to_do_is_not_the_teacher_s_time(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is 5 seconds behind when the arm is on the bench."""
    device = SimpleNamespace(now=0.0, behind=5.0)

    def synchronise(_device: torch.device) -> None:
        device.now, device.behind = device.now + device.behind, 0.0

    monkeypatch.setattr(planned, "synchronise", synchronise)
    monkeypatch.setattr(planned, "time", SimpleNamespace(perf_counter=lambda: device.now))
    monkeypatch.setattr(ArmTraining, "gradient_seconds", lambda *_given, **_named: 0.0)
    chain = patient(tiny.tiny_spec("cls"), tmp_path)
    assert seconds_per_image(chain, chain.assemble(chain.plans[1]).arm) == 0.0
    assert device.now == 5.0
