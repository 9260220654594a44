"""A chain of three generations or more: what each reaches, and how small it has become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.arm_names import ArmName
from densedistill.distill.report import words
from densedistill.distill.report.drawing import Chart, Stroke, canvas, chart
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def generations_chart(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> Chart | None:
    """A chain of three or more: what each generation reaches, and how small it has become."""
    chain = [
        one
        for one in numbers.arms
        if one.arm.trials
        and ArmName.parse(one.arm.trials[0].figures.arm).kind in ("teacher", "student")
        and one.compared is not None
        and parameters(one)
    ]
    names = [ArmName.parse(one.arm.trials[0].figures.arm) for one in chain]
    if len({name.generation for name in names}) < 3 or len(set(names)) != len(names):
        return None
    figure, (left, right) = canvas(columns=2)
    labels = [f"generation\n{name.generation}" for name in names]
    colours = [looks[one.arm.arm].colour for one in chain]
    means = [one.compared.mean for one in chain if one.compared is not None]
    sizes = [float(parameters(one)) for one in chain]
    written = [wording.figure(mean, study.metric.unit, bare=True) for mean in means]
    _columns(left, labels, means, colours, written)
    left.set_ylabel(words.in_unit(study.metric.name, study.metric.unit))
    _columns(right, labels, [size / 1e6 for size in sizes], colours, [f"{sizes[0] / size:.1f}×" for size in sizes])
    right.set_ylabel("parameters, millions")
    told = "; ".join(
        f"generation {name.generation}: {figure_}, {wording.parameters(round(size))} parameters"
        for name, figure_, size in zip(names, written, sizes, strict=True)
    )
    return chart(
        "generations",
        "Generation by generation",
        figure,
        f"{told}.",
        note=(
            f"Left: {words.label(study.metric.name)} on {numbers.where}. Right: parameters, and how many times "
            "fewer they are than the first generation's."
        ),
    )


def _columns(
    axes: Axes, labels: Sequence[str], values: Sequence[float], colours: Sequence[str], written: Sequence[str]
) -> None:
    bars = axes.bar(labels, values, 0.6, color=list(colours))
    axes.bar_label(bars, written, padding=2, fontsize=8.5)
    axes.margins(y=0.14)


def parameters(one: ArmNumbers) -> int:
    """An arm's parameters; 0 where they are not known."""
    return next((trial.figures.params for trial in one.arm.trials if trial.figures.params), 0)
