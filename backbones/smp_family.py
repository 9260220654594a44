"""`smp/ARCH-ENCODER`: dense prediction networks of segmentation-models-pytorch (Iakubovskii 2019).

The U-Net is Ronneberger et al. 2015 with a classifier as its contracting path.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from safetensors.torch import load_file
from torch import nn

from densedistill.backbones.errors import NetworkError, WeightsUnavailableError, unknown_name
from densedistill.backbones.fetch import hub_file
from densedistill.backbones.spec import RANDOM, Built, PositiveInt

if TYPE_CHECKING:
    from segmentation_models_pytorch.base import SegmentationModel

_PYRAMID = ("p5", "p4", "p3", "p2")
"""An FPN's levels, from coarse to fine."""


def build(
    name: str,
    fetch: bool,
    *,
    in_channels: PositiveInt = 3,
    classes: PositiveInt = 1,
    encoder_depth: PositiveInt | None = None,
    decoder_channels: tuple[PositiveInt, ...] | PositiveInt | None = None,
) -> Built:
    """A dense network: images (B, in_channels, H, W) to logits (B, classes, H, W).

    Args:
        name: `ARCH-ENCODER`, such as `unet-resnet34`; an encoder `tu-NAME` is timm's NAME.
        fetch: with ImageNet weights in the encoder; the decoder is random always.
        in_channels: input channels; the encoder's weights are folded into them.
        classes: output channels.
        encoder_depth: stages of the encoder, each halving the resolution; None keeps the architecture's own.
        decoder_channels: widths of the decoder, from the coarsest stage on, as many as stages (one number for
            architectures of one width); None keeps the architecture's own, cut to the depth.

    Raises:
        NetworkError: unknown architecture or encoder, or arguments that do not fit the architecture.
        WeightsUnavailableError: `fetch`, and the encoder's weights cannot be had.
    """
    architecture, encoder = _split(name)
    options: dict[str, object] = {}
    if encoder_depth is not None:
        options["encoder_depth"] = encoder_depth
    widths = _decoder_channels(name, architecture, encoder_depth, decoder_channels)
    if widths is not None:
        options["decoder_channels"] = widths
    # Fetched before the network is built: its absence must not cost the time of building.
    donor = _pretrained_encoder(encoder, in_channels, _depth(architecture, encoder_depth)) if fetch else None
    try:
        model: SegmentationModel = architecture(
            encoder_name=encoder, encoder_weights=None, in_channels=in_channels, classes=classes, **options
        )
    except ValueError as error:
        raise NetworkError(f"network 'smp/{name}' cannot be built: {error}") from error
    declare_stages(model, _depth(architecture, encoder_depth))
    if donor is None:
        return Built(module=model, init=RANDOM)
    model.encoder.load_state_dict(donor.state_dict())
    return Built(module=model, init=f"imagenet (smp {encoder}), decoder random")


def declare_stages(model: nn.Module, depth: int) -> None:
    """Say in `feature_info`, as timm's networks do, where the decoder's stages are, from coarse to fine.

    Each block of a U-Net's decoder (also of Linknet's and MAnet's) and each level of an FPN's pyramid; of other
    architectures the decoder as a whole.
    """
    decoder = model.get_submodule("decoder")
    blocks = getattr(decoder, "blocks", None)
    if isinstance(blocks, nn.ModuleList) and len(blocks) == depth:
        stages = {f"decoder.blocks.{place}": 2 ** (depth - 1 - place) for place in range(depth)}
    elif all(hasattr(decoder, level) for level in _PYRAMID):
        stages = {f"decoder.{level}": 2 ** (depth - place) for place, level in enumerate(_PYRAMID)}
    else:
        model.__dict__["feature_info"] = [{"module": "decoder"}]
        return
    model.__dict__["feature_info"] = [{"module": path, "reduction": stride} for path, stride in stages.items()]


def size_multiple(name: str, arguments: Mapping[str, object]) -> int:
    """The encoder's total stride, which height and width should be a multiple of: 32 for five stages.

    Raises:
        NetworkError: unknown architecture or encoder.
    """
    architecture, _ = _split(name)
    depth = arguments.get("encoder_depth")
    multiple: int = 2 ** _depth(architecture, depth if isinstance(depth, int) else None)
    return multiple


def _split(name: str) -> tuple[type[SegmentationModel], str]:
    import segmentation_models_pytorch as smp
    import timm
    from segmentation_models_pytorch.encoders import encoders

    architectures: dict[str, type[SegmentationModel]] = smp.MODEL_ARCHITECTURES_MAPPING
    architecture, dash, encoder = name.partition("-")
    if not dash or not encoder:
        raise NetworkError(f"'smp/{name}' names no encoder; write smp/ARCH-ENCODER, such as smp/unet-resnet34.")
    if architecture not in architectures:
        raise NetworkError(unknown_name("smp architecture", architecture, architectures))
    if encoder.startswith("tu-"):
        if not timm.is_model(encoder.removeprefix("tu-")):
            choices = [f"tu-{known}" for known in timm.list_models()]
            raise NetworkError(unknown_name("smp encoder", encoder, choices))
    elif encoder not in encoders:
        raise NetworkError(unknown_name("smp encoder", encoder, encoders))
    return architectures[architecture], encoder


def _depth(architecture: type[SegmentationModel], asked: int | None) -> int:
    if asked is not None:
        return asked
    default = inspect.signature(architecture.__init__).parameters["encoder_depth"].default
    return int(default)


def _decoder_channels(
    name: str,
    architecture: type[SegmentationModel],
    depth: int | None,
    asked: tuple[int, ...] | int | None,
) -> tuple[int, ...] | int | None:
    parameter = inspect.signature(architecture.__init__).parameters.get("decoder_channels")
    if parameter is None:
        if asked is not None:
            raise NetworkError(f"network 'smp/{name}' has no argument 'decoder_channels'; leave it out.")
        return None
    stages = _depth(architecture, depth)
    one_width = isinstance(parameter.default, int)
    if asked is None:
        return None if one_width else tuple(parameter.default[:stages])
    if one_width != isinstance(asked, int):
        wanted = "one number" if one_width else f"{stages} numbers"
        raise NetworkError(f"network 'smp/{name}' has decoder_channels={asked}; give {wanted}.")
    if not isinstance(asked, int) and len(asked) != stages:
        raise NetworkError(
            f"network 'smp/{name}' has decoder_channels={asked} of length {len(asked)} for {stages} encoder "
            f"stages; give {stages} numbers or encoder_depth={len(asked)}."
        )
    return asked


def _pretrained_encoder(name: str, in_channels: int, depth: int) -> nn.Module:
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    if name.startswith("tu-"):
        from densedistill.backbones.timm_family import fetch_weights

        fetch_weights(name.removeprefix("tu-"))
        timm_encoder: nn.Module = get_encoder(name, in_channels=in_channels, depth=depth, weights=True)
        return timm_encoder
    settings = encoders[name]["pretrained_settings"].get("imagenet")
    if settings is None:
        raise WeightsUnavailableError(f"smp publishes no ImageNet weights for {name}")
    path = hub_file(settings["repo_id"], ("model.safetensors",), revision=settings["revision"])
    encoder = get_encoder(name, in_channels=3, depth=depth, weights=None)
    encoder.load_state_dict(load_file(path, device="cpu"))
    encoder.set_in_channels(in_channels, pretrained=True)
    adapted: nn.Module = encoder
    return adapted
