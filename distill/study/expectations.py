"""What a study's claim implies of each arm and contrast, worked out before any of them is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from densedistill.distill.errors import RequestError
from densedistill.distill.study.arms import StudyArm
from densedistill.distill.study.definition import Expectation, StudyDefinition


def expected_of(study: StudyDefinition, arms: Sequence[StudyArm]) -> Mapping[str, Expectation]:
    """What the study's claim implies, by an arm's full name (against what it is compared with) or a contrast's name.

    Patterns are of arms alone: whoever means a contrast names it.

    Raises:
        RequestError: an entry of `claim.expects` fits neither an arm that is compared with another nor a contrast, or
            two entries disagree.
    """
    expects = study.claim.expects if study.claim else {}
    compared = [arm.name for arm in arms if arm.against is not None and arm.role != "search"]
    found: dict[str, Expectation] = {}
    for pattern, expectation in expects.items():
        fitting = [pattern] if pattern in study.contrasts else [name for name in compared if fnmatchcase(name, pattern)]
        if not fitting:
            known = ", ".join((*compared, *study.contrasts)) or "none"
            raise RequestError(
                f"study '{study.name}': claim.expects names '{pattern}', which fits no arm that is compared with "
                f"another and no contrast: give one of {known}, or a pattern such as "
                f"'*-{compared[0] if compared else 'kd'}'."
            )
        for name in fitting:
            if found.setdefault(name, expectation) != expectation:
                raise RequestError(
                    f"study '{study.name}': claim.expects says of '{name}' that it is {found[name]} and that it is "
                    f"{expectation}: leave one of the two out."
                )
    return found
