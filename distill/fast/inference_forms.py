"""Modules of a network that offer a faster form of themselves for answering, as a network's author may write one.

A module offers it as a method `inference_form(device, dtype)`, which returns another module for the same calls, or None
where it knows none for that device and half precision. `backbones.window_attention.WindowAttention` has one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class OffersInferenceForm(Protocol):
    """A module with a form for answering alone."""

    def inference_form(self, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
        """What answers faster in its place on `device` under autocast in `dtype`; None: nothing known does."""
        ...


def inference_forms(
    network: nn.Module, keep: Collection[str], device: torch.device, dtype: torch.dtype
) -> dict[str, nn.Module]:
    """By module path, what can take the place of modules of `network`.

    Args:
        network: in evaluation mode; left as it is.
        keep: module paths whose outputs are read. A module above one of them stays: its form has other modules inside.
        device: where it answers.
        dtype: half precision that it answers in.
    """
    forms: dict[str, nn.Module] = {}
    for path, module in network.named_modules():
        read = any(tap.startswith(f"{path}.") for tap in keep)
        if path and not read and isinstance(module, OffersInferenceForm):
            form = module.inference_form(device, dtype)
            if form is not None:
                forms[path] = form.eval()
    return forms


def rewrite(network: nn.Module, keep: Collection[str], device: torch.device, dtype: torch.dtype) -> int:
    """Put the forms in their places, in `network` itself; returns how many there were. Arguments as above."""
    forms = inference_forms(network, keep, device, dtype)
    for path, form in forms.items():
        network.set_submodule(path, form)
    return len(forms)
