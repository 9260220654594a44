"""Tasks: each pairs networks, data, losses and a metric. `run` distils one."""

from densedistill.tasks.registry import get, names, register
from densedistill.tasks.run import Result, run

__all__ = ["Result", "get", "names", "register", "run"]
