"""`torchvision/NAME`: torchvision's classifiers, with a small-image stem for ResNets and MobileNetV2s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

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

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

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
    import torchvision.models as zoo

    choices = [known for known in zoo.list_models(module=zoo) if known not in _WITH_AUXILIARY_OUTPUTS]
    if name not in choices:
        raise NetworkError(unknown_name("torchvision network", name, choices))
    # Fetched before the network is built: a failure leaves the random numbers untouched.
    published = _fetch(name, input_size) if fetch else None
    sized = {"image_size": input_size} if _is_sized(name) and input_size is not None else {}
    model = zoo.get_model(name, weights=None, num_classes=num_classes, **sized)
    random_parts = _load(model, published.state, num_classes) if published else []
    family = _stem_family(model)
    chosen = wanted_stem(f"torchvision/{name}", family, stem, input_size)
    if chosen != "imagenet" and family == "resnet" and make_small_resnet_stem(model, stride=stem_stride(chosen)):
        random_parts.insert(0, "stem")
    if chosen != "imagenet" and family == "mobilenetv2":
        first = cast(nn.Conv2d, cast(nn.Sequential, model.features[0])[0])
        make_small_mobilenetv2_stem(first, stride=stem_stride(chosen))
    init = describe_init(published.source, random_parts=random_parts) if published else RANDOM
    return Built(module=model, init=init)


@dataclass(frozen=True, slots=True)
class _Published:
    source: str
    state: dict[str, Tensor]


def _fetch(name: str, input_size: int | None) -> _Published:
    import torchvision.models as zoo

    weights: WeightsEnum | None = getattr(zoo.get_model_weights(name), "DEFAULT", None)
    if weights is None:
        raise WeightsUnavailableError(f"torchvision publishes no weights for {name}")
    published_size = weights.meta["min_size"][0]
    if _is_sized(name) and input_size not in (None, published_size):
        raise WeightsUnavailableError(f"torchvision's weights of {name} fit inputs of {published_size} pixels alone")
    return _Published(f"imagenet (torchvision {name} {weights.name})", read_state_dict(url_file(weights.url)))


def _load(model: nn.Module, state: dict[str, Tensor], num_classes: int) -> list[str]:
    """Load the published `state` into `model` and return the parts that are left random: the head, or none."""
    own = model.state_dict()
    head = [
        key
        for key, value in state.items()
        if key in own
        and own[key].shape != value.shape
        and (value.shape[0], own[key].shape[0]) == (_IMAGENET_CLASSES, num_classes)
    ]
    # Whatever else differs is not a matter of the number of classes: the strict load says so.
    model.load_state_dict({**state, **{key: own[key] for key in head}})
    return ["head"] if head else []


def _is_sized(name: str) -> bool:
    return name.startswith("vit_")


def _stem_family(model: nn.Module) -> StemFamily | None:
    from torchvision.models import MobileNetV2, ResNet

    if isinstance(model, ResNet):
        return "resnet"
    return "mobilenetv2" if isinstance(model, MobileNetV2) else None
