"""Built-in studies: one for each claim of the reference documents, with its controls."""

from densedistill.tasks.studies.registry import built_in

__all__ = ["built_in"]
