"""The teachers that a study's arms share: which of them are one, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from densedistill.distill.report.configurations import flat, written
from densedistill.distill.report.study_facts import StudyFacts, TeacherFacts


def merged(teachers: Sequence[TeacherFacts]) -> dict[str, str]:
    """The key that stands for each teacher's key.

    A study keeps teachers apart by all their settings, such as the augmentation of views that a teacher which is only
    loaded never learns from. Loaded from one file into one network, and with one result, two of them are one.
    """
    first: dict[str, str] = {}
    return {one.key: first.setdefault(_identity(one), one.key) for one in teachers}


def teacher_labels(study: StudyFacts) -> dict[str, str]:
    """`teacher cifar/resnet56` by the teacher's key.

    Where several have one network, the condition of the arms that they teach tells them apart, or else their key.
    """
    places = {one.key: (one.figures.network, _condition(study, one)) for one in study.teachers}
    networks, alike = Counter(network for network, _ in places.values()), Counter(places.values())
    labels = {}
    for key, (network, condition) in places.items():
        apart = condition if condition and alike[network, condition] == 1 else key
        labels[key] = f"teacher {network or key}" + (f" ({apart})" if network and networks[network] > 1 else "")
    return labels


def _condition(study: StudyFacts, teacher: TeacherFacts) -> str:
    """That of all arms it teaches; empty where they have several, or none."""
    found = {arm.condition for arm in study.arms if arm.teacher == teacher.key}
    return found.pop() if len(found) == 1 else ""


def _identity(teacher: TeacherFacts) -> str:
    """Equal for teachers that are one."""
    config: Mapping[str, object] = {} if teacher.run is None else flat(teacher.run.config)
    weights = written(config.get("teacher_weights")) and str(config["teacher_weights"])
    if not weights or teacher.state != "done":
        return f"trained as {teacher.key}"
    network = {name: written(value) for name, value in config.items() if name.startswith("networks.0.")}
    return repr((weights, network, teacher.figures.test, teacher.figures.tests))
