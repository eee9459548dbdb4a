"""The metrics of the benchmark: which way is better, and what values there are."""

import math
from typing import NamedTuple


class Metric(NamedTuple):
    """A metric's direction, and the range that its values can be in."""

    lower_is_better: bool
    low: float = -math.inf
    high: float = math.inf


METRICS = {
    "loss": Metric(True),
    "ce_loss": Metric(True),
    "ctc_loss": Metric(True),
    "l1_loss": Metric(True),
    "error_rate": Metric(True, 0.0, 1.0),
    "wer": Metric(True, 0.0),
    "ppl": Metric(True, 0.0),
    "accuracy": Metric(False, 0.0, 1.0),
    "bleu": Metric(False, 0.0, 100.0),
    "mean_average_precision": Metric(False, 0.0, 1.0),
    "ssim": Metric(False, -1.0, 1.0),
}
