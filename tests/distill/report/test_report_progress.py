"""What a run says on a terminal, and into a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from densedistill.distill.progress import RichLog, RunLog, SilentLog, Throughput, epoch_line

EPOCH = {
    "arm": "gen_02",
    "epoch": 1,
    "step": 20,
    "train_loss": 0.51234,
    "val_loss": 0.6,
    "val": {"dice": 0.41, "dice_per_image": 0.4},
    "images_per_second": 119.6,
    "seconds": 3.44,
}


def _drive(log: RunLog) -> None:
    with log:
        log.arm_started("gen_02", "smp/unet [slim]", steps=40, done=0)
        for epoch in (1, 2):
            for step in range(20):
                log.step(20 * (epoch - 1) + step + 1, images=16, loss=0.5 if step % 10 == 0 else None)
            log.epoch(EPOCH | {"epoch": epoch, "step": 20 * epoch})
        log.message("weights [b]could not[/b] be had", "warning")
        log.arm_finished("gen_02", "val dice 0.41")


def test_a_file_gets_one_line_per_epoch() -> None:
    file = io.StringIO()
    _drive(RichLog(Console(file=file, width=60)))
    assert file.getvalue().splitlines() == [
        "gen_02: smp/unet [slim], 40 steps",
        "gen_02  epoch 1  step 20/40  loss 0.5123  val_loss 0.6  val dice 0.41  120 images/s  3.4 s",
        "gen_02  epoch 2  step 40/40  loss 0.5123  val_loss 0.6  val dice 0.41  120 images/s  3.4 s",
        "warning: weights [b]could not[/b] be had",
        "gen_02: val dice 0.41",
    ]


def test_a_terminal_gets_a_bar_and_no_epoch_lines() -> None:
    file = io.StringIO()
    _drive(RichLog(Console(file=file, width=120, force_terminal=True, color_system=None)))
    shown = file.getvalue()
    assert "epoch 1" not in shown
    assert "40/40" in shown
    assert "images/s" in shown
    assert "gen_02: val dice 0.41" in shown


def test_everything_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    _drive(RichLog())
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "gen_02: val dice 0.41" in caught.err


def test_a_resumed_arm_says_where_it_goes_on() -> None:
    file = io.StringIO()
    with RichLog(Console(file=file)) as log:
        log.arm_started("gen_02", "net", steps=40, done=17)
    assert file.getvalue() == "gen_02: net, 40 steps, from step 17\n"


def test_silent_log_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    _drive(SilentLog())
    caught = capsys.readouterr()
    assert caught.out + caught.err == ""


def test_epoch_line_leaves_out_what_is_not_there() -> None:
    line = {"arm": "gen_01", "epoch": 2, "step": 5, "train_loss": None, "val_loss": None, "val": {}}
    assert epoch_line(line, 10) == "gen_01  epoch 2  step 5/10"


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_throughput_is_images_over_seconds_without_pauses() -> None:
    clock = _Clock()
    rate = Throughput(clock)
    assert rate.value is None
    for _ in range(200):
        clock.now += 0.5
        rate.add(32)
    assert rate.value is not None
    assert abs(rate.value - 64.0) < 1e-9
    rate.pause()
    clock.now += 1000.0
    rate.add(32)
    assert abs(rate.value - 64.0) < 1e-9


def test_throughput_follows_a_change() -> None:
    clock = _Clock()
    rate = Throughput(clock)
    for step_seconds in [0.1] * 300 + [0.2] * 300:
        clock.now += step_seconds
        rate.add(10)
    assert rate.value is not None
    assert 50.0 <= rate.value < 50.5
