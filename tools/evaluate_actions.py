"""What `evaluate.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from densedistill.distill.errors import RequestError
from densedistill.tools.evaluate_curve import check_curve_file, draw_curve
from densedistill.tools.evaluate_output import print_table
from densedistill.tools.evaluate_predictions import score_predictions
from densedistill.tools.evaluate_runs import rescore


def evaluate(options: argparse.Namespace) -> int:
    """Score what `options` names and print the figures."""
    if options.curve is not None:
        check_curve_file(Path(options.curve))
    found = rescore(options) if options.run is not None else score_predictions(options)
    if options.curve is not None and "curve" not in found:
        raise RequestError(f"task {found['task']} on {found['data']} has no curve: leave --curve out.")
    # Before the curve is drawn: should that not be possible, the figures are not lost.
    if options.json:
        print(json.dumps(found, allow_nan=False), flush=True)
    else:
        print_table(found)
    if options.curve is not None:
        draw_curve(
            Path(options.curve), found["curve"], found["metrics"], f"{found['images']} images of {found['data']}"
        )
    return 0
