"""Modules that offer a faster form of themselves: where it takes their place, and where they stay."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from densedistill.backbones import create
from densedistill.backbones.unscaled_attention import UnscaledWindowAttention
from densedistill.distill.fast.inference_forms import inference_forms, rewrite
from densedistill.distill.fast.teacher import TeacherOptions, prepare_teacher

CPU = torch.device("cpu")


class Twice(nn.Module):
    """Doubles; its form says that it did."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor
        self.inner = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        doubled: Tensor = self.inner(images) * self.factor
        return doubled

    def inference_form(self, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
        return Other(self.factor) if (device.type, dtype) == ("cpu", torch.bfloat16) else None


class Other(nn.Module):
    """Doubles, or what it was made to do."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor


class Wrong(Twice):
    """Offers what does not answer as it does."""

    def inference_form(self, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
        return Other(3.0)


def network(module: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), module, nn.ReLU()).eval()


def test_a_form_is_offered_for_a_device_and_precision() -> None:
    found = network(Twice())
    assert list(inference_forms(found, (), CPU, torch.bfloat16)) == ["1"]
    assert inference_forms(found, (), CPU, torch.float16) == {}
    assert isinstance(found[1], Twice), "asking changes nothing"


def test_a_module_with_a_tap_inside_stays() -> None:
    found = network(Twice())
    assert rewrite(found, ("1.inner",), CPU, torch.bfloat16) == 0
    assert rewrite(found, ("1",), CPU, torch.bfloat16) == 1
    assert isinstance(found[1], Other)


def test_a_teacher_takes_what_agrees_and_says_what_does_not() -> None:
    images = torch.rand(2, 3, 8, 8)
    notes: list[str] = []

    def parts(module: nn.Module, precision: str, **switches: bool) -> tuple[str, ...]:
        notes.clear()
        options = TeacherOptions(**switches)
        return prepare_teacher(network(module), (), images, options, CPU, precision, notes.append).parts  # type: ignore[arg-type]

    assert parts(Twice(), "bf16") == ("rewrite_teacher", "half_teacher", "channels_last")
    assert parts(Twice(), "fp32") == parts(Twice(), "fp32", rewrite_teacher=False) == ("channels_last",)
    assert parts(Twice(), "bf16", rewrite_teacher=False) == ("half_teacher", "channels_last")
    assert notes == []
    assert parts(Wrong(), "bf16") == ("half_teacher", "channels_last")
    assert len(notes) == 1
    assert notes[0].startswith("the teacher is used without rewrite_teacher: ")


def test_every_attention_of_swinir_is_rewritten_and_agrees() -> None:
    torch.manual_seed(0)
    plain = create("swinir", scale=2).eval()
    images = torch.rand(2, 3, 20, 29)
    expected = plain(images).detach()
    changed = copy.deepcopy(plain)
    assert rewrite(changed, (), CPU, torch.bfloat16) == 6
    assert not any(name.endswith("qkv.weight") for name, _ in changed.named_parameters())
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        cast, found = plain(images).float(), changed(images).float()
    far = [float((one - expected).square().mean().sqrt() / expected.std()) for one in (cast, found)]
    assert far[1] < 1.25 * far[0] < 0.02
    assert sum(isinstance(module, UnscaledWindowAttention) for module in changed.modules()) == 6
