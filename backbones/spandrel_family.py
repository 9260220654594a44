"""`spandrel/FILE`: a published image-to-image checkpoint, whose architecture spandrel reads off its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError
from densedistill.backbones.spec import Built
from densedistill.backbones.swinir import reflect_to_multiple
from densedistill.backbones.weights import read_state_dict

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor


def build(name: str, fetch: bool) -> Built:
    """The network in the file `name`, without spandrel's wrapper: images in [0, 1], (B, 3, H, W).

    The file is the weights: `fetch` changes nothing. A network whose input must have sides of a multiple pads by
    reflection at the bottom and right, and crops its output.

    Raises:
        NetworkError: the file is missing, unreadable, holds code, or is of no architecture spandrel knows.
    """
    del fetch
    descriptor = _read(Path(name))
    module = _padding(descriptor.model, int(descriptor.size_requirements.multiple_of))
    return Built(module=module, init=f"file {Path(name).name}")


def _padding(module: nn.Module, multiple: int) -> nn.Module:
    """`module`, taking images of any size from two pixels on; its parameters keep their names."""
    if multiple == 1:
        return module
    kind = type(module)

    def forward(self: nn.Module, images_BCHW: Tensor) -> Tensor:
        height, width = images_BCHW.shape[-2:]
        padded_BCHW = reflect_to_multiple(images_BCHW, multiple)
        output_BCHW: Tensor = kind.forward(self, padded_BCHW)
        scale = output_BCHW.shape[-1] // padded_BCHW.shape[-1]
        return output_BCHW[..., : height * scale, : width * scale]

    # A subclass rather than a wrapper, whose name would stand before every parameter's, or a new attribute, which
    # copies of the module would share.
    module.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return module


def size_multiple(name: str, arguments: Mapping[str, object]) -> int:
    """What spandrel says the sides of the input must be a multiple of; at other sizes the network pads.

    Raises:
        NetworkError: as `build`.
    """
    del arguments
    return int(_read(Path(name)).size_requirements.multiple_of)


def enlargement(name: str) -> int:
    """How many times higher and wider than its input the output of the network in the file `name` is.

    Raises:
        NetworkError: as `build`.
    """
    return int(_read(Path(name)).scale)


def _read(path: Path) -> ImageModelDescriptor[nn.Module]:
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    state = read_state_dict(path)
    try:
        descriptor = ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except UnsupportedModelError as error:
        raise NetworkError(
            f"spandrel knows no architecture with the keys of {path} (first: {next(iter(state), 'none')})."
        ) from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise NetworkError(f"{path} holds a {descriptor.architecture.name}, which needs more than an image as input.")
    return descriptor
