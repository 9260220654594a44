"""What may be concluded from figures over seeds: intervals, tests, effect sizes, and a verdict in words."""

from densedistill.distill.statistics.bootstrap import bootstrap_interval
from densedistill.distill.statistics.comparison import Comparison, compare
from densedistill.distill.statistics.contrasts import gain_name, with_gains
from densedistill.distill.statistics.effects import hedges_g, paired_effect
from densedistill.distill.statistics.samples import Interval, Spread, paired_differences, spread
from densedistill.distill.statistics.significance import TestOutcome, holm, paired_t, welch_t
from densedistill.distill.statistics.verdict import Verdict, give_verdict

__all__ = [
    "Comparison",
    "Interval",
    "Spread",
    "TestOutcome",
    "Verdict",
    "bootstrap_interval",
    "compare",
    "gain_name",
    "give_verdict",
    "hedges_g",
    "holm",
    "paired_differences",
    "paired_effect",
    "paired_t",
    "spread",
    "welch_t",
    "with_gains",
]
