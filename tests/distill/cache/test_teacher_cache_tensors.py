"""How a teacher's answers are rounded: whole, or as their largest logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.cache.tensors import KeptTensor, LargestLogits, Whole

CPU = torch.device("cpu")


def back(kept: KeptTensor, tensor: Tensor) -> Tensor:
    return kept.decode(kept.encode(tensor).columns, CPU)


def normal(*shape: int, spread: float = 2.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * spread


def largest(classes: int, kept: int, temperature: float = 1.0) -> LargestLogits:
    return LargestLogits(classes=classes, kept=kept, temperature=temperature, dtype=torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shape", [(), (7,), (3, 5, 4)])
def test_whole_tensors_come_back_to_half_precision(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = (normal(6, *shape) * 100).to(dtype)
    result = back(Whole(shape=shape, dtype=dtype), tensor)
    assert (result.dtype, result.shape) == (dtype, tensor.shape)
    error = (result.double() - tensor.double()).abs()
    assert bool((error <= tensor.double().abs() * 2**-11 + 2**-25).all())
    if dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(result, tensor)  # neither has more digits than float16


def test_channels_last_and_gradients_do_not_matter() -> None:
    tensor = normal(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    result = back(Whole(shape=(3, 4, 5), dtype=torch.float32), tensor)
    assert result.is_contiguous()
    assert not result.requires_grad
    torch.testing.assert_close(result, tensor.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("classes", "kept"), [(1000, 64), (70_000, 16), (9, 8), (5, 1)])
def test_softmax_at_the_temperature_keeps_the_largest_and_the_rest(classes: int, kept: int, temperature: float) -> None:
    logits = normal(20, classes)
    result = back(largest(classes, kept, temperature), logits).double()
    expected, found = ((values.double() / temperature).softmax(1) for values in (logits, result))
    places = logits.topk(kept, dim=1).indices
    torch.testing.assert_close(found.gather(1, places), expected.gather(1, places), rtol=2e-2, atol=0)
    others = torch.ones_like(expected).scatter(1, places, 0)
    torch.testing.assert_close((found * others).sum(1), (expected * others).sum(1), rtol=1e-2, atol=0)
    spread = found.masked_fill(others == 0, math.nan)
    torch.testing.assert_close(spread.nanmean(1), spread.nan_to_num(0).amax(1), rtol=1e-9, atol=0)


def test_at_the_temperature_only_half_precision_is_lost() -> None:
    """Logits that float16 has exactly: the rest's mass is then right to float32."""
    logits = (normal(20, 1000) * 16).round() / 16
    result = back(largest(1000, 64), logits)
    places = logits.topk(64, dim=1).indices
    assert torch.equal(result.gather(1, places), logits.gather(1, places))
    torch.testing.assert_close(result.double().logsumexp(1), logits.double().logsumexp(1), rtol=0, atol=1e-5)


def rest(logits: Tensor, places: Tensor, temperature: float) -> Tensor:
    return 1 - (logits.double() / temperature).softmax(1).gather(1, places).sum(1)


def test_other_temperatures_misjudge_the_rest_as_jensen_says() -> None:
    """The measured figures of `LargestLogits`' docstring."""
    logits = normal(2000, 1000)
    result, places = back(largest(1000, 64), logits), logits.topk(64, dim=1).indices
    right, found = ({t: rest(values, places, t) for t in (0.5, 1, 2, 4)} for values in (logits, result))
    assert bool((found[4] > right[4]).all())
    assert bool((found[2] > right[2]).all())
    assert bool((found[0.5] < right[0.5]).all())
    figures = [round(float(mass.mean()), 2) for mass in (right[1], found[4], right[4], found[2], right[2])]
    assert figures == pytest.approx([0.33, 0.87, 0.85, 0.75, 0.70], abs=0.011)


def test_no_restored_logit_is_above_a_kept_one() -> None:
    logits = normal(200, 300)
    result = back(largest(300, 20), logits)
    assert torch.equal(result.argmax(1), logits.argmax(1))
    order = result.topk(20, dim=1).indices.sort(1).values
    assert torch.equal(order, logits.topk(20, dim=1).indices.sort(1).values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 7e4, -7e4])
def test_what_float16_cannot_hold_does_not_fit(bad: float) -> None:
    tensor = normal(4, 3, 5)
    tensor[2, 1, 3] = bad
    assert Whole(shape=(3, 5), dtype=torch.float32).encode(tensor).fits.tolist() == [True, True, False, True]
    assert Whole(shape=(3, 5), dtype=torch.float32).encode(tensor.clamp(-65504, 65504).nan_to_num()).fits.all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 7e4])
def test_a_large_logit_that_float16_cannot_hold_does_not_fit(bad: float) -> None:
    logits = normal(3, 40)
    logits[1, 7] = bad
    assert largest(40, 5).encode(logits).fits.tolist() == [True, False, True]


def test_very_negative_logits_vanish_in_the_rest() -> None:
    """A masked class has no mass to lose; only where all the rest are masked is there nothing to restore."""
    logits = normal(2, 40)
    logits[0, logits[0].argmin()] = -math.inf
    logits[1, logits[1].argsort()[:-5]] = -math.inf
    encoded = largest(40, 5).encode(logits)
    assert encoded.fits.tolist() == [True, False]
    result = largest(40, 5).decode(encoded.columns, CPU)
    torch.testing.assert_close(result[0].logsumexp(0), logits[0].logsumexp(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("classes", [2**16, 2**16 + 1])
def test_every_class_can_be_the_largest(classes: int) -> None:
    kept = largest(classes, 2)
    logits = torch.zeros(2, classes)
    logits[0, -1], logits[1, 32_768] = 9, 9
    encoded = kept.encode(logits)
    assert [column.dtype for column in encoded.columns] == [np.dtype(column.dtype) for column in kept.columns]
    assert kept.decode(encoded.columns, CPU).argmax(1).tolist() == [classes - 1, 32_768]
