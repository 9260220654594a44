"""Our own networks survive the export to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from densedistill.backbones import create

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the `export` extra")


# The exporter warns of its own internals.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("swinir", {"width": 12, "depths": (2,), "skip": "bicubic"}),
        ("swinir", {"width": 12, "depths": (2,), "scale": 3, "upsampler": "steps"}),
        ("attention-sr", {"width": 16, "blocks": 1, "scale": 2}),
        ("imdn", {"width": 16, "blocks": 2, "scale": 2}),
        ("pan", {"width": 16, "blocks": 2, "scale": 3}),
        ("rlfn", {"width": 16, "blocks": 2}),
        ("pidinet-tiny", {}),
    ],
)
def test_onnx_output_equals_ours(name: str, arguments: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create(name, **arguments).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    images = torch.rand(1, 3, 20, 17)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (images,), path, input_names=["images"], dynamo=True, verbose=False)
    output = onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(output, network(images).numpy(), atol=1e-4)
