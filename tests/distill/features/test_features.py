"""Where features are found: what a network declares, what a pass shows, what a user names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Feature, found_features, given_features
from densedistill.distill.outputs import Prediction

IMAGES = torch.zeros(2, 3, 32, 32)


class Plain(nn.Module):
    """Three resolutions, a ReLU that is used twice and in place, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.middle = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, stride=2, padding=1))
        self.deep = nn.Sequential(nn.Conv2d(6, 8, 1), nn.MaxPool2d(2))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.head(self.pool(self.deep(self.relu(self.middle(self.relu(self.stem(images)))))))
        return answer


class Declared(Plain):
    feature_info = (
        {"module": "middle", "num_chs": 6, "preact": "middle.0"},
        {"module": "deep", "num_chs": 8, "preact": "deep.0"},
    )


class Tokens(nn.Module):
    """Six equal blocks on a class token and 16 patches."""

    num_prefix_tokens = 1

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(6))
        self.head = nn.Linear(5, 3)
        self.feature_info = [{"module": f"blocks.{place}", "num_chs": 5, "reduction": 8} for place in range(6)]

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.new_zeros(len(images), 17, 5)
        for block in self.blocks:
            tokens = block(tokens)
        answer: Tensor = self.head(tokens[:, 0])
        return answer


class ChannelsLast(nn.Module):
    feature_info = ({"module": "stage", "num_chs": 5, "reduction": 1},)

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.stage(images.permute(0, 2, 3, 1)).mean(dim=(1, 2))
        return answer


def test_without_a_declaration_each_resolution_is_a_stage() -> None:
    features = found_features(Plain(), IMAGES)
    assert [(stage.path, tuple(stage.shape)) for stage in features.stages] == [
        ("stem", (2, 4, 32, 32)),
        ("middle", (2, 6, 16, 16)),
        ("deep", (2, 8, 8, 8)),
    ]
    assert features.preactivations == features.stages
    assert features.of("hint") == (features.stages[1],)
    assert features.of("last") == (features.stages[2],)
    assert [(feature.path, tuple(feature.shape)) for feature in features.of("embedding")] == [("pool", (2, 8))]


def test_a_declaration_decides() -> None:
    features = found_features(Declared(), IMAGES)
    assert [stage.path for stage in features.stages] == ["middle", "deep"]
    assert [stage.path for stage in features.preactivations] == ["middle.0", "deep.0"]
    assert features.paths(("last", "stages", "embedding")) == ("deep", "middle", "pool")


def test_looking_changes_nothing() -> None:
    network = Plain()
    network.deep.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found_features(network, IMAGES)
    given_features(network, IMAGES, ("deep",))
    assert network.training
    assert not network.deep.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_equal_blocks_are_thinned_evenly_and_lose_their_class_token() -> None:
    features = found_features(Tokens(), IMAGES)
    assert [stage.path for stage in features.stages] == ["blocks.0", "blocks.2", "blocks.3", "blocks.5"]
    last = features.stages[-1]
    assert (last.shape, last.channels, last.is_map) == (torch.Size((2, 16, 5)), 5, True)
    tapped = torch.arange(17.0)[None, :, None].expand(2, 17, 5)
    read = last.read(Prediction(output=tapped, taps={"blocks.5": tapped}))
    assert torch.equal(read, tapped[:, 1:])


def test_channels_last_maps_are_read_as_the_others() -> None:
    (stage,) = found_features(ChannelsLast(), IMAGES).stages
    assert (stage.shape, stage.channels, stage.channels_last) == (torch.Size((2, 5, 32, 32)), 5, True)
    tapped = torch.randn(2, 4, 6, 5)
    read = stage.read(Prediction(output=tapped, taps={"stage": tapped}))
    assert torch.equal(read, tapped.movedim(3, 1))


def test_the_answer_is_no_embedding() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    features = found_features(network, IMAGES)
    assert [feature.path for feature in features.of("embedding")] == ["0"]


def test_given_taps_take_every_role_they_can() -> None:
    features = given_features(Plain(), IMAGES, ("middle", "pool"))
    (stage,) = features.stages
    assert stage.path == "middle"
    assert features.of("hint") == features.of("last") == features.of("preactivations") == (stage,)
    assert [feature.path for feature in features.of("embedding")] == ["pool"]
    (only,) = given_features(Plain(), IMAGES, ("deep",)).of("embedding")
    assert only == Feature(path="deep", shape=torch.Size((2, 8, 16 // 2, 16 // 2)))


def test_a_tap_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"tap 'midle.0' is no module of Plain: .*'middle.0'"):
        given_features(Plain(), IMAGES, ("midle.0",))
