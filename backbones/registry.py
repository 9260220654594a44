"""Networks by name: our own and plugins' by registration, whole libraries by prefix.

A library is imported when a network of its family is first built or measured, never before: to describe a family is to
read its builder's signature.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError, validate_call
from torch import nn

from densedistill.backbones.errors import NetworkError, WeightsUnavailableError, unknown_name
from densedistill.backbones.spec import Built, NetworkInfo, Pretrained

ModuleBuilder = TypeVar("ModuleBuilder", bound=Callable[..., nn.Module])


@dataclass(frozen=True, slots=True)
class _Family:
    pattern: str
    summary: str
    module: str
    any_size: bool = True
    """Whether every input size will do; otherwise the module has a `size_multiple(name, arguments)`."""

    def load(self, attribute: str) -> Callable[..., Any]:
        loaded: Callable[..., Any] = getattr(importlib.import_module(self.module), attribute)
        return loaded


@dataclass(frozen=True, slots=True)
class _Network:
    summary: str
    builder: Callable[..., nn.Module]


_FAMILIES: dict[str, _Family] = {
    "timm": _Family("timm/NAME", "classifiers of timm (timm.list_models())", "densedistill.backbones.timm_family"),
    "torchvision": _Family(
        "torchvision/NAME", "classifiers of torchvision", "densedistill.backbones.torchvision_family"
    ),
    "smp": _Family(
        "smp/ARCH-ENCODER",
        "dense prediction with segmentation-models-pytorch, e.g. smp/unet-resnet34",
        "densedistill.backbones.smp_family",
        any_size=False,
    ),
    "spandrel": _Family(
        "spandrel/FILE",
        "a published image-to-image checkpoint, read by spandrel",
        "densedistill.backbones.spandrel_family",
        any_size=False,
    ),
}
_NETWORKS: dict[str, _Network] = {}


def register_network(name: str, *, summary: str) -> Callable[[ModuleBuilder], ModuleBuilder]:
    """Make the decorated builder available as `name`.

    The builder's parameters are what `create` accepts; their annotations are validated (pydantic).

    Raises:
        NetworkError: `name` is taken or has a family's prefix, or the builder takes `*args` or `**kwargs`.
            The registry is then unchanged.
    """

    def register(builder: ModuleBuilder) -> ModuleBuilder:
        if name in _NETWORKS:
            raise NetworkError(f"network '{name}' is registered already; give yours another name.")
        if name.partition("/")[0] in _FAMILIES:
            raise NetworkError(f"network '{name}' has the prefix of a family; give it another name.")
        for parameter in inspect.signature(builder).parameters.values():
            if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                raise NetworkError(
                    f"the builder of network '{name}' takes '{parameter}'; name every argument, so that a "
                    "misspelt one is found."
                )
        _NETWORKS[name] = _Network(summary, builder)
        return builder

    return register


def create(name: str, /, **arguments: object) -> nn.Module:
    """The network called `name` with random weights (for `spandrel/FILE`: the file's).

    Args:
        name: a registered name, or a family's prefix and a name within it, such as `timm/resnet18`.
        arguments: the builder's own, validated; see `describe_networks`.

    Raises:
        NetworkError: an unknown name or argument, or a value the builder refuses.
    """
    return build(name, arguments).module


def build(name: str, arguments: Mapping[str, object] | None = None, *, pretrained: Pretrained = "none") -> Built:
    """The network called `name`, with the provider's weights as far as `pretrained` asks for them.

    A network that nobody publishes weights for under its name (our own, a plugin's) is random with `auto`, without
    a warning: nothing was to be had. A part that the weights cannot cover is named in `Built.init`.

    Raises:
        NetworkError: as `create`; or `pretrained="required"` and the weights cannot be had.
    """
    if pretrained not in ("auto", "required", "none"):
        raise NetworkError(f"pretrained is '{pretrained}'; give auto, required or none.")
    given = dict(arguments or {})
    if _family(name) is None:
        if pretrained == "required":
            raise NetworkError(_required(name, "no provider publishes weights under this name"))
        return Built(module=_call(name, _network(name).builder, (), given))
    if pretrained == "none":
        return _build_family(name, given, fetch=False)
    try:
        return _build_family(name, given, fetch=True)
    except WeightsUnavailableError as error:
        if pretrained == "required":
            raise NetworkError(_required(name, str(error))) from error
        built = _build_family(name, given, fetch=False)
        return dataclasses.replace(built, warning=f"'{name}' starts from random weights: {error}.")


def network_names() -> list[str]:
    """Families' patterns and registered names, sorted within each."""
    return sorted(family.pattern for family in _FAMILIES.values()) + sorted(_NETWORKS)


def describe_networks() -> list[NetworkInfo]:
    """Every family and registered network with its arguments."""
    families = [
        NetworkInfo(name=f.pattern, summary=f.summary, arguments=_describe_arguments(f.load("build")))
        for f in sorted(_FAMILIES.values(), key=lambda family: family.pattern)
    ]
    own = [
        NetworkInfo(name=name, summary=network.summary, arguments=_describe_arguments(network.builder))
        for name, network in sorted(_NETWORKS.items())
    ]
    return families + own


def size_multiple(name: str, arguments: Mapping[str, object] | None = None) -> int:
    """The number of pixels that the input's height and width should be a multiple of; 1 where any size will do.

    Raises:
        NetworkError: an unknown name.
    """
    family = _family(name)
    if family is None:
        _network(name)
        return 1
    if not family.any_size:
        multiple: int = family.load("size_multiple")(name.partition("/")[2], dict(arguments or {}))
        return multiple
    return 1


def _family(name: str) -> _Family | None:
    prefix, slash, rest = name.partition("/")
    return _FAMILIES.get(prefix) if slash and rest else None


def _network(name: str) -> _Network:
    if name not in _NETWORKS:
        raise NetworkError(unknown_name("network", name, network_names()))
    return _NETWORKS[name]


def _build_family(name: str, arguments: dict[str, object], *, fetch: bool) -> Built:
    prefix, _, rest = name.partition("/")
    built: Built = _call(name, _FAMILIES[prefix].load("build"), (rest, fetch), arguments)
    return built


def _required(name: str, reason: str) -> str:
    return (
        f"pretrained weights of '{name}' are required and cannot be had: {reason}; give a file of weights "
        "(--teacher-weights FILE or --student-weights FILE) or --pretrained none."
    )


def _own_parameters(builder: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a caller may give: of a family's builder, the part after `(name, fetch, *`."""
    parameters = list(inspect.signature(builder).parameters.values())
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return named if any(p.name == "fetch" for p in parameters) else parameters


def _describe_arguments(builder: Callable[..., Any]) -> dict[str, str]:
    return {p.name: "required" if p.default is p.empty else repr(p.default) for p in _own_parameters(builder)}


_validated = validate_call(config=ConfigDict(arbitrary_types_allowed=True))


def _call(name: str, builder: Callable[..., Any], place: tuple[object, ...], arguments: dict[str, object]) -> Any:
    """`builder(*place, **arguments)`, with every argument checked against its signature first."""
    known = [p.name for p in _own_parameters(builder)]
    for argument in arguments:
        if argument not in known:
            nearest = difflib.get_close_matches(argument, known, n=1, cutoff=0.5)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
            raise NetworkError(
                f"network '{name}' has no argument '{argument}'{hint} It takes: {', '.join(known) or 'none'}."
            )
    try:
        return _validated(builder)(*place, **arguments)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}={fault['input']!r}: {fault['msg']}"
            for fault in error.errors()
        )
        raise NetworkError(f"network '{name}' cannot be built with {faults}.") from error
