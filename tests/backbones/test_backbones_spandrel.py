"""Published checkpoints through spandrel."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DITN import DITN

from densedistill.backbones import NetworkError, build, create, load_weights, size_multiple


def _checkpoint(path: Path) -> Compact:
    torch.manual_seed(0)
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=16, num_conv=2, upscale=2).eval()
    torch.save({"params": network.state_dict()}, path)
    return network


def test_a_checkpoint_becomes_the_bare_network_with_its_weights(tmp_path: Path) -> None:
    expected = _checkpoint(tmp_path / "net.pth")
    built = build(f"spandrel/{tmp_path / 'net.pth'}", pretrained="required")
    assert built.init == "file net.pth"
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(built.module.eval()(images), expected(images))
    assert size_multiple(f"spandrel/{tmp_path / 'net.pth'}") == 1
    load_weights(create(f"spandrel/{tmp_path / 'net.pth'}"), tmp_path / "net.pth")


def test_unreadable_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no weight file"):
        create(f"spandrel/{tmp_path / 'none.pth'}")
    torch.save({"strange.weight": torch.zeros(2)}, tmp_path / "strange.pth")
    with pytest.raises(NetworkError, match=r"no architecture .*strange\.weight"):
        create(f"spandrel/{tmp_path / 'strange.pth'}")
    with pytest.raises(NetworkError, match="no argument 'scale'"):
        create(f"spandrel/{tmp_path / 'strange.pth'}", scale=2)


def test_a_networks_size_requirement_is_handed_on(tmp_path: Path) -> None:
    torch.save(DITN(dim=12, ITL_blocks=1, SAL_blocks=1).state_dict(), tmp_path / "net.pth")
    assert size_multiple(f"spandrel/{tmp_path / 'net.pth'}") == 8


def test_a_network_that_takes_multiples_alone_pads_and_crops(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = DITN(dim=12, ITL_blocks=1, SAL_blocks=1).eval()
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    network = create(f"spandrel/{tmp_path / 'net.pth'}").eval()
    assert list(network.state_dict()) == list(plain.state_dict())
    images = torch.rand(1, 3, 13, 18)
    padded = torch.nn.functional.pad(images, (0, 6, 0, 3), mode="reflect")
    with torch.inference_mode():
        expected = plain(padded)
        scale = expected.shape[-1] // 24
        torch.testing.assert_close(network(images), expected[..., : 13 * scale, : 18 * scale])
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.zero_()
        # A copy answers with its own weights.
        assert not torch.equal(other(images), network(images))
        fitting = torch.rand(1, 3, 16, 8)
        torch.testing.assert_close(network(fitting), plain(fitting))
