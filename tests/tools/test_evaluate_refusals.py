"""evaluate.py: flags that belong to the other of its two forms are refused, before anything is opened."""

from __future__ import annotations

import pytest

from densedistill.tools import evaluate

SR = ("--task", "sr", "--predictions", "p")
EDGES = ("--task", "edges", "--predictions", "p")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run", "nowhere", "--scale", "2"], "--scale 2 is for --predictions"),
        ([*SR, "--device", "cuda"], "--device cuda belongs to a run"),
        ([*EDGES, "--device", "cuda:1"], "--device cuda:1 belongs to a run"),
        ([*EDGES, "--data", "folder", "--data-root", ".", "--split", "val"], "leave --split out"),
        ([*SR, "--data", "folder", "--data-root", ".", "--scale", "0"], "--scale is 0: give 1 or more"),
    ],
)
def test_a_flag_of_the_other_form(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
