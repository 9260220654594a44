"""Data that runs in a row share: it is read and decoded once."""

from __future__ import annotations

import dataclasses
from typing import Any

from densedistill.distill.configuration.config import Resolved
from densedistill.distill.data import TaskData


class DataMemo:
    """Remembers the data set that was read last. Sets are read-only, so that any number of runs may use one."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._data: TaskData | None = None

    def remembering(self, resolved: Resolved) -> Resolved:
        """`resolved` with a task that reads its data through this memo."""
        spec = resolved.spec

        def load_data(options: Any) -> TaskData:
            key = (spec.name, options.model_dump_json())
            if self._data is None or key != self._key:
                # Dropped before the next one is read: two large sets need not fit beside each other.
                self._data = None
                self._key, self._data = key, spec.load_data(options)
            return self._data

        return dataclasses.replace(resolved, spec=dataclasses.replace(spec, load_data=load_data))
