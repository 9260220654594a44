"""Weight files: read without running code, loaded all or not at all."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError

_TORCH_SUFFIXES = (".pth", ".pt", ".th", ".bin", ".ckpt", ".tar")
_ENVELOPES = ("state_dict", "params_ema", "params", "model")
_PARALLEL_PREFIX = "module."
_NAMED_KEYS = 3
_DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    struct.error,
    AssertionError,
    AttributeError,
    TypeError,
)
"""What `torch.load` raises for bytes that are no file of its own, those of its format before 1.6 included."""
_SIGN_OF_CODE = re.compile("unsupported (global|class)|torchscript", re.IGNORECASE)


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, trainable or not; buffers are not counted."""
    return sum(parameter.numel() for parameter in module.parameters())


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load the file at `path` into `module`, strictly; on an error `module` is as it was.

    Args:
        module: any network.
        path: safetensors, or a `torch.save` file of tensors; see `read_state_dict`.

    Raises:
        NetworkError: the file cannot be read (`read_state_dict`) or is of another network: which keys differ.
    """
    state = read_state_dict(Path(path))
    before = {key: value.detach().clone() for key, value in module.state_dict().items()}
    misshaped = [key for key, value in state.items() if key in before and before[key].shape != value.shape]
    fitting = {key: value for key, value in state.items() if key not in misshaped}
    # nn.Module's own method: a subclass may widen `strict=False` to drop what does not fit.
    result = nn.Module.load_state_dict(module, fitting, strict=False)
    missing = [key for key in result.missing_keys if key not in misshaped]
    faults = [
        _named(missing, "missing"),
        _named(result.unexpected_keys, "not in the network"),
        _named([f"{k} {tuple(state[k].shape)} for {tuple(before[k].shape)}" for k in misshaped], "of another shape"),
    ]
    if any(faults):
        nn.Module.load_state_dict(module, before)
        scale = getattr(module, "scale", None)
        enlarging = f", which enlarges by {scale} (weights of another scale do not fit)" if scale else ""
        raise NetworkError(
            f"{path} holds the weights of another network than this {type(module).__name__}{enlarging}: "
            f"{'; '.join(fault for fault in faults if fault)}; give weights of this very network."
        )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors in a weight file, by name.

    Containers that training code wraps around them (`state_dict`, `params_ema`, `params`, `model`) and the `module.`
    prefix of data-parallel training are taken off.

    Raises:
        NetworkError: the file is missing, of unknown kind, damaged, holds pickled code, or no named tensors.
    """
    if not path.is_file():
        raise NetworkError(f"there is no weight file {path}; check the path.")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        content: object = _read_safetensors(path)
    elif suffix in _TORCH_SUFFIXES:
        content = _read_torch(path)
    else:
        raise NetworkError(
            f"{path} is of unknown kind '{path.suffix}'; give .safetensors or one of {', '.join(_TORCH_SUFFIXES)}."
        )
    return _without_wrapping(path, content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise NetworkError(f"{path} is damaged or cut short ({error}); fetch it again.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        if _holds_code(error):
            raise NetworkError(
                f"{path} holds pickled objects other than tensors, which could run code, and is refused; "
                "convert its tensors to safetensors."
            ) from error
        raise NetworkError(f"{path} is damaged, cut short, or no torch file; fetch it again.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> NetworkError:
    return NetworkError(f"{path} cannot be read ({error.strerror or error}); check its permissions.")


def _holds_code(error: Exception) -> bool:
    return _SIGN_OF_CODE.search(str(error)) is not None


def _without_wrapping(path: Path, content: object) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        envelope = next((key for key in _ENVELOPES if isinstance(content.get(key), Mapping)), None)
        if envelope is None:
            break
        content = content[envelope]
    if not isinstance(content, Mapping) or not content:
        raise NetworkError(f"{path} holds no named tensors; give a state dict.")
    unnamed = [key for key in content if not isinstance(key, str)]
    if unnamed:
        raise NetworkError(
            f"{path} holds tensors under other things than names ({', '.join(map(repr, unnamed[:_NAMED_KEYS]))}); give "
            "a state dict."
        )
    strangers = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise NetworkError(
            f"{path} holds other things than tensors ({', '.join(strangers[:_NAMED_KEYS])}); give a state dict."
        )
    state = cast(Mapping[str, Tensor], content)
    if all(key.startswith(_PARALLEL_PREFIX) for key in state):
        return {key.removeprefix(_PARALLEL_PREFIX): value for key, value in state.items()}
    return dict(state)


def _named(keys: list[str], fault: str) -> str:
    if not keys:
        return ""
    more = ", ..." if len(keys) > _NAMED_KEYS else ""
    return f"{len(keys)} {fault} ({', '.join(keys[:_NAMED_KEYS])}{more})"
