"""Networks by name: what `timm/resnet18`, `smp/unet-resnet34` or `swinir-m` builds, and their weights."""

from densedistill.backbones import attention_sr as attention_sr
from densedistill.backbones import cifar_family as cifar_family
from densedistill.backbones import imdn as imdn
from densedistill.backbones import pan as pan
from densedistill.backbones import pidinet as pidinet
from densedistill.backbones import rlfn as rlfn
from densedistill.backbones import swinir as swinir
from densedistill.backbones.errors import NetworkError, WeightsUnavailableError
from densedistill.backbones.registry import (
    build,
    create,
    describe_networks,
    network_names,
    register_network,
    size_multiple,
)
from densedistill.backbones.spec import Built, NetworkInfo, Pretrained
from densedistill.backbones.vgg import vgg19_features
from densedistill.backbones.weights import count_parameters, load_weights, read_state_dict

__all__ = [
    "Built",
    "NetworkError",
    "NetworkInfo",
    "Pretrained",
    "WeightsUnavailableError",
    "build",
    "count_parameters",
    "create",
    "describe_networks",
    "load_weights",
    "network_names",
    "read_state_dict",
    "register_network",
    "size_multiple",
    "vgg19_features",
]
