"""`torchvision/NAME`: torchvision's classifiers, with a small-image stem for ResNets and MobileNetV2s."""

from __future__ import annotations

from typing import cast

import torchvision.models as zoo
from torch import nn
from torchvision.models import MobileNetV2, ResNet, WeightsEnum

from densedistill.backbones.errors import NetworkError, WeightsUnavailableError, unknown_name
from densedistill.backbones.fetch import url_file
from densedistill.backbones.spec import RANDOM, Built, PositiveInt, describe_init
from densedistill.backbones.stems import (
    Stem,
    StemFamily,
    make_small_mobilenetv2_stem,
    make_small_resnet_stem,
    stem_stride,
    wanted_stem,
)
from densedistill.backbones.weights import read_state_dict

# In training these return a tuple with auxiliary logits, which no loss here reads.
_WITH_AUXILIARY_OUTPUTS = {"googlenet", "inception_v3"}
_IMAGENET_CLASSES = 1000


def build(
    name: str,
    fetch: bool,
    *,
    num_classes: PositiveInt = _IMAGENET_CLASSES,
    input_size: PositiveInt | None = None,
    stem: Stem = "auto",
) -> Built:
    """A torchvision classifier: images (B, 3, H, W) to logits (B, num_classes).

    Args:
        name: a torchvision model.
        fetch: with torchvision's default weights.
        num_classes: outputs; the head is random when they are not 1000.
        input_size: side of the input in pixels; decides `stem="auto"`, and sizes the vision transformers.
        stem: see `Stem`.

    Raises:
        NetworkError: unknown name, or a stem that the family does not have.
        WeightsUnavailableError: `fetch`, and the weights cannot be had.
    """
    choices = [known for known in zoo.list_models(module=zoo) if known not in _WITH_AUXILIARY_OUTPUTS]
    if name not in choices:
        raise NetworkError(unknown_name("torchvision network", name, choices))
    sized = {"image_size": input_size} if name.startswith("vit_") and input_size is not None else {}
    model = zoo.get_model(name, weights=None, num_classes=num_classes, **sized)
    init = RANDOM
    random_parts: list[str] = []
    if fetch:
        init, random_parts = _load_provider_weights(name, model, num_classes)
    family = _stem_family(model)
    chosen = wanted_stem(f"torchvision/{name}", family, stem, input_size)
    if chosen != "imagenet" and family == "resnet" and make_small_resnet_stem(model, stride=stem_stride(chosen)):
        random_parts.insert(0, "stem")
    if chosen != "imagenet" and isinstance(model, MobileNetV2):
        first = cast(nn.Conv2d, cast(nn.Sequential, model.features[0])[0])
        make_small_mobilenetv2_stem(first, stride=stem_stride(chosen))
    return Built(module=model, init=describe_init(init, random_parts=random_parts) if fetch else init)


def _load_provider_weights(name: str, model: nn.Module, num_classes: int) -> tuple[str, list[str]]:
    """Load the default weights of `name` into `model`; the source, and the parts left random."""
    weights: WeightsEnum | None = getattr(zoo.get_model_weights(name), "DEFAULT", None)
    if weights is None:
        raise WeightsUnavailableError(f"torchvision publishes no weights for {name}")
    state = read_state_dict(url_file(weights.url))
    own = model.state_dict()
    head = [
        key
        for key, value in state.items()
        if key in own
        and own[key].shape != value.shape
        and (value.shape[0], own[key].shape[0]) == (_IMAGENET_CLASSES, num_classes)
    ]
    # Whatever else differs is not a matter of the number of classes: the strict load below says so.
    model.load_state_dict({**state, **{key: own[key] for key in head}})
    return f"imagenet (torchvision {name} {weights.name})", ["head"] if head else []


def _stem_family(model: nn.Module) -> StemFamily | None:
    if isinstance(model, ResNet):
        return "resnet"
    return "mobilenetv2" if isinstance(model, MobileNetV2) else None
