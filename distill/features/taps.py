"""Asking a network: features on the way by forward hooks on module paths, and answers in evaluation mode."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.outputs import Prediction


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """`network` in evaluation mode; afterwards, also after an error, every module has the mode that it had."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class Tapped:
    """Calls a network and collects the outputs of the modules at `paths`.

    A plain object and not an `nn.Module`: it must add nothing to the network's state.

    Raises:
        RequestError: a path that the network does not have; the nearest ones are named.
    """

    def __init__(self, network: nn.Module, paths: Sequence[str]) -> None:
        self.network = network
        self._features: dict[str, Tensor] = {}
        modules = dict(network.named_modules())
        for path in paths:
            if path not in modules:
                near = difflib.get_close_matches(path, modules, n=3, cutoff=0.3) or sorted(modules)[1:4]
                raise RequestError(
                    f"tap '{path}' is no module of {type(network).__name__}: give a module path such as "
                    + ", ".join(f"'{name}'" for name in near)
                    + "."
                )
        self._handles = [modules[path].register_forward_hook(self._keep(path)) for path in paths]

    def _keep(self, path: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._features[path] = output

        return hook

    def __call__(self, images: Tensor) -> Prediction:
        """Run the network on `images` (B, C, H, W)."""
        self._features.clear()
        output = self.network(images)
        taps = dict(self._features)
        self._features.clear()
        return Prediction(output=output, taps=taps)

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Tapped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
