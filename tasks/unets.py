"""The chain of U-Nets that edges and segmentation start from: reference 003, section 5.2."""

from __future__ import annotations

from densedistill.distill.spec import NetworkSpec

UNETS = (
    NetworkSpec(name="smp/unet-resnet34"),
    NetworkSpec(name="smp/unet-mobilenet_v2"),
    NetworkSpec(name="smp/unet-mobilenet_v2", arguments={"decoder_channels": [64, 32, 24, 16, 8]}),
)
"""Teacher, student, and a student of a slimmer decoder (smp's own has 256, 128, 64, 32, 16 channels)."""
