"""Where a method reads a network's features: what the network declares, what a pass shows, or what the user names.

Shapes: B images, C channels, H by W positions, L tokens.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densedistill.distill.features.images import body_stages, enlarges
from densedistill.distill.features.taps import Tapped, evaluating
from densedistill.distill.outputs import Prediction

Role = Literal["stages", "preactivations", "hint", "last", "final", "embedding"]
"""What a method may ask for: a map of each stage, the same before its activation, the map of the stage before the
last, that of the last stage, the last map of all (what is pooled for the classifier), or one vector."""

MOST_STAGES = 4
"""Stages compared at most, the deepest: the stem that some networks count as one is compared by no method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A tap whose output the losses can read."""

    path: str
    """The module's."""
    shape: torch.Size
    """As `read` gives it, for the batch that was looked at."""
    channels_last: bool = False
    """The module gives (B, H, W, C), as Swin does."""
    prefix_tokens: int = 0
    """Class and register tokens before those of the image's patches."""

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[2] if len(self.shape) == 3 else self.shape[1]

    @property
    def is_map(self) -> bool:
        """Whether it has positions, and not one vector for each image."""
        return len(self.shape) > 2

    def read(self, prediction: Prediction) -> Tensor:
        """The feature in a prediction: (B, C, H, W), tokens (B, L, C) of the image alone, or (B, C)."""
        return _plain(prediction.taps[self.path], self.channels_last, self.prefix_tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """A network's features by role. `stages` and `preactivations` run from shallow to deep."""

    stages: tuple[Feature, ...]
    preactivations: tuple[Feature, ...]
    """The stages themselves where a network names nothing before its activations."""
    last: Feature | None
    final: Feature | None
    embedding: Feature | None
    """One vector for each image, (B, C), where the network has one; else its last map."""

    def of(self, role: Role) -> tuple[Feature, ...]:
        """The features of one role; empty where the network has none."""
        found = {
            "stages": self.stages,
            "preactivations": self.preactivations,
            "hint": self.stages[-2:-1] or self.stages,
            "last": (self.last,),
            "final": (self.final,),
            "embedding": (self.embedding,),
        }[role]
        return tuple(feature for feature in found if feature is not None)

    def paths(self, roles: Iterable[Role]) -> tuple[str, ...]:
        """The taps that `roles` take, each once."""
        return tuple(dict.fromkeys(feature.path for role in roles for feature in self.of(role)))

    def within(self, parent: str) -> Features:
        """The same features where the network has become the module `parent` of another."""

        def moved(feature: Feature) -> Feature:
            return dataclasses.replace(feature, path=f"{parent}.{feature.path}")

        return Features(
            stages=tuple(map(moved, self.stages)),
            preactivations=tuple(map(moved, self.preactivations)),
            last=self.last and moved(self.last),
            final=self.final and moved(self.final),
            embedding=self.embedding and moved(self.embedding),
        )


NO_FEATURES = Features(stages=(), preactivations=(), last=None, final=None, embedding=None)


@torch.no_grad()
def given_features(network: nn.Module, images: Tensor, taps: Sequence[str]) -> Features:
    """Features at the taps that a user named: every map is a stage, the last vector is the embedding.

    Raises:
        RequestError: a tap that the network does not have; the nearest ones are named.
    """
    with Tapped(network, taps) as tapped, evaluating(network):
        outputs = tapped(images).taps
    features = [_feature(network, path, outputs[path], None) for path in taps]
    maps = tuple(feature for feature in features if feature.is_map)
    vectors = [feature for feature in features if not feature.is_map]
    return _by_role(maps, maps, None, vectors[-1] if vectors else None)


@torch.no_grad()
def found_features(network: nn.Module, images: Tensor) -> Features:
    """Features where a network's `feature_info` (as timm's and the `cifar/` networks have it) has its stages.

    Where it has none, a stage is what the network last makes at each resolution or, where it enlarges images, what it
    makes along its body (`body_stages`). Of more than `MOST_STAGES` stages the deepest are taken; of a transformer's
    equal blocks as many, evenly spaced. The embedding is the first vector (B, C) that a module makes after the last
    stage; what only functions make cannot be tapped.
    """
    calls = _calls(network, images)
    outputs = {call.path: call.output for call in calls}
    declared = [dict(info) for info in getattr(network, "feature_info", None) or () if info.get("module") in outputs]
    chosen = _thinned(declared) if declared else [{"module": path} for path in _seen_stages(images, calls)]
    stages = tuple(_feature(network, str(info["module"]), outputs[info["module"]], info) for info in chosen)
    before = tuple(
        _feature(network, str(path), outputs[path], info)
        for info in chosen
        if (path := info.get("preact", info["module"])) in outputs
    )
    if not stages:
        return NO_FEATURES
    vector, path = _embedding(calls, stages[-1].path), _final(calls, stages[-1].path)
    embedding = None if vector is None else _feature(network, vector, outputs[vector], None)
    final = stages[-1] if path == stages[-1].path else _feature(network, path, outputs[path], None)
    return _by_role(stages, before if len(before) == len(stages) else stages, final, embedding)


def _by_role(
    stages: tuple[Feature, ...], before: tuple[Feature, ...], final: Feature | None, vector: Feature | None
) -> Features:
    last = stages[-1] if stages else None
    return Features(stages=stages, preactivations=before, last=last, final=final or last, embedding=vector or last)


def _feature(network: nn.Module, path: str, output: Tensor, info: Mapping[str, Any] | None) -> Feature:
    channels_last = output.ndim == 4 and _is_channels_last(network, output, info or {})
    prefix = int(getattr(network, "num_prefix_tokens", 0)) if output.ndim == 3 else 0
    shape = _plain(output, channels_last, prefix).shape
    return Feature(path=path, shape=shape, channels_last=channels_last, prefix_tokens=prefix)


def _is_channels_last(network: nn.Module, output: Tensor, info: Mapping[str, Any]) -> bool:
    """What the feature's own `layout` says, else the number of channels it declares, else the network."""
    layout, declared = info.get("layout"), info.get("num_chs")
    if layout is None and declared is not None:
        return bool(output.shape[1] != declared == output.shape[3])
    return (layout or getattr(network, "output_fmt", "NCHW")) == "NHWC"


def _plain(output: Tensor, channels_last: bool, prefix_tokens: int) -> Tensor:
    if channels_last:
        return output.permute(0, 3, 1, 2)
    return output[:, prefix_tokens:] if prefix_tokens else output


@dataclass(frozen=True, slots=True)
class _Call:
    """The end of a module's call that gave one tensor. Of the tensor only the shape is kept, on the meta device."""

    path: str
    output: Tensor
    answers: bool
    """Whether the network answers with this very tensor."""


def _calls(network: nn.Module, images: Tensor) -> list[_Call]:
    """Calls in the order of their ends; modules that are called twice are left out."""
    ended: list[tuple[str, Tensor, weakref.ref[Tensor]]] = []
    paths = {module: path for path, module in network.named_modules() if path}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            ended.append((paths[module], torch.empty(output.shape, device="meta"), weakref.ref(output)))

    handles = [module.register_forward_hook(note) for module in paths]
    try:
        with evaluating(network):
            answer = network(images)
    finally:
        for handle in handles:
            handle.remove()
    counts = Counter(path for path, _output, _kept in ended)
    return [_Call(path, output, kept() is answer) for path, output, kept in ended if counts[path] == 1]


def _thinned(declared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len({info.get("reduction") for info in declared}) > 1:
        return declared[-MOST_STAGES:]
    count = min(len(declared), MOST_STAGES)
    return [declared[(place + 1) * len(declared) // count - 1] for place in range(count)]


def _seen_stages(images: Tensor, calls: Sequence[_Call]) -> list[str]:
    shapes = {call.path: call.output.shape for call in calls}
    if enlarges(images.shape, shapes):
        return body_stages(images.shape, shapes, MOST_STAGES)
    return _resolutions(calls)[-MOST_STAGES:]


def _resolutions(calls: Sequence[_Call]) -> list[str]:
    """The last map at each resolution, from fine to coarse: of the outermost modules the one that ends last."""
    maps = [(call.output.shape[2:], place, call.path) for place, call in enumerate(calls) if call.output.ndim == 4]
    chosen: list[str] = []
    for size in sorted({size for size, _place, _path in maps}, key=torch.Size.numel, reverse=True):
        # A single position after larger maps is a pooling or a gate, and not a stage.
        if size.numel() > 1 or not chosen:
            same = [(path.count("."), -place, path) for other, place, path in maps if other == size]
            chosen.append(min(same)[2])
    return chosen


def _embedding(calls: Sequence[_Call], last_stage: str) -> str | None:
    """The first vector after the last stage, unless it is the answer; of modules that only wrap it, the outermost."""
    first = [call.path for call in calls].index(last_stage) + 1
    after = calls[first:]
    vectors = [place for place, call in enumerate(after) if call.output.ndim == 2 and not call.answers]
    if not vectors:
        return None
    place = vectors[0]
    while place + 1 < len(after) and after[place].path.startswith(f"{after[place + 1].path}."):
        place += 1
    return after[place].path


def _final(calls: Sequence[_Call], last_stage: str) -> str:
    """The last module that gives a map of the last stage's size before anything gives a vector."""
    first = [call.path for call in calls].index(last_stage)
    final = calls[first]
    sides = slice(2, None) if final.output.ndim == 4 else slice(1, 2)
    for call in calls[first + 1 :]:
        if call.output.ndim == 2 or call.answers:
            break
        if call.output.ndim == final.output.ndim and call.output.shape[sides] == final.output.shape[sides]:
            final = call
    return final.path
