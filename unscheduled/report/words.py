"""Figures in words, as the page, its charts and the figures for papers say them."""

import math

from unscheduled.benchmark.targets import Target
from unscheduled.report.model import Cell, Run, on_axis
from unscheduled.scoring.times import approach
from unscheduled.scoring.uncertainty import Interval

TAU = "time over the fastest (tau)"
SHARE = "share of base workloads"
AXES = {"seconds": "submission time, seconds", "steps": "steps"}


def number(value: float, digits: int = 4) -> str:
    """Enough digits to tell runs apart.

    >>> number(57674.3), number(1321.456), number(0.28098), number(math.nan)
    ('57,674', '1,321', '0.281', 'unknown')
    """
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "never"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """Of a share.

    >>> percent(0.256), percent(math.nan), percent(None)
    ('26%', 'unknown', 'n/a')
    """
    if share is None:
        return "n/a"
    return "unknown" if math.isnan(share) else f"{share:.0%}"


def interval(found: Interval | None) -> str:
    """Of a median, as in `1,310 to 1,402 (94%)`."""
    if found is None:
        return "from one study"
    return f"{number(found.low)} to {number(found.high)} ({100 * found.level:.0f}%)"


def missed(best: float, target: Target) -> str:
    """How a miss is told: with how close it came.

    >>> missed(0.71, Target("accuracy", 0.72))
    'missed, accuracy 0.71, 1.4% below 0.72'
    """
    if math.isnan(best):
        return "missed, never evaluated to a finite value"
    return f"missed, {approach(best, target).words}"


def to_target(cell: Cell, target: Target, axis: str = "seconds") -> str:
    if cell.missed:
        best = cell.use.misses.value if cell.use.misses else math.nan
        return missed(best, target)
    unit = "s" if axis == "seconds" else "steps"
    return f"{number(on_axis(axis, cell.result))} {unit}"


def outcome(run: Run, target: Target) -> str:
    hit = f"reached at {number(run.hit.time_sec)} s"
    return hit if run.reached else missed(run.best, target)
