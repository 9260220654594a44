"""The methods of a configuration: the main one and those added to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from densedistill.distill.configuration.validation import checked
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.spec import AnyMethod, TaskSpec


def method_tree(spec: TaskSpec, name: str, changes: Mapping[str, object]) -> dict[str, Any]:
    """A method's name and parameters as plain values.

    Raises:
        RequestError: the task has no such method.
    """
    if not isinstance(name, str) or name not in spec.methods:
        raise RequestError(unknown_name(f"method of task {spec.name}", name, spec.methods))
    return {"name": name, **spec.methods[name].parameters.model_dump(mode="json"), "also": {}, **changes}


def checked_method(spec: TaskSpec, values: object, faults: list[str]) -> tuple[AnyMethod | None, BaseModel | None]:
    """The configuration's method and its parameters, or None with what is wrong added to `faults`."""
    given = dict(values) if isinstance(values, Mapping) else {}
    given.pop("also", None)
    name = str(given.pop("name", None))
    if name not in spec.methods:
        faults.append(unknown_name(f"method of task {spec.name}", name, spec.methods).removesuffix("."))
        return None, None
    method = spec.methods[name]
    return method, checked(type(method.parameters), given, "method", faults)


def checked_also(spec: TaskSpec, values: object, faults: list[str]) -> tuple[tuple[AnyMethod, BaseModel], ...]:
    """The methods under `also`, with their parameters; what is wrong is added to `faults`."""
    main = values if isinstance(values, Mapping) else {}
    further = main.get("also") or {}
    if not isinstance(further, Mapping):
        faults.append(f"method.also={further!r}: must map names of further methods to their parameters")
        return ()
    chosen = []
    for name, changes in further.items():
        if name == main.get("name"):
            faults.append(f"method.also names '{name}', which is the method itself: set its parameters there")
        elif name not in spec.methods:
            faults.append(unknown_name(f"method of task {spec.name}", name, spec.methods).removesuffix("."))
        else:
            method = spec.methods[name]
            parameters = checked(type(method.parameters), changes or {}, f"method.also.{name}", faults)
            chosen += [] if parameters is None else [(method, parameters)]
    return tuple(chosen)
