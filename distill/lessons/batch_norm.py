"""Batch-norm statistics: averaging them over processes, and keeping them fixed."""

from __future__ import annotations

from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from densedistill.distill.machine.collective import joined


def average_statistics(module: nn.Module) -> None:
    """Average the running statistics over all processes; each saw another part of every batch."""
    if not joined():
        return
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            for statistic in (layer.running_mean, layer.running_var):
                distributed.all_reduce(statistic)
                statistic.div_(distributed.get_world_size())


def freeze_statistics(module: nn.Module) -> None:
    """Put every batch-norm layer in evaluation mode; call it after each `train()`."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()
