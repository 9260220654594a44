"""Transfer efficiency: how much of a teacher's improvement arrives at its student.

Reference 000, section 4.3: with a teacher better by 7.74 points the student was better by 1.74, which it calls an
efficiency of 22.5 %. Both gains need a pair of students that differ in their teachers; `gains.gap_closed` measures
against no teacher at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densedistill.distill.arm_names import Role, arm_name
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError, first_line
from densedistill.distill.gains import transfer_efficiency
from densedistill.distill.run_dir import RunDir
from densedistill.distill.spec import MetricSpec

Records = Mapping[str, Mapping[str, Any]]
"""Arms by name, as result.json has them."""


def read_earlier(folder: Path | None, task: str, metric: MetricSpec) -> Records:
    """The arms of the run that another is compared with; none for None.

    Raises:
        RequestError: no finished run lies there, or one whose figures cannot be compared.
    """
    if folder is None:
        return {}
    try:
        found = RunDir(folder).result()
        judged, arms = found["metric"]["name"], {arm["arm"]: arm for arm in found["arms"]}
    except (OSError, RequestError, KeyError, TypeError) as error:
        raise RequestError(
            f"compared_with is '{folder}', which holds no readable result.json ({first_line(error)}): give the "
            "folder of a finished run"
        ) from None
    if (found.get("task"), judged) != (task, metric.name):
        raise RequestError(
            f"compared_with is '{folder}', a run of task {found.get('task')} judged by {judged}, and this one is of "
            f"task {task} judged by {metric.name}: give a run of the same task"
        )
    return arms


def require_same_data(field: str, folder: Path | None, data: TaskData) -> None:
    """Refuse to set figures beside each other that were measured on unlike test images.

    Args:
        field: of the configuration, which names the other run.
        folder: that run's; None, or one without a result: nothing is refused.
        data: this run's.

    Raises:
        RequestError: another data set, or other numbers of test images.
    """
    if folder is None or not RunDir(folder).result_file.is_file():
        return
    theirs = RunDir(folder).result().get("data", {})
    there = (theirs.get("name", data.name), dict(theirs.get("tests", {})))
    here = (data.name, {name: len(images.ids) for name, images in data.tests.items()})
    if there[0] != here[0] or (there[1] and there[1] != here[1]):
        raise RequestError(
            f"{field} is '{folder}', a run on {_images(*there)}, and this one is on {_images(*here)}: its figures "
            "cannot stand beside these; give a run on the same data"
        )


def _images(name: str, tests: Mapping[str, int]) -> str:
    counts = ", ".join(f"{count} images of {test}" for test, count in tests.items())
    return f"data '{name}' ({counts or 'no test images'})"


def transfer(record: Mapping[str, Any], own: Records, earlier: Records, *, higher: bool) -> dict[str, Any]:
    """`transfer_efficiency` of a taught arm and `transfer_from`, the arm it gained over; None where there is none.

    That is the arm of the same name in the run given as `compared_with`, where the student is the same network. Else,
    in a chain, the student of the same generation under the weaker of two teachers: its own chain's, or generation 1.
    """
    pairs = [("compared_with/", earlier, record["arm"])]
    opposite: tuple[tuple[Role, Role], ...] = (("direct", "student"), ("student", "direct"))
    for role, other in opposite:
        if record["role"] == role:
            pairs.append(("", own, arm_name(record["generation"], other, record["variant"])))
    for prefix, records, name in pairs:
        before = records.get(name)
        if before is None or before["network"] != record["network"] or before["teacher"] is None:
            continue
        teachers = own.get(record["teacher"] or ""), records.get(before["teacher"])
        figures = [None if arm is None else arm["test"] for arm in (record, before, *teachers)]
        efficiency = transfer_efficiency(*figures, higher=higher)
        if efficiency is not None:
            return {"transfer_efficiency": efficiency, "transfer_from": prefix + name}
    return {"transfer_efficiency": None, "transfer_from": None}
