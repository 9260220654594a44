"""A classification network's last layer."""

from __future__ import annotations

from torch import nn

from densedistill.distill.errors import RequestError


def classifier_of(network: nn.Module) -> nn.Linear:
    """The linear layer from a network's embedding to its logits: what it declares (timm's and the `cifar/` networks'
    `get_classifier`), else its last linear layer.

    Raises:
        RequestError: it has no linear layer.
    """
    tell = getattr(network, "get_classifier", None)
    declared: object = tell() if callable(tell) else None
    if isinstance(declared, nn.Linear):
        return declared
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise RequestError(
            f"{type(network).__name__} has no linear layer for a classifier: give a network that ends in one, or "
            "another method"
        )
    return layers[-1]
