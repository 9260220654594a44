"""The report of a run, made from nothing but the files in its folder."""

from densedistill.distill.report.page import write_report

__all__ = ["write_report"]
