"""Whether the figures of the references agree with each other: every derived figure computed again from its parts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from densedistill.distill.gains import gap_closed

Formula = Callable[..., float]


def bridged(student: float, scratch: float, teacher: float) -> float:
    """Percent of the distance from scratch to teacher; NaN where there is none."""
    part = gap_closed(student, scratch, teacher, higher=True)
    return math.nan if part is None else 100 * part


def share(part: float, whole: float) -> float:
    """Percent of a whole."""
    return 100 * part / whole


def growth(after: float, before: float) -> float:
    """Percent by which something became larger."""
    return 100 * (after / before - 1)


def reduction(before: float, after: float) -> float:
    """Percent by which something became smaller."""
    return 100 * (1 - after / before)


def times(large: float, small: float) -> float:
    """How many times larger."""
    return large / small


def difference(first: float, second: float) -> float:
    """First minus second."""
    return first - second


def same(first: float, second: float) -> float:
    """How far two figures for one thing lie apart."""
    return abs(first - second)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A figure that a reference derives from others it reports."""

    reference: str
    """Its number, such as `003`."""
    where: str
    says: str
    stated: str
    """With the digits it is printed with, which say how far it was rounded; `0` for `same`."""
    formula: Formula
    parts: tuple[str, ...]
    """Likewise."""
    unit: str = "%"
    note: str = ""
    """What the stated figure might have been meant as, where the parts show it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A claim computed again."""

    claim: Claim
    value: float
    low: float
    """The smallest value that the rounding of the parts allows."""
    high: float
    holds: bool

    @property
    def sentence(self) -> str:
        """What was found, such as `… bridges 86 % of the gap; from its figures 25.79, 23.02, 27.26 follows 65.3 %`."""
        claim = self.claim
        told = claim.says
        if claim.formula is not same:
            unit = claim.unit if claim.unit == "×" else f" {claim.unit}"
            told += f"; from its figures {', '.join(claim.parts)} follows {self.value:.3g}{unit}"
        return f"Reference {claim.reference}, {claim.where}: {told}. {claim.note}".strip()


def check(claim: Claim) -> Check:
    """Compute a claim again. It holds where some parts that round to the printed ones give what rounds to it."""
    ranges = [_range(part) for part in claim.parts]
    values = [claim.formula(*corner) for corner in itertools.product(*ranges)]
    low, high = _range(claim.stated)
    exact = claim.formula(*(float(part) for part in claim.parts))
    holds = exact == 0 if claim.formula is same else min(values) <= high and max(values) >= low
    return Check(claim=claim, value=exact, low=min(values), high=max(values), holds=holds)


def contradictions(claims: Iterable[Claim], sources: Iterable[str]) -> list[str]:
    """A sentence for each claim that fails, of the references that `sources` name (`reference 003, table 1`)."""
    named = {number for source in sources for number in re.findall(r"reference (\d{3})", source)}
    checked = (check(claim) for claim in claims if claim.reference in named)
    return [one.sentence for one in checked if not one.holds]


def _range(printed: str) -> tuple[float, float]:
    """What a printed figure may have been before it was rounded."""
    value = Decimal(printed)
    exponent = value.as_tuple().exponent
    half = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0) / 2
    return float(value - half), float(value + half)
