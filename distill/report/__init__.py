"""Reports made from nothing but the files in a folder: of a run, of several side by side, of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densedistill.distill.report.page import write_report
    from densedistill.distill.report.study_page import write_study_report

__all__ = ["write_report", "write_study_report"]


def __getattr__(name: str) -> object:
    """Import what `__all__` names when it is first asked for: a table in a terminal needs no template."""
    if name == "write_report":
        from densedistill.distill.report.page import write_report

        return write_report
    if name == "write_study_report":
        from densedistill.distill.report.study_page import write_study_report

        return write_study_report
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
