"""Whose weights a network starts from: offline, and with a provider's file at hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import nn

from densedistill.backbones import (
    NetworkError,
    WeightsUnavailableError,
    build,
    create,
    fetch,
    smp_family,
    timm_family,
    torchvision_family,
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No host answers and no cache holds anything."""
    monkeypatch.setattr(fetch, "reachable", lambda url: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def _noise_for(network: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value.clone()
        for key, value in network.state_dict().items()
    }


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18", "smp/unet-resnet18", "smp/fpn-tu-resnet18"])
def test_auto_offline_is_random_with_a_warning_and_quick(name: str) -> None:
    started = time.perf_counter()
    torch.manual_seed(3)
    built = build(name, pretrained="auto")
    assert time.perf_counter() - started < 5
    assert built.init == "random"
    assert built.warning is not None
    assert "starts from random weights" in built.warning
    assert "cannot be reached" in built.warning
    torch.manual_seed(3)
    plain = create(name).state_dict()
    assert all(torch.equal(plain[key], value) for key, value in built.module.state_dict().items())


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18", "smp/unet-resnet18", "swinir-s"])
def test_required_offline_says_what_was_tried_and_what_to_do(name: str) -> None:
    with pytest.raises(NetworkError, match=rf"'{name}' are required.*--teacher-weights FILE"):
        build(name, pretrained="required")


@pytest.mark.usefixtures("offline")
def test_weights_that_nobody_publishes() -> None:
    warning = build("timm/mobilenetv2_035", pretrained="auto").warning
    assert warning is not None
    assert "timm publishes no weights for mobilenetv2_035" in warning
    own = build("swinir", pretrained="auto")
    assert (own.init, own.warning) == ("random", None)


@pytest.mark.usefixtures("offline")
def test_weights_for_another_input_size_are_not_to_be_had() -> None:
    warning = build("torchvision/vit_b_16", {"input_size": 32}, pretrained="auto").warning
    assert warning is not None
    assert "fit inputs of 224 pixels alone" in warning


@pytest.mark.usefixtures("offline")
def test_wrong_requests_are_not_taken_for_missing_weights() -> None:
    with pytest.raises(NetworkError, match="did you mean"):
        build("timm/resnet1o1", pretrained="auto")
    with pytest.raises(NetworkError, match="give auto, required or none"):
        build("timm/resnet18", pretrained="always")  # type: ignore[arg-type]


def test_programming_errors_are_not_taken_for_missing_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Path:
        raise AttributeError("a bug")

    monkeypatch.setattr(timm_family, "hub_file", broken)
    with pytest.raises(AttributeError, match="a bug"):
        build("timm/resnet18", pretrained="auto")


def test_an_unreachable_host_is_given_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 0.2)
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait()
        raise OSError

    monkeypatch.setattr(fetch.socket, "create_connection", hang)
    started = time.perf_counter()
    assert not fetch.reachable.__wrapped__("https://hub.invalid")
    assert time.perf_counter() - started < 1
    release.set()


def test_the_proxy_is_asked_where_one_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(fetch, "_accepts", lambda host, port: asked.append((host, port)) or True)
    monkeypatch.setattr(fetch, "getproxies", lambda: {"https": "http://proxy.invalid:3128"})
    monkeypatch.setattr(fetch, "proxy_bypass", lambda host: False)
    assert fetch.reachable.__wrapped__("https://hub.invalid/x")
    monkeypatch.setattr(fetch, "getproxies", dict)
    assert fetch.reachable.__wrapped__("https://hub.invalid/x")
    assert asked == [("proxy.invalid", 3128), ("hub.invalid", 443)]


def test_a_failed_download_counts_as_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "reachable", lambda url: True)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("HTTP Error 503")

    monkeypatch.setattr(fetch.torch.hub, "download_url_to_file", refuse)
    with pytest.raises(WeightsUnavailableError, match="503"):
        fetch.url_file("https://hub.invalid/net-0123abcd.pth")


def _hub_that(answers: Mapping[str, Path | Exception]) -> Callable[..., str]:
    def download(repo: str, filename: str, **_: object) -> str:
        answer = answers[filename]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    return download


def test_the_hub_is_asked_for_each_file_name_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetch, "reachable", lambda url: True)
    there, absent = tmp_path / "b.bin", EntryNotFoundError("404")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", _hub_that({"a.safetensors": absent, "b.bin": there}))
    assert fetch.hub_file("who/what", ("a.safetensors", "b.bin")) == there
    with pytest.raises(WeightsUnavailableError, match=r"who/what has none of a\.safetensors"):
        fetch.hub_file("who/what", ("a.safetensors",))


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("broke off"), OSError("broke off")])
def test_a_hub_that_breaks_off_counts_as_unavailable(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetch, "reachable", lambda url: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", _hub_that({"a": error}))
    with pytest.raises(WeightsUnavailableError, match=r"did not give them \(broke off\)"):
        fetch.hub_file("who/what", ("a",))


@pytest.mark.usefixtures("offline")
def test_a_cached_url_needs_no_connection(tmp_path: Path) -> None:
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "net-0123abcd.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert fetch.url_file("https://hub.invalid/net-0123abcd.pth") == cached


def test_timm_weights_fill_everything_but_the_small_stem_and_another_head(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published = _noise_for(create("timm/resnet18"))
    save_file(published, tmp_path / "model.safetensors")
    monkeypatch.setattr(timm_family, "hub_file", lambda *_, **__: tmp_path / "model.safetensors")
    built = build("timm/resnet18", {"num_classes": 7, "input_size": 32}, pretrained="required")
    assert built.init == "imagenet (timm resnet18.a1_in1k), stem and head random"
    assert built.warning is None
    loaded = built.module.state_dict()
    assert all(
        torch.equal(loaded[key], value)
        for key, value in published.items()
        if not key.startswith("fc.") and key != "conv1.weight"
    )
    assert loaded["conv1.weight"].shape == (64, 3, 3, 3)
    whole = build("timm/resnet18", pretrained="auto")
    assert whole.init == "imagenet (timm resnet18.a1_in1k)"
    assert torch.equal(whole.module.state_dict()["fc.weight"], published["fc.weight"])


def test_mobilenetv2_keeps_its_stems_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published = _noise_for(create("timm/mobilenetv2_050"))
    save_file(published, tmp_path / "model.safetensors")
    monkeypatch.setattr(timm_family, "hub_file", lambda *_, **__: tmp_path / "model.safetensors")
    built = build("timm/mobilenetv2_050", {"num_classes": 7, "input_size": 32}, pretrained="auto")
    assert built.init == "imagenet (timm mobilenetv2_050.lamb_in1k), head random"
    assert torch.equal(built.module.state_dict()["conv_stem.weight"], published["conv_stem.weight"])


def test_torchvision_weights_adapt_to_head_and_stem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published = _noise_for(create("torchvision/resnet18"))
    torch.save(published, tmp_path / "resnet18.pth")
    monkeypatch.setattr(torchvision_family, "url_file", lambda url: tmp_path / "resnet18.pth")
    built = build("torchvision/resnet18", {"num_classes": 7, "input_size": 32}, pretrained="required")
    assert built.init == "imagenet (torchvision resnet18 IMAGENET1K_V1), stem and head random"
    loaded = built.module.state_dict()
    assert torch.equal(loaded["layer4.1.conv2.weight"], published["layer4.1.conv2.weight"])
    del published["layer4.1.conv2.weight"]
    torch.save(published, tmp_path / "resnet18.pth")
    with pytest.raises(RuntimeError, match=r"layer4\.1\.conv2\.weight"):
        build("torchvision/resnet18", pretrained="auto")


def test_smp_weights_fill_the_encoder_and_fold_into_other_channels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = create("smp/unet-resnet18")
    published = _noise_for(network.encoder)
    published["fc.weight"], published["fc.bias"] = torch.rand(1000, 512), torch.rand(1000)
    save_file(published, tmp_path / "model.safetensors")
    monkeypatch.setattr(smp_family, "hub_file", lambda *_, **__: tmp_path / "model.safetensors")
    built = build("smp/unet-resnet18", {"in_channels": 1}, pretrained="auto")
    assert built.init == "imagenet (smp resnet18), decoder random"
    loaded = built.module.encoder.state_dict()
    assert torch.equal(loaded["layer3.0.conv1.weight"], published["layer3.0.conv1.weight"])
    assert torch.allclose(loaded["conv1.weight"], published["conv1.weight"].sum(1, keepdim=True))
