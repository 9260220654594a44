"""The curve of precision over recall as a figure, over lines of equal F."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densedistill.distill.errors import RequestError

FORMATS = (".png", ".svg", ".pdf")


def check_curve_file(path: Path) -> None:
    """Refuse a file that no figure can be written to.

    Raises:
        RequestError: another suffix than `FORMATS`, or no such folder, or it is a folder itself.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"--curve '{path}' has no format: end its name in {', '.join(FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise RequestError(f"--curve '{path}' lies in no folder that is there: make '{path.parent}' first.")
    if path.is_dir():
        raise RequestError(f"--curve '{path}' is a folder: give the name of a file.")


def draw_curve(path: Path, curve: Mapping[str, Sequence[float]], metrics: Mapping[str, float], title: str) -> None:
    """Write the figure.

    Args:
        path: PNG, SVG or PDF by its suffix.
        curve: `threshold`, `recall` and `precision`, one number for each threshold, in 0..1.
        metrics: `ods`, `ods_threshold`, `ois` and `ap`.
        title: of the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0.005, 1, 200)
    f = 2 * grid * grid[:, None] / (grid + grid[:, None])
    lines = axes.contour(grid, grid, f, levels=np.arange(0.1, 1, 0.1), colors="0.8", linewidths=0.8)
    axes.clabel(lines, fontsize=7, fmt=lambda level: f"F {level:.1f}")
    axes.plot(curve["recall"], curve["precision"], color="tab:blue")
    at = {
        name: np.interp(metrics["ods_threshold"], curve["threshold"], curve[name]) for name in ("recall", "precision")
    }
    axes.plot(at["recall"], at["precision"], "o", color="tab:blue", label=_figures(metrics))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title)
    axes.legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=150)


def _figures(metrics: Mapping[str, Any]) -> str:
    return f"ODS {metrics['ods']:.3f}, OIS {metrics['ois']:.3f}, AP {metrics['ap']:.3f}"
