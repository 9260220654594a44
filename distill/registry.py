"""The registry type: names to specs, with errors that help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from densedistill.distill.errors import RequestError, unknown_name

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Named factories. A duplicate raises and leaves the registry as it was; an unknown name lists the choices."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._factories: dict[str, Callable[[], Item]] = {}

    def add(self, name: str, factory: Callable[[], Item]) -> None:
        """File `factory` under `name`.

        Raises:
            RequestError: the name is taken.
        """
        taken = self._factories.get(name)
        if taken is not None:
            raise RequestError(
                f"{self._kind} '{name}' is already registered by {taken.__module__}.{taken.__qualname__}: "
                f"choose another name for {factory.__module__}.{factory.__qualname__}."
            )
        self._factories[name] = factory

    def get(self, name: str) -> Item:
        """The item that `name`'s factory makes.

        Raises:
            RequestError: no such name; the message lists the choices and the nearest match.
        """
        # From a file or from Python it may be no text, and then has perhaps no hash.
        if not isinstance(name, str) or name not in self._factories:
            raise RequestError(unknown_name(self._kind, name, self._factories))
        return self._factories[name]()

    def __contains__(self, name: str) -> bool:
        return name in self._factories

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)
