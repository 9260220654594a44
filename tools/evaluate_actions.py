"""What `evaluate.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import json

from densedistill.tools.evaluate_output import print_table
from densedistill.tools.evaluate_predictions import score_predictions
from densedistill.tools.evaluate_runs import rescore


def evaluate(options: argparse.Namespace) -> int:
    """Score what `options` names and print the figures."""
    found = rescore(options) if options.run is not None else score_predictions(options)
    if options.json:
        print(json.dumps(found, allow_nan=False))
    else:
        print_table(found)
    return 0
