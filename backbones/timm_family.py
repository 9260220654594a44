"""`timm/NAME`: the classifiers of timm (Wightman 2019), with a small-image stem for ResNets and MobileNetV2s."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from densedistill.backbones.errors import NetworkError, WeightsUnavailableError, unknown_name
from densedistill.backbones.fetch import hub_file, url_file
from densedistill.backbones.spec import RANDOM, Built, PositiveInt, Probability, describe_init
from densedistill.backbones.stems import (
    Stem,
    StemFamily,
    make_small_mobilenetv2_stem,
    make_small_resnet_stem,
    stem_stride,
    wanted_stem,
)

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def build(
    name: str,
    fetch: bool,
    *,
    num_classes: PositiveInt = 1000,
    input_size: PositiveInt | None = None,
    in_chans: PositiveInt = 3,
    stem: Stem = "auto",
    drop_rate: Probability | None = None,
) -> Built:
    """A timm classifier: images (B, in_chans, H, W) to logits (B, num_classes).

    Args:
        name: a timm model, with or without a weights tag (`resnet18`, `resnet18.a1_in1k`).
        fetch: with the provider's weights.
        num_classes: outputs; the head is random when they differ from the weights'.
        input_size: side of the input in pixels; decides `stem="auto"`, and sizes networks that are built for one size.
        in_chans: input channels; timm folds the weights' three channels into them.
        stem: see `Stem`.
        drop_rate: dropout before the head; None keeps the model's own.

    Raises:
        NetworkError: unknown name, or a stem that the family does not have.
        WeightsUnavailableError: `fetch`, and the weights cannot be had.
    """
    import timm

    config = _config(name)
    overlay = {"file": str(_fetch(name, config))} if fetch else None
    model = timm.create_model(
        name,
        pretrained=fetch,
        pretrained_cfg_overlay=overlay,
        num_classes=num_classes,
        in_chans=in_chans,
        drop_rate=drop_rate,
        img_size=input_size if config.fixed_input_size else None,
    )
    family = _stem_family(name, model)
    chosen = wanted_stem(f"timm/{name}", family, stem, input_size)
    random_parts = ["head"] if num_classes != config.num_classes else []
    if chosen != "imagenet" and family == "resnet" and make_small_resnet_stem(model, stride=stem_stride(chosen)):
        random_parts.insert(0, "stem")
    if chosen != "imagenet" and family == "mobilenetv2":
        make_small_mobilenetv2_stem(cast(nn.Conv2d, model.conv_stem), stride=stem_stride(chosen))
    source = describe_init(_source(config), random_parts=random_parts) if fetch else RANDOM
    return Built(module=model, init=source)


def fetch_weights(name: str) -> None:
    """Bring the weights of timm's `name` into the local cache.

    Raises:
        NetworkError: unknown name.
        WeightsUnavailableError: they cannot be had.
    """
    _fetch(name, _config(name))


def _config(name: str) -> PretrainedCfg:
    import timm
    from timm.models import PretrainedCfg, get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise NetworkError(unknown_name("timm network", architecture, timm.list_models()))
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        choices = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise NetworkError(unknown_name(f"weights tag of timm/{architecture}", tag, choices))
    config = get_pretrained_cfg(name)
    return config if config is not None else PretrainedCfg(architecture=architecture)


def _fetch(name: str, config: PretrainedCfg) -> str:
    if config.hf_hub_id:
        repo, _, revision = config.hf_hub_id.partition("@")
        filenames = (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES
        return str(hub_file(repo, filenames, revision=revision or None))
    if isinstance(config.url, str) and config.url:
        return str(url_file(config.url))
    raise WeightsUnavailableError(f"timm publishes no weights for {name}")


def _stem_family(name: str, model: nn.Module) -> StemFamily | None:
    from timm.models import ResNet

    if isinstance(model, ResNet):
        return "resnet"
    return "mobilenetv2" if name.startswith("mobilenetv2_") else None


def _source(config: PretrainedCfg) -> str:
    tag = config.tag or ""
    on_imagenet = not tag or any(part in tag for part in ("in1k", "in12k", "in21k", "in22k"))
    full_name = f"{config.architecture}.{tag}" if tag else config.architecture
    return f"{'imagenet' if on_imagenet else 'pretrained'} (timm {full_name})"
