"""How figures are written for people."""

from __future__ import annotations

import pytest

from densedistill.distill import wording


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (61.9, "%", "61.90 %"),
        (28.306, "dB", "28.31 dB"),
        (0.41234, "", "0.4123"),
        (-0.5, "dB", "−0.50 dB"),
        (None, "dB", "–"),
        (float("nan"), "", "nan"),
    ],
)
def test_figure_has_the_digits_of_its_unit(value: float | None, unit: str, written: str) -> None:
    assert wording.figure(value, unit) == written


def test_figure_signed_and_bare() -> None:
    assert wording.figure(0.03, signed=True) == "+0.0300"
    assert wording.figure(28.3, "dB", bare=True) == "28.30"
    assert wording.difference(1.2, "%") == "+1.20 points"


@pytest.mark.parametrize(
    ("count", "written"),
    [(929_628, "929.6 k"), (6_628_945, "6.63 M"), (24_436_369, "24.4 M"), (940, "940"), (None, "–")],
)
def test_parameters(count: int | None, written: str) -> None:
    assert wording.parameters(count) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(3.44, "3.4 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7629, "2 h 07 min"), (None, "–")],
)
def test_duration(seconds: float | None, written: str) -> None:
    assert wording.duration(seconds) == written


def test_shares_and_memory() -> None:
    assert wording.share(0.397) == "39.7 %"
    assert wording.share(-0.273) == "−27.3 %"
    assert wording.memory(512.4) == "512 MB"
    assert wording.memory(5210.0) == "5.2 GB"


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (12 * 10**15, "12,000.0 TB"),
    ],
)
def test_size(count: int, written: str) -> None:
    assert wording.size(count) == written


def test_memory_in_binary_units() -> None:
    assert wording.gibibytes(5 * 2**29) == "2.5 GiB"
    assert wording.gibibytes(5 * 2**20, digits=2) == "0.00 GiB"
