"""Plain values as typed models, with every fault in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from densedistill.distill.errors import RequestError, unknown_name

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """`values` as `model`, or every fault in one message.

    Raises:
        RequestError: with each field's path, value and bound.
    """
    faults = [f"{path}={value!r}: must be a number" for path, value in _booleans(model, values, where)]
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        faults += [_fault(model, fault, where) for fault in error.errors(include_url=False)]
    if faults:
        raise RequestError("; ".join(faults) + ".")
    return found


def _booleans(model: type[BaseModel], values: Mapping[str, Any], where: str) -> Iterator[tuple[str, bool]]:
    """Path and value of every boolean where `model` has numbers alone: pydantic takes it for 0 or 1."""
    prefix = "" if where == "configuration" else f"{where}."
    for name, field in model.model_fields.items():
        value, kinds = values.get(name), list(_kinds(field.annotation))
        if isinstance(value, Mapping):
            for kind in kinds:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from _booleans(kind, value, f"{prefix}{name}")
        elif any(kind in (int, float) for kind in kinds) and not any(kind in (bool, Any) for kind in kinds):
            places = value if isinstance(value, list | tuple) else ()
            listed = [(f"{prefix}{name}.{place}", one) for place, one in enumerate(places)]
            yield from (pair for pair in [(f"{prefix}{name}", value), *listed] if isinstance(pair[1], bool))


def _kinds(annotation: object) -> Iterator[object]:
    """The types that a field's annotation is made of: `int` and `NoneType` of `int | None`."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _kinds(part)


def _fault(model: type[BaseModel], fault: Any, where: str) -> str:
    path = ".".join(str(part) for part in ((where,) if where != "configuration" else ()) + tuple(fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = model.model_fields if len(fault["loc"]) == 1 else {}
        return (
            unknown_name(f"field '{path}'; name", str(fault["loc"][-1]), known).rstrip(".")
            if known
            else (f"unknown field '{path}'")
        )
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{path} is missing"
    if fault["type"] == "finite_number":
        return f"{path}={fault['input']!r}: must be a finite number; give one, or leave it out for what the preset has"
    # A fault of a whole model comes with all of its fields, which would bury the sentence.
    given = path if isinstance(fault["input"], Mapping) else f"{path}={fault['input']!r}"
    said = f"{message[:1].lower()}{message[1:]}"
    # Of the configuration as a whole there is no path, and the sentence stands alone.
    return f"{given}: {said}" if path else said


def checked(model: type[Model], values: object, where: str, faults: list[str]) -> Model | None:
    """`values` as `model`, or None with what is wrong added to `faults`."""
    if not isinstance(values, Mapping):
        faults.append(f"{where}={values!r}: must be a mapping of fields")
        return None
    try:
        return validated(model, values, where)
    except RequestError as error:
        faults.append(str(error).removesuffix("."))
        return None
