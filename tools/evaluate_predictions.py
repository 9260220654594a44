"""Predictions of any origin, as images in a folder."""

from __future__ import annotations

import argparse
from typing import Any

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.tools.evaluate_predictions_edges import score_edges
from densedistill.tools.evaluate_predictions_sr import score_super_resolution

FORMS = {"sr": score_super_resolution, "edges": score_edges}


def score_predictions(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the images in a folder.

    Raises:
        RequestError: the task has no such form, or a prediction is missing or of another size.
        DataError: an image or an annotation is missing or unreadable.
    """
    if options.task not in FORMS:
        raise RequestError(unknown_name("task of --predictions", str(options.task), FORMS))
    for given, name in ((options.arm, "--arm"), (options.tta, "--tta")):
        if given is not None:
            raise RequestError(f"{name} belongs to a run: leave it out beside --predictions.")
    if options.device not in ("auto", "cpu"):
        raise RequestError(
            f"--device {options.device} belongs to a run: leave it out beside --predictions, which the CPU scores."
        )
    return FORMS[options.task](options)
