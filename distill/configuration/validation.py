"""Plain values as typed models, with every fault in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from densedistill.distill.errors import RequestError, unknown_name

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """`values` as `model`, or every fault in one message.

    Raises:
        RequestError: with each field's path, value and bound.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_fault(model, fault, where) for fault in error.errors(include_url=False)]
        raise RequestError("; ".join(faults) + ".") from None


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
    return f"{given}: {message[:1].lower()}{message[1:]}"


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
