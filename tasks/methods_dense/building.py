"""What building a dense method's terms takes: maps that can be compared, and pairs of stages of one resolution."""

from __future__ import annotations

from collections.abc import Sequence

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.feature_terms import Pair
from densedistill.distill.spec import TermContext
from densedistill.tasks.methods.building import pairs, student_features


def check_outputs(context: TermContext) -> None:
    """Refuse networks whose maps cannot be compared.

    Raises:
        RequestError: they draw unlike numbers of maps, or at unlike sizes.
    """
    mine, theirs = context.student_output, context.teacher_output
    if mine == theirs:
        return
    raise RequestError(
        f"the student draws {_words(mine)} and the teacher {_words(theirs)}: give networks whose maps agree, or a "
        "method that reads features alone"
    )


def stage_pairs(context: TermContext, method: str) -> tuple[Pair, ...]:
    """Both networks' stages of the same resolution; where none agree, from the finest on, averaged to the smaller.

    Raises:
        RequestError: a network shows no maps.
    """
    mine, theirs = student_features(context, method, "stages"), context.teacher_features
    of_size = {stage.shape[2:]: stage for stage in theirs.of("stages") if stage.is_map}
    same = tuple((stage, of_size[stage.shape[2:]]) for stage in mine if stage.shape[2:] in of_size)
    return same or pairs(context, method, "stages", aligned=True)


def _words(output: Sequence[int]) -> str:
    if len(output) != 4:
        return f"an output of shape {tuple(output)}"
    maps = "1 map" if output[1] == 1 else f"{output[1]} maps"
    return f"{maps} of {output[3]}x{output[2]}"
