"""Whether the figures of the references agree with each other: every derived figure computed again from its parts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
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
    tasks: tuple[str, ...]
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


CLAIMS = (
    Claim(
        reference="003",
        where="section 5.1.7",
        tasks=("sr",),
        says="the super-resolution student bridges 86 % of the gap",
        stated="86",
        formula=bridged,
        parts=("25.79", "23.02", "27.26"),
    ),
    Claim(
        reference="003",
        where="section 5.1.7",
        tasks=("sr",),
        says="distillation gains 2.76 dB",
        stated="2.76",
        formula=difference,
        parts=("25.79", "23.02"),
        unit="dB",
    ),
    Claim(
        reference="003",
        where="section 8",
        tasks=("cls",),
        says="the classification student has 73 % fewer parameters",
        stated="73",
        formula=reduction,
        parts=("44.5", "3.5"),
        note="The same report calls it 12.7 times smaller, which is 92 % fewer; 73 % fewer would be 3.7 times.",
    ),
    Claim(
        reference="003",
        where="section 4.3",
        tasks=("cls",),
        says="MobileNetV2 is 12.7 times smaller than ResNet101",
        stated="12.7",
        formula=times,
        parts=("44.5", "3.5"),
        unit="×",
    ),
    Claim(
        reference="003",
        where="sections 4.3 and 6.4",
        tasks=("cls",),
        says="one network, MobileNetV2 for 100 classes, is given 3.5 M parameters and 2.35 M",
        stated="0",
        formula=same,
        parts=("3.5", "2.35"),
        unit="M",
        note="3.5 M is the network with its 1000 ImageNet classes, 2.35 M with 100.",
    ),
    Claim(
        reference="003",
        where="section 6.4",
        tasks=("cls",),
        says="generation 2 is 19 times smaller",
        stated="19",
        formula=times,
        parts=("44.5", "2.35"),
        unit="×",
    ),
    Claim(
        reference="003",
        where="section 6.4",
        tasks=("cls",),
        says="generation 2 bridges 86 % of the gap between untrained networks (chance, 1 %) and its teacher",
        stated="86",
        formula=bridged,
        parts=("69.02", "1", "79.91"),
    ),
    Claim(
        reference="003",
        where="section 6.7",
        tasks=("cls",),
        says="generation 3 is 54.2 times smaller",
        stated="54.2",
        formula=times,
        parts=("44.5", "0.82"),
        unit="×",
    ),
    Claim(
        reference="003",
        where="section 5.2.8",
        tasks=("edges",),
        says="the distilled edge student keeps 99.4 % of its teacher",
        stated="99.4",
        formula=share,
        parts=("0.7226", "0.7270"),
    ),
    Claim(
        reference="003",
        where="section 5.2.8",
        tasks=("edges",),
        says="the distilled edge student is 2.54 % better than scratch",
        stated="2.54",
        formula=growth,
        parts=("0.7226", "0.7047"),
    ),
    Claim(
        reference="000",
        where="section 1",
        tasks=("cls",),
        says="v4 keeps 92.35 % of its teacher",
        stated="92.35",
        formula=share,
        parts=("77.93", "84.39"),
    ),
    Claim(
        reference="000",
        where="section 1",
        tasks=("cls",),
        says="92.35 % is called the highest retention, and its own table has 99.40 % for v2",
        stated="0",
        formula=same,
        parts=("92.35", "99.40"),
        note="The highest accuracy is v4's; the highest retention is v2's.",
    ),
    Claim(
        reference="000",
        where="section 4.3",
        tasks=("cls",),
        says="22.5 % of the teacher's gain reaches the student",
        stated="22.5",
        formula=share,
        parts=("1.74", "7.74"),
    ),
    Claim(
        reference="001",
        where="section 5.3",
        tasks=("cls",),
        says="the gap to the teacher shrinks by 54 %",
        stated="54",
        formula=reduction,
        parts=("3.39", "1.55"),
    ),
    Claim(
        reference="002",
        where="table 2",
        tasks=("cls",),
        says="one setting, T 10 and α 0.1, is listed with 64.48 % and with 60.95 %",
        stated="0",
        formula=same,
        parts=("64.48", "60.95"),
    ),
)


def check(claim: Claim) -> Check:
    """Compute a claim again. It holds where some parts that round to the printed ones give what rounds to it."""
    ranges = [_range(part) for part in claim.parts]
    values = [claim.formula(*corner) for corner in itertools.product(*ranges)]
    low, high = _range(claim.stated)
    exact = claim.formula(*(float(part) for part in claim.parts))
    holds = exact == 0 if claim.formula is same else min(values) <= high and max(values) >= low
    return Check(claim=claim, value=exact, low=min(values), high=max(values), holds=holds)


def contradictions(task: str, sources: Sequence[str]) -> list[Check]:
    """The claims about `task` that do not hold, of the references that `sources` name (`reference 003, table 1`)."""
    named = {number for source in sources for number in re.findall(r"reference (\d{3})", source)}
    checked = (check(claim) for claim in CLAIMS if task in claim.tasks and claim.reference in named)
    return [one for one in checked if not one.holds]


def _range(printed: str) -> tuple[float, float]:
    """What a printed figure may have been before it was rounded."""
    value = Decimal(printed)
    exponent = value.as_tuple().exponent
    half = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0) / 2
    return float(value - half), float(value + half)
