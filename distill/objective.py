"""An objective: a weighted, named sum of loss terms, some of which need a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.outputs import StepOutputs


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """One named term. `weight` applies beside a teacher, `alone` when the arm trains without one."""

    name: str
    fn: Callable[[StepOutputs], Tensor]
    """Returns a scalar; may be an `nn.Module` that owns trainable parameters (a projector) or frozen ones."""
    weight: float = 1.0
    needs_teacher: bool = False
    alone_weight: float | None = None
    """Weight in the control arm without a teacher. None: `weight`. A convex mix (1 - α) sets 1 here, so that
    the control is plain training and not training at a fraction of the learning rate."""

    @property
    def alone(self) -> float:
        """Its weight in an arm without a teacher."""
        return self.weight if self.alone_weight is None else self.alone_weight


class Objective(nn.Module):
    """The sum of its terms. Terms of weight 0 are dropped, so α = 0 is plain training and runs no teacher."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        super().__init__()
        names = [term.name for term in terms]
        if len(set(names)) != len(names):
            raise ValueError(f"loss terms must have distinct names, got {names}")
        self.terms = tuple(term for term in terms if term.weight != 0.0)
        if not self.terms:
            listed = ", ".join(names) or "there is none"
            raise RequestError(f"every loss term has weight 0 ({listed}): give at least one a weight above 0.")
        self.owned = nn.ModuleDict({term.name: term.fn for term in self.terms if isinstance(term.fn, nn.Module)})

    @property
    def needs_teacher(self) -> bool:
        """Whether any remaining term reads the teacher."""
        return any(term.needs_teacher for term in self.terms)

    def forward(self, outputs: StepOutputs) -> dict[str, Tensor]:
        """Unweighted scalar losses by term name."""
        return {term.name: term.fn(outputs) for term in self.terms}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum of `losses`, a scalar."""
        weighted = [losses[term.name] * term.weight if term.weight != 1.0 else losses[term.name] for term in self.terms]
        return sum(weighted[1:], start=weighted[0])


def without_teacher(terms: Sequence[LossTerm]) -> tuple[LossTerm, ...]:
    """The control arm's terms: those that need no teacher, at the weight they have alone."""
    return tuple(LossTerm(name=term.name, fn=term.fn, weight=term.alone) for term in terms if not term.needs_teacher)
