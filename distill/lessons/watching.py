"""Watching an arm's training: what its epochs show to be wrong is said once, while there is time to stop it.

It reads the figures that an epoch's line holds anyway: nothing waits for the device on its account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from densedistill.distill.gains import lead
from densedistill.distill.lessons.counters import Remembered
from densedistill.distill.objective import LossTerm

DIVERGED = 2.0
"""How many times its lowest epoch's a loss must be, and above its first epoch's, to count as diverging."""
JUMPED = 10.0
"""How many times the median of the epochs before an epoch's largest gradient norm must be."""
OUT_OF_SCALE = 100.0
"""How many times all other terms together a weighted term may be."""
CONSTANT = 1e-9
"""Relative difference of two epochs' means below which a term has not changed: batches differ by far more."""
STILL_HIGH = 0.1
"""Share of its peak above which a learning rate has not come down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something about an arm's training that a reader of its figures must know. In arm.json and result.json."""

    kind: str
    """`divergence`, `dead term`, `gradient jump`, `out of scale`, `early stop`, `monitor` or `teacher`."""
    epoch: int | None
    """After which it was seen, from 1; None: before the first, or of the run as a whole."""
    text: str

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"kind": self.kind, "epoch": self.epoch, "text": self.text}


@dataclass
class Watch(Remembered):
    """Reads the line of each epoch of one arm; each thing is said once. Its state goes into the checkpoint."""

    notices: list[dict[str, Any]] = field(default_factory=list)
    """As `Notice.plain` has them."""
    own_losses: list[float] = field(default_factory=list)
    """By epoch: the weighted sum of the terms that need no teacher."""
    norms: list[float] = field(default_factory=list)
    """By epoch: the largest gradient norm."""
    means: dict[str, float] = field(default_factory=dict)
    """The last epoch's mean of each term."""
    said: list[str] = field(default_factory=list)
    """Kind and term of each notice that was given."""

    def epoch(self, line: Mapping[str, Any], terms: Sequence[LossTerm], steps: int) -> list[Notice]:
        """What an epoch's line shows for the first time; it is for the caller to `add`.

        Args:
            line: as metrics.jsonl has it: `epoch`, `losses` (unweighted means by term), `train_loss`, `grad_norm`.
            terms: the objective's.
            steps: optimiser steps in an epoch.
        """
        found = [
            *self._divergence(line, terms),
            *self._dead_terms(line, terms, steps),
            *self._out_of_scale(line, terms),
            *self._gradient_jump(line),
        ]
        self.means = dict(line["losses"])
        fresh = [(of, notice) for of, notice in found if f"{notice.kind} {of}" not in self.said]
        self.said += [f"{notice.kind} {of}" for of, notice in fresh]
        return [notice for _of, notice in fresh]

    def add(self, notice: Notice) -> None:
        """Keep a notice for the arm's record."""
        self.notices.append(notice.plain())

    def _divergence(self, line: Mapping[str, Any], terms: Sequence[LossTerm]) -> Iterator[tuple[str, Notice]]:
        """The student's own loss; a teacher's term may grow by plan, as in a warm-up."""
        losses, epoch, before = line["losses"], line["epoch"], self.own_losses
        own = [term.weight * losses[term.name] for term in terms if not term.needs_teacher and term.name in losses]
        loss = sum(own) if own else line["train_loss"]
        if loss is None or not math.isfinite(loss):
            return
        lowest = min(before, default=loss)
        if len(before) > 1 and lowest > 0 and loss > DIVERGED * lowest and loss > before[0]:
            text = (
                f"the training loss rose to {loss:.4g} in epoch {epoch}: {loss / lowest:.1f} times its lowest, "
                f"{lowest:.4g}, and above the first epoch's {before[0]:.4g}. Try a smaller recipe.learning_rate, a "
                "longer recipe.warmup_epochs or recipe.clip_norm=1.0"
            )
            yield "", Notice(kind="divergence", epoch=epoch, text=text)
        self.own_losses = [*before, float(loss)]

    def _dead_terms(
        self, line: Mapping[str, Any], terms: Sequence[LossTerm], steps: int
    ) -> Iterator[tuple[str, Notice]]:
        for term in terms:
            mean, before = line["losses"].get(term.name), self.means.get(term.name)
            if mean is None:
                continue
            # A term that a warm-up starts at 0 is 0 in an epoch of one step.
            if mean == 0.0 and (steps > 1 or before == 0.0):
                text = f"loss term '{term.name}' was 0 throughout epoch {line['epoch']}: it teaches nothing"
            elif before is not None and abs(mean - before) <= CONSTANT * abs(before):
                text = (
                    f"loss term '{term.name}' was {mean:.4g} in two epochs in a row: it does not depend on what is "
                    "trained"
                )
            else:
                continue
            yield term.name, Notice(kind="dead term", epoch=line["epoch"], text=text)

    def _out_of_scale(self, line: Mapping[str, Any], terms: Sequence[LossTerm]) -> Iterator[tuple[str, Notice]]:
        """Judged in the first epoch alone: later a term may well be small because it is learned."""
        if self.means:
            return
        sizes = {term.name: abs(term.weight * line["losses"].get(term.name, 0.0)) for term in terms}
        for name, size in sizes.items():
            others = sum(sizes.values()) - size
            if 0 < OUT_OF_SCALE * others < size:
                text = (
                    f"loss term '{name}' is {size / others:.0f} times all others together in epoch {line['epoch']} "
                    f"(weighted {size:.3g}): little else is learned. Give it a smaller weight"
                )
                yield name, Notice(kind="out of scale", epoch=line["epoch"], text=text)

    def _gradient_jump(self, line: Mapping[str, Any]) -> Iterator[tuple[str, Notice]]:
        norm = line["grad_norm"]
        if norm is None:
            return
        usual = sorted(self.norms)[len(self.norms) // 2] if len(self.norms) > 1 else math.inf
        if norm > JUMPED * usual > 0:
            text = (
                f"the gradient's norm reached {norm:.3g} in epoch {line['epoch']}, {norm / usual:.0f} times its usual "
                f"{usual:.3g}; recipe.clip_norm={usual:.1g} would bound it"
            )
            yield "", Notice(kind="gradient jump", epoch=line["epoch"], text=text)
        self.norms = [*self.norms, float(norm)]


def stopped_early(epoch: int, rate: float) -> Notice | None:
    """What an early stop at `rate` (share of the peak learning rate, 0 to 1) must not be taken for; None: nothing."""
    if rate <= STILL_HIGH:
        return None
    return Notice(
        kind="early stop",
        epoch=epoch,
        text=f"stopped early while the learning rate was at {100 * rate:.0f} % of its peak: this is not evidence of "
        "collapse",
    )


def worse_teacher(
    teacher: str, figure: float | None, scratch: str, alone: float | None, *, higher: bool
) -> Notice | None:
    """Said of a student whose teacher's test `figure` is below what the same network reaches `alone`; else None."""
    if figure is None or alone is None or not lead(figure, alone, higher=higher) < 0:
        return None
    return Notice(
        kind="teacher",
        epoch=None,
        text=f"its teacher {teacher} reached {figure:.4g} on test, and the same network without a teacher ({scratch}) "
        f"{alone:.4g}: a teacher worse than its student may have little to teach",
    )
