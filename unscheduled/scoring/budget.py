"""Views by budget: how much of it a target took, and how close the misses came."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from unscheduled.benchmark.targets import Benchmark, Target, budgets_sec
from unscheduled.scoring.times import MISS, Study, by_cell


@dataclass(frozen=True)
class Approach:
    """The best value that was seen of a target's metric, also in words."""

    value: float
    short: float  # by what share of the target; below 0 is beyond, NaN: the target is 0
    words: str


@dataclass(frozen=True)
class BudgetUse:
    """What a submission did with a workload's budget; NaN where that is unknown."""

    budget_sec: float
    to_target: float  # share that the median study took, inf for a miss
    run: float  # share that the longest run took, whether it hit or not
    n_hit: int
    n_studies: int
    misses: Approach | None  # the closest; None where there is no finite value


def budget_use(
    studies: Iterable[Study], benchmark: Benchmark, budget_factor: float | None
) -> dict[tuple[str, str], BudgetUse]:
    """How each (submission, workload) used its budget, see `budgets_sec`."""
    found = {}
    for (submission, workload), cell in by_cell(studies).items():
        (sec,) = budgets_sec(benchmark, [workload], budget_factor).tolist()
        run_sec = [s.run_sec for s in cell if not math.isnan(s.run_sec)]
        found[submission, workload] = BudgetUse(
            budget_sec=sec,
            to_target=median(study.hit.time_sec for study in cell) / sec,
            run=max(run_sec, default=math.nan) / sec,
            n_hit=sum(study.hit != MISS for study in cell),
            n_studies=len(cell),
            misses=closest_miss(cell, benchmark.targets[workload]),
        )
    return found


def approach(value: float, target: Target) -> Approach:
    """How close `value` is to `target`.

    >>> approach(0.09, Target("wer", 0.08)).words
    'wer 0.09, 12.5% above 0.08'
    >>> approach(0.5, Target("accuracy", 1.0)).short
    0.5
    """
    above, side = math.nan, "above" if value > target.value else "below"
    place = f"{side} {target.value:g}"
    if target.value:
        above = (value - target.value) / abs(target.value)
        percent = 100 * abs(above)
        place = f"{percent:{'.1f' if percent >= 1 else '.1g'}}% {place}"
    if value == target.value:
        place = f"just {target.value:g}"
    short = above if target.lower_is_better else -above
    return Approach(value, short, f"{target.metric} {value:.6g}, {place}")


def closest_miss(studies: Sequence[Study], target: Target) -> Approach | None:
    """The closest that the studies which missed came to `target`; None without any."""
    best = target.best(np.array([study.best for study in studies if study.hit == MISS]))
    return None if math.isnan(best) else approach(best, target)
