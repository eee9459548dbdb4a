"""Views by budget: how much of it a target took, and how close the misses came."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from unscheduled.benchmark.targets import Benchmark, Target, budgets_sec
from unscheduled.scoring.times import MISS, Study
from unscheduled.scoring.uncertainty import by_cell


@dataclass(frozen=True)
class Approach:
    """The best that was seen of a target's metric.

    Attributes:
      value: of the metric.
      short: how far that is from the target, as a share of the target: above 0 is
        still to go, below 0 is beyond it, whatever the metric's direction; NaN where
        the target is 0.
      words: the same as a phrase, such as "accuracy 0.53, 31.6% below 0.77431".
    """

    value: float
    short: float
    words: str


@dataclass(frozen=True)
class BudgetUse:
    """What a submission did with a workload's budget; shares are 1 for all of it.

    Attributes:
      budget_sec: of a run; NaN where it is unknown, and then the shares are too.
      to_target: share that the median study took to the target, inf for a miss.
      run: share that the longest run took, whether it reached the target or not.
      n_hit, n_studies: studies that reached the target, of all.
      misses: the closest of the studies that did not; None where all did, or none of
        them has a finite value of the metric.
    """

    budget_sec: float
    to_target: float
    run: float
    n_hit: int
    n_studies: int
    misses: Approach | None


def budget_use(
    studies: Iterable[Study], benchmark: Benchmark, budget_factor: float | None
) -> dict[tuple[str, str], BudgetUse]:
    """How each (submission, workload) used its budget.

    Args:
      budget_factor: as in `budgets_sec`.
    """
    return {
        (submission, workload): _budget_use(
            cell,
            benchmark.targets[workload],
            float(budgets_sec(benchmark, [workload], budget_factor)[0]),
        )
        for (submission, workload), cell in by_cell(studies).items()
    }


def approach(value: float, target: Target) -> Approach:
    """How close `value` is to `target`.

    >>> approach(0.09, Target("wer", 0.08)).words
    'wer 0.09, 12.5% above 0.08'
    >>> approach(0.5, Target("accuracy", 1.0)).short
    0.5
    """
    above = (value - target.value) / abs(target.value) if target.value else math.nan
    side = "above" if value > target.value else "below"
    percent = 100 * abs(above)
    digits = ".1f" if percent >= 1 else ".1g"
    distance = f"{percent:{digits}}% " if target.value else ""
    place = f"{distance}{side} {target.value:g}"
    if value == target.value:
        place = f"just {target.value:g}"
    return Approach(
        value=value,
        short=above if target.lower_is_better else -above,
        words=f"{target.metric} {value:.6g}, {place}",
    )


def closest_miss(studies: Iterable[Study], target: Target) -> Approach | None:
    """The closest that the studies which missed came to `target`; None without any."""
    values = [study.best for study in studies if study.hit == MISS]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return None
    return approach(min(values) if target.lower_is_better else max(values), target)


def _budget_use(studies: Sequence[Study], target: Target, sec: float) -> BudgetUse:
    run_sec = [s.run_sec for s in studies if not math.isnan(s.run_sec)]
    # Of nothing or of what is unknown there is no share.
    share = 1 / sec if sec > 0 else math.nan
    return BudgetUse(
        budget_sec=sec,
        to_target=median(study.hit.time_sec for study in studies) * share,
        run=max(run_sec, default=math.nan) * share,
        n_hit=sum(study.hit != MISS for study in studies),
        n_studies=len(studies),
        misses=closest_miss(studies, target),
    )
