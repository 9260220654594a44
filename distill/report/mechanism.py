"""A picture of cross-resolution distillation as a run was configured: who sees which size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densedistill.distill.report.configurations import flat, written
from densedistill.distill.report.drawing import PALETTE, Chart, canvas, chart
from densedistill.distill.report.facts import RunFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def mechanism_chart(run: RunFacts) -> Chart | None:
    """Input, teacher and student with their sizes; None where all of them see the same."""
    config = flat(run.config)
    student, teacher = config.get("data.input_size"), config.get("data.teacher_size")
    if not isinstance(teacher, int) or not isinstance(student, int) or teacher == student:
        return None
    names = [written(config.get(f"networks.{place}.name")) or "network" for place in (0, 1)]
    figure, (axes,) = canvas(height=2.5)
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 4.4)
    axes.axis("off")
    _box(axes, 0.1, 1.6, "image", "", "#6B6B6B")
    _box(axes, 3.9, 2.9, f"teacher, {teacher} × {teacher}", names[0], PALETTE[0])
    _box(axes, 3.9, 0.3, f"student, {student} × {student}", names[1], PALETTE[1])
    _arrow(axes, (2.3, 2.4), (3.9, 3.4), f"{teacher} px")
    _arrow(axes, (2.3, 1.9), (3.9, 0.9), f"{student} px")
    _arrow(axes, (6.9, 3.4), (7.5, 2.5), "")
    _arrow(axes, (6.9, 0.9), (7.5, 1.8), "")
    _box(axes, 7.5, 1.6, "loss", "both outputs", "#6B6B6B", width=2.4)
    return chart(
        "mechanism",
        f"Cross-resolution: {teacher} → {student}",
        figure,
        f"The teacher sees each image at {teacher} pixels, the student at {student}; their outputs meet in the loss.",
        note="The same view of an image is given to both; in use, only the student and its size remain.",
    )


def _box(axes: Axes, x: float, y: float, title: str, below: str, colour: str, *, width: float = 3.0) -> None:
    from matplotlib.patches import FancyBboxPatch

    width = 2.2 if not below else width
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            1.1,
            boxstyle="round,pad=0,rounding_size=0.15",
            facecolor="white",
            edgecolor=colour,
            linewidth=1.6,
        )
    )
    axes.text(x + width / 2, y + (0.7 if below else 0.55), title, ha="center", va="center")
    axes.text(x + width / 2, y + 0.3, below, ha="center", va="center", fontsize=7.5, color="#5b6470")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": "#5b6470"})
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    axes.text(middle[0] - 0.1, middle[1] + 0.12, text, fontsize=8, ha="right")
