"""What is told of an error that is not ours."""

from __future__ import annotations

import pytest

from densedistill.distill.errors import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("cannot open it", "cannot open it"),
        ("\n  cannot open it.\nsecond", "cannot open it"),
        ("", "ValueError"),
        (" \n ", "ValueError"),
    ],
)
def test_first_line(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line


def test_of_a_compilers_error_its_cause_is_told() -> None:
    error = RuntimeError("backend='inductor' raised:\n")
    error.inner_exception = KeyError()  # type: ignore[attr-defined]
    assert first_line(error) == "KeyError"
