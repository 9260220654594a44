"""Names of arms: `gen_02`, `gen_02_scratch`, `gen_03_direct`; `gen_02_a`, `gen_02_a_scratch` with several students."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Literal

Role = Literal["teacher", "student", "scratch", "direct"]
Kind = Role | Literal["other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmName:
    """What an arm's name says."""

    generation: int
    """From 1; 0 where the name does not say it."""
    kind: Kind
    """`other`: the name is none of a chain's."""
    member: str = ""
    """The letter of one of several students of a generation; empty where there is one."""

    @classmethod
    def parse(cls, name: str) -> ArmName:
        """Take a name apart; `gen_02_scratch_a` is read as `gen_02_a_scratch`."""
        found = re.fullmatch(r"gen_(\d+)((?:_[a-z]+)*)", name)
        if found is None:
            return cls(generation=0, kind="other")
        generation, words = int(found[1]), [word for word in found[2].split("_") if word]
        kind: Kind
        match [word for word in words if len(word) > 1]:
            case []:
                kind = "teacher" if generation == 1 else "student"
            case ["scratch"]:
                kind = "scratch"
            case ["direct"]:
                kind = "direct"
            case _:
                kind = "other"
        return cls(generation=generation, kind=kind, member="".join(word for word in words if len(word) == 1))

    def __str__(self) -> str:
        """The name, as a run's folder has it."""
        letter = f"_{self.member}" if self.member else ""
        suffix = "" if self.kind in ("teacher", "student") else f"_{self.kind}"
        return f"gen_{self.generation:02d}{letter}{suffix}"


def arm_name(generation: int, role: Role, variant: int | None = None) -> str:
    """The name of an arm; `variant` is which of several students of one generation it is, from 0."""
    member = "" if variant is None else string.ascii_lowercase[variant]
    return str(ArmName(generation=generation, kind=role, member=member))
