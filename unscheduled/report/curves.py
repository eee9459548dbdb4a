"""The target's metric over a trial, thinned to what a page can hold."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unscheduled.report.styles import Style
from unscheduled.scoring.targets import Target
from unscheduled.scoring.times import Hit

MIN_POINTS = 20  # of one curve


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's metric during one trial, thinned.

    Attributes:
      name: says which trial it was, with its submission.
      time_sec, steps, values: shape (n,); a value is finite or NaN.
      hit_value: of the metric at the hit; NaN for a miss.
      stands: whether the trial stands for its study, as the only one, by the rule, or
        where all missed as the one that came closest.
    """

    submission: str
    name: str
    style: Style
    time_sec: np.ndarray
    steps: np.ndarray
    values: np.ndarray
    hit: Hit
    hit_value: float
    stands: bool


def curve_limit(lengths: Sequence[int], max_points: int) -> int | None:
    """Points a curve that keep all curves within `max_points`; None: all fit.

    >>> curve_limit([500, 500], 1000), curve_limit([500, 500], 100)
    (None, 50)
    """
    if sum(lengths) <= max_points:
        return None
    return max(MIN_POINTS, max_points // len(lengths))


def thinned(n: int, limit: int | None, keep: Iterable[float]) -> np.ndarray:
    """Indices of the points of a curve of `n` that are drawn.

    All of them, or `limit` at equal distances, first and last included; and in any
    case those of `keep`: the hit and the best value are never left out.

    >>> thinned(9, 3, keep=[5]).tolist()
    [0, 4, 5, 8]
    """
    if limit is None or n <= limit:
        return np.arange(n)
    even = np.linspace(0, n - 1, limit).round()
    kept = [index for index in keep if math.isfinite(index)]
    return np.unique([*even, *kept]).astype(int)


def window(curves: Sequence[Curve], target: Target) -> tuple[float, float]:
    """The part of the metric's axis that holds the target and the ends of training.

    From what a typical curve has left behind after a fifth of its evaluations (the
    median over curves of that quantile) to the best value of all, and the target.
    """
    values = [c.values[np.isfinite(c.values)] for c in curves]
    values = [v for v in values if len(v)]
    if not values:
        return target.value, target.value
    share = 0.8 if target.lower_is_better else 0.2
    start = float(np.median([np.quantile(v, share) for v in values]))
    ends = (start, target.best(np.concatenate(values)), target.value)
    margin = 0.06 * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin
