"""What a run says while it works: a live bar on a terminal, one line for each epoch in a log file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Level = Literal["info", "warning"]

_HORIZON_SECONDS = 10.0
"""How far back the shown images per second reach: long enough to be steady, short enough to show a change."""


class RunLog(Protocol):
    """Where the engine tells what it does. Used as a context manager around the whole run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """An arm of `steps` steps begins, `done` of which an earlier process has taken already."""

    def step(self, done: int, images: int, loss: float | None) -> None:
        """`done` steps of the arm are taken, with `images` images since the last call; `loss` where it was read."""

    def epoch(self, line: Mapping[str, object]) -> None:
        """An epoch has ended; `line` is what `metrics.jsonl` holds of it."""

    def arm_finished(self, arm: str, line: str) -> None:
        """An arm has ended with the result that `line` states."""

    def message(self, text: str, level: Level = "info") -> None:
        """A sentence for the user."""


class SilentLog:
    """Says nothing: for tests, and for the processes beside the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """Says nothing."""

    def step(self, done: int, images: int, loss: float | None) -> None:
        """Says nothing."""

    def epoch(self, line: Mapping[str, object]) -> None:
        """Says nothing."""

    def arm_finished(self, arm: str, line: str) -> None:
        """Says nothing."""

    def message(self, text: str, level: Level = "info") -> None:
        """Says nothing."""


class RichLog:
    """Speaks on `console`, standard error by default: a bar where that is a terminal, plain lines where it is not."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = _progress(self._console) if self._console.is_terminal else None
        self._task: TaskID | None = None
        self._rate = Throughput()
        self._steps = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """Print what begins, and set the bar to it."""
        self._steps = steps
        self._rate = Throughput()
        resumed = f", from step {done}" if done else ""
        self._say(f"{arm}: {detail}, {steps} steps{resumed}", style="bold")
        if self._bar is not None:
            self._drop_task()
            self._task = self._bar.add_task(arm, total=steps, completed=done, rate="", loss="", latest="")

    def step(self, done: int, images: int, loss: float | None) -> None:
        """Move the bar; a log file hears of epochs alone."""
        self._rate.add(images)
        if self._bar is None or self._task is None:
            return
        rate = self._rate.value
        self._bar.update(self._task, completed=done, rate="" if rate is None else f"{rate:.0f} images/s")
        if loss is not None:
            self._bar.update(self._task, loss=f"loss {loss:.4g}")

    def epoch(self, line: Mapping[str, object]) -> None:
        """Print the epoch in a log file; on a terminal show its validation figure beside the bar."""
        self._rate.pause()
        if self._bar is None:
            self._say(epoch_line(line, self._steps))
        elif self._task is not None:
            self._bar.update(self._task, latest="  ".join(_validation(line)[-1:]), refresh=True)

    def arm_finished(self, arm: str, line: str) -> None:
        """Take the bar away and print the arm's result."""
        self._drop_task()
        self._say(f"{arm}: {line}")

    def message(self, text: str, level: Level = "info") -> None:
        """Print `text`; a warning says that it is one."""
        if level == "warning":
            self._say(f"warning: {text}", style="yellow")
        else:
            self._say(text)

    def _say(self, text: str, style: str | None = None) -> None:
        # Names and messages may hold square brackets, which rich would take for markup.
        self._console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _drop_task(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None


class Throughput:
    """Images per second of training, averaged over the last seconds; time spent on validation does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = clock()
        self._images = 0.0
        self._seconds = 0.0

    @property
    def value(self) -> float | None:
        """Images per second; None before the first measured step."""
        return self._images / self._seconds if self._seconds > 0 else None

    def add(self, images: int) -> None:
        """Count `images` since the last call. The step after a pause is not measured: its start is not known."""
        now = self._clock()
        if self._last is not None:
            elapsed = now - self._last
            keep = math.exp(-elapsed / _HORIZON_SECONDS)
            self._images = keep * self._images + images
            self._seconds = keep * self._seconds + elapsed
        self._last = now

    def pause(self) -> None:
        """Training stops for something else until the next `add`."""
        self._last = None


def epoch_line(line: Mapping[str, object], steps: int) -> str:
    """An epoch of `metrics.jsonl` in one plain line, with what it holds and nothing in place of what it lacks."""
    parts = [f"{line.get('arm', '')}", f"epoch {line.get('epoch', '?')}", f"step {line.get('step', '?')}/{steps}"]
    train, rate, seconds = line.get("train_loss"), line.get("images_per_second"), line.get("seconds")
    if isinstance(train, int | float):
        parts.append(f"loss {train:.4g}")
    parts += _validation(line)
    if isinstance(rate, int | float):
        parts.append(f"{rate:.0f} images/s")
    if isinstance(seconds, int | float):
        parts.append(f"{seconds:.1f} s")
    return "  ".join(parts)


def _validation(line: Mapping[str, object]) -> list[str]:
    """The validation loss, then the metric that selects: the first of the figures."""
    loss, figures = line.get("val_loss"), line.get("val")
    parts = [f"val_loss {loss:.4g}"] if isinstance(loss, int | float) else []
    if isinstance(figures, Mapping):
        parts += [f"val {name} {value:.4g}" for name, value in list(figures.items())[:1]]
    return parts


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.fields[loss]}", markup=False),
        TextColumn("{task.fields[latest]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
    )
