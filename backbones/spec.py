"""What a builder returns, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Pretrained = Literal["auto", "required", "none"]
"""`auto`: the provider's weights where they can be had, else random and a warning; `required`: or an error."""

PositiveInt = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]

RANDOM = "random"


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A network and where its weights come from."""

    module: nn.Module
    init: str = RANDOM
    """`random`, `imagenet (timm resnet18.a1_in1k), stem and head random`, `file NAME`, ..."""
    warning: str | None = None
    """One sentence when weights were hoped for and not had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkInfo:
    """One line of the list of networks."""

    name: str
    """A name, or a family's pattern such as `timm/NAME`."""
    summary: str
    arguments: Mapping[str, str]
    """What may be given, with its default as text (`required` where there is none)."""


FamilyBuilder = Callable[..., Built]
"""`build(name, fetch, *, ...)`: `fetch=True` raises `WeightsUnavailableError` where the weights cannot be had."""


def describe_init(source: str, *, random_parts: list[str]) -> str:
    """`source`, followed by the parts that its weights do not cover."""
    return f"{source}, {' and '.join(random_parts)} random" if random_parts else source
