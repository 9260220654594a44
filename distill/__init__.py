"""The engine: specs, losses, metrics, training, the chain of generations, run folders and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densedistill.distill.student import load_student

__all__ = ["load_student"]


def __getattr__(name: str) -> object:
    """Import what `__all__` names when it is first asked for: the package itself stays light."""
    if name == "load_student":
        from densedistill.distill.student import load_student

        return load_student
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
