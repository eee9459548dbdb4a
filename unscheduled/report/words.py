"""Figures in words, as the page, its charts and the figures for papers say them."""

import math

from unscheduled.benchmark.targets import Target
from unscheduled.report.model import Cell, Entry, Run
from unscheduled.scoring.uncertainty import Interval

AXES = {"seconds": "submission time, seconds", "steps": "steps"}


def number(value: float, digits: int = 4) -> str:
    """Enough digits to tell runs apart, without an exponent where that is short.

    >>> number(57674.3), number(1321.456), number(0.28098), number(math.nan)
    ('57,674', '1,321', '0.281', 'unknown')
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "never"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def amount(value: float, axis: str) -> str:
    """Of seconds or steps, with its unit, as in `1,321 s`."""
    unit = "s" if axis == "seconds" else "steps"
    return f"{number(value)} {unit}" if math.isfinite(value) else number(value)


def interval(of: Interval | None) -> str:
    """Of a median, as in `1,310 to 1,402 (94%)`; of one study there is none."""
    if of is None:
        return "from one study"
    return f"{number(of.low)} to {number(of.high)} ({100 * of.level:.0f}%)"


def missed(best: float, target: Target) -> str:
    """How a miss is told: with how far it came, in as many digits as show that.

    >>> missed(0.71, Target("accuracy", 0.72)), missed(0.71999, Target("ssim", 0.72))
    ('missed, best 0.71 of 0.72', 'missed, best 0.71999 of 0.72')
    """
    if math.isnan(best):
        return "missed, never evaluated to a finite value"
    for digits in range(4, 18):
        told = f"{best:.{digits}g}"
        if told != f"{target.value:.{digits}g}":
            break
    return f"missed, best {told} of {target.value:.{digits}g}"


def to_target(cell: Cell, target: Target, axis: str = "seconds") -> str:
    """A cell's median, or its miss."""
    if cell.missed:
        best = cell.use.misses.value if cell.use.misses else math.nan
        return missed(best, target)
    return amount(cell.median(axis), axis)


def outcome(run: Run, target: Target) -> str:
    """How a trial ended."""
    if math.isfinite(run.hit.time_sec):
        return f"reached at {amount(run.hit.time_sec, 'seconds')}"
    return missed(run.best, target)


def score(entry: Entry) -> str:
    return f"{entry.row.score:.4f}"


def score_interval(entry: Entry) -> str:
    """Of a score; none where a workload was run in one study only."""
    of = entry.interval.interval
    return "from one study" if of is None else f"{of.low:.3f} to {of.high:.3f}"
