"""Folding batch norms into the convolutions before them, found by watching one forward pass.

In evaluation a batch norm is y = (x - mean) / sqrt(var + eps) * gamma + beta, per channel, with constants: the
convolution before it can do that with its own weight and bias (Jacob et al. 2018, "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", section 3.2).

Which norm follows which convolution is read off the function calls of one forward pass, not off the order of modules or
a traced graph: it works for any Python control flow, and sees uses of a convolution's output that no module hook sees.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Convolution = nn.Conv2d | nn.ConvTranspose2d

_AFTER_THE_NORM = ("drop", "act")
"""What timm's BatchNormAct2d applies after normalising, in this order."""
_BATCH_NORM = inspect.signature(F.batch_norm)


def fold_batch_norms(network: nn.Module, example: Tensor, keep: Collection[str] = ()) -> int:
    """Fold, in place, each `BatchNorm2d` that alone reads a convolution's output; returns the number of pairs.

    A pair is left as it is where either module runs or is registered more than once, shares its parameters, computes
    its weight (weight standardisation, parametrisations), has hooks, or where the norm is of a kind not known here.

    Args:
        network: in evaluation mode.
        example: (B, C, H, W), an input it accepts; one image of it is run.
        keep: module paths whose outputs are read and so must stay what they are.

    Raises:
        ValueError: the network is in training mode, where a norm's constants are none.
    """
    if network.training:
        raise ValueError("batch norms fold in evaluation mode only: call network.eval() first")
    calls = _watch(network, example[:1], keep)
    registered = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    paths = {id(module): path for path, module in network.named_modules()}
    pairs = 0
    for convolution, norm in _pairs(network, calls):
        free = all(
            registered[id(module)] == 1 and paths[id(module)] not in keep and not _hooked(module)
            for module in (convolution, norm)
        )
        rest = _without_norm(norm)
        if free and rest is not None:
            _fold(convolution, norm)
            network.set_submodule(paths[id(norm)], rest)
            pairs += 1
    return pairs


class _Watch(TorchFunctionMode):
    """Notes convolutions and batch norms as they are called, and how often each convolution's output is read."""

    def __init__(self) -> None:
        super().__init__()
        self.convolved: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
        """(output, weight, bias) of each convolution; kept alive, so that no other tensor takes an output's id."""
        self.normed: list[Mapping[str, Any]] = []
        self.reads: Counter[int] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        result = func(*args, **named)
        if any(True for _ in _tensors(result)):  # a question such as `x.shape` is no use of x
            self.reads.update(id(tensor) for tensor in _tensors((*args, named)))
        if func is F.batch_norm:
            self.normed.append(_BATCH_NORM.bind(*args, **named).arguments)
        elif func in (torch.conv2d, torch.conv_transpose2d):
            weight, bias = (
                args[place] if len(args) > place else named.get(name) for place, name in ((1, "weight"), (2, "bias"))
            )
            self.convolved.append((result, weight, bias))
            self.reads[id(result)] = 0  # the id may have been another tensor's, gone by now
        return result


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _watch(network: nn.Module, images_BCHW: Tensor, keep: Collection[str]) -> _Watch:
    watch = _Watch()

    def note_read(_module: nn.Module, _inputs: object, output: object) -> None:
        watch.reads.update(id(tensor) for tensor in _tensors(output))

    # A module that hands on a convolution's output reads it too: a kept stage may end in a convolution.
    hooks = [network.get_submodule(path).register_forward_hook(note_read) for path in ("", *keep)]
    try:
        with torch.no_grad(), watch:
            network(images_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    return watch


def _pairs(network: nn.Module, calls: _Watch) -> Iterator[tuple[Convolution, nn.BatchNorm2d]]:
    """Convolution and norm where the norm's one call alone reads the output of the convolution's one call."""
    # By the parameter itself: a weight that is computed, or read by two modules, finds none.
    convolutions = _by_parameter(network, Convolution, "weight")
    norms = _by_parameter(network, nn.BatchNorm2d, "running_mean")
    of_output = {id(output): (weight, bias) for output, weight, bias in calls.convolved}
    weight_calls = Counter(id(weight) for _, weight, _ in calls.convolved)
    mean_calls = Counter(id(call.get("running_mean")) for call in calls.normed)
    for call in calls.normed:
        weight, bias = of_output.get(id(call["input"]), (None, None))
        convolution, norm = convolutions.get(id(weight)), norms.get(id(call["running_mean"]))
        if not isinstance(convolution, Convolution) or not isinstance(norm, nn.BatchNorm2d):
            continue
        once = weight_calls[id(weight)] == mean_calls[id(norm.running_mean)] == calls.reads[id(call["input"])] == 1
        own = bias is convolution.bias and call["running_var"] is norm.running_var and call.get("weight") is norm.weight
        if once and own and not call.get("training", False):
            yield convolution, norm


def _by_parameter(network: nn.Module, kind: Any, name: str) -> dict[int, nn.Module | None]:
    """Modules of a kind by the id of one of their tensors; None where two modules share it."""
    found: dict[int, nn.Module | None] = {}
    for module in network.modules():
        if isinstance(module, kind) and getattr(module, name) is not None:
            key = id(getattr(module, name))
            found[key] = None if key in found else module
    return found


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


class _AfterNorm(nn.Module):
    """What a norm with drop and activation still does once its norm is folded; children keep their names."""

    def __init__(self, steps: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, step in steps.items():
            self.add_module(name, step)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        for step in self.children():
            features_BCHW = step(features_BCHW)
        return features_BCHW


def _without_norm(norm: nn.BatchNorm2d) -> nn.Module | None:
    """What takes the norm's place; None for a kind that may do more than is known here."""
    if type(norm).forward in (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward):
        return nn.Identity()
    children = dict(norm.named_children())
    if set(children) == set(_AFTER_THE_NORM):
        return _AfterNorm({name: children[name] for name in _AFTER_THE_NORM}).eval()
    return None


def _fold(convolution: Convolution, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (_exact(norm.running_var) + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * _exact(norm.weight)
    shift = -_exact(norm.running_mean) * scale
    if norm.bias is not None:
        shift = shift + _exact(norm.bias)
    if convolution.bias is not None:
        shift = shift + _exact(convolution.bias) * scale
    weight = convolution.weight
    convolution.weight = nn.Parameter(_scaled(convolution, scale).to(weight), weight.requires_grad)
    convolution.bias = nn.Parameter(shift.to(weight), weight.requires_grad)


def _exact(tensor: Tensor) -> Tensor:
    """In float64, on the CPU: Apple's GPUs have none."""
    return tensor.detach().to("cpu", torch.float64)


def _scaled(convolution: Convolution, scale: Tensor) -> Tensor:
    """The weight in float64, each output channel times its scale."""
    weight = _exact(convolution.weight)
    if isinstance(convolution, nn.Conv2d):
        return weight * scale[:, None, None, None]
    # A transposed convolution's weight is (in, out / groups, ...), and its groups split the first axis.
    inputs, per_group, *kernel = weight.shape
    grouped = weight.view(convolution.groups, -1, per_group, *kernel)
    scaled: Tensor = grouped * scale.view(convolution.groups, 1, per_group, 1, 1)
    return scaled.reshape(inputs, per_group, *kernel)
