"""Time to target: of a trial, of a study, and of a workload; and how close misses came.

trial:    the first evaluation whose validation metric reaches the target
study:    one trial stands for the study, see `RULES`
workload: the median over the studies present; a miss is inf and takes part
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark, Target, budgets_sec
from unscheduled.scoring.logs import Trial

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class Hit:
    time_sec: float
    steps: float
    index: float  # of the evaluation


MISS = Hit(time_sec=math.inf, steps=math.inf, index=math.inf)

# Which trial stands for a study: the one with the smallest of these. The documents
# of AlgoPerf say the fastest trial, its code takes the fewest evaluations; ties go
# to the trial with the lowest number.
RULES: dict[str, Callable[[Hit], float]] = {
    "documented": lambda hit: hit.time_sec,
    "official": lambda hit: hit.index,
}


@dataclass(frozen=True)
class Course:
    """How a trial went, up to its last evaluation; NaN where it is not known.

    `near_sec` is when what it still lacked was within 5% of the least it ever lacked.
    `lost` is the share of its progress, from the first evaluation to the best, that was
    gone at the last one, 1 if that was not finite; of the logarithm if lower is better.
    """

    end_sec: float = math.nan
    end_steps: float = math.nan
    near_sec: float = math.nan
    lost: float = math.nan


@dataclass(frozen=True)
class Study:
    """One study of a submission on a workload; NaN is a figure that is not known.

    `hit`, `step_sec` up to it and `course` are of the trial that stands for the study;
    where all missed, the median over whole trials and the course of the closest one.
    """

    submission: str
    workload: str
    study: str
    framework: str
    hit: Hit
    n_hit: int
    n_trials: int
    best: float = math.nan  # value of the target's metric in any of its trials
    run_sec: float = math.nan  # submission time of its longest trial
    step_sec: float = math.nan
    course: Course = Course()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As `Trial.key`, without the trial's number."""
        return (self.submission, self.workload, self.framework, self.study)


Cells = dict[tuple[str, str], list[Study]]  # (submission, workload) -> its studies


@dataclass(frozen=True)
class Result:
    """What one submission did on one workload: medians, inf where it missed."""

    submission: str
    workload: str
    time_sec: float
    steps: float
    n_hit: int
    n_studies: int


def first_hit(trial: Trial, target: Target) -> Hit:
    """The first evaluation of `trial` that reaches `target`, else `MISS`."""
    reached = target.reached(metric_values(trial, target))
    if not reached.any():
        return MISS
    index = int(reached.argmax())
    return Hit(float(trial.score[index]), float(trial.global_step[index]), index)


def study_results(
    trials: Iterable[Trial], benchmark: Benchmark, rule: str = "documented"
) -> list[Study]:
    """The studies on the workloads of `benchmark`, by one of `RULES` and in order."""
    scored = [trial for trial in trials if trial.workload in benchmark.targets]
    scored.sort(key=lambda trial: trial.key)
    studies = grouped(scored, lambda trial: trial.key[:-1])
    return [
        _study(study, benchmark.targets[workload], rule)
        for (_, workload, *_), study in studies.items()
    ]


def workload_results(studies: Iterable[Study]) -> list[Result]:
    """The median over the studies of each submission on each workload.

    Raises:
      UserError: a submission ran a workload in both frameworks.
    """
    results = []
    for (submission, workload), cell in by_cell(studies).items():
        if len({study.framework for study in cell}) > 1:
            raise UserError(
                f"{submission} ran {workload} in both frameworks: score them as two "
                "submissions."
            )
        time_sec = median(study.hit.time_sec for study in cell)
        steps = median(study.hit.steps for study in cell)
        n_hit = sum(study.hit is not MISS for study in cell)
        results.append(Result(submission, workload, time_sec, steps, n_hit, len(cell)))
    return results


def by_cell(studies: Iterable[Study]) -> Cells:
    """Studies by submission and workload, in an order that is that of no file."""
    cells = grouped(studies, lambda study: (study.submission, study.workload))
    return {
        key: sorted(cells[key], key=lambda s: (s.hit.time_sec, s.hit.steps, s.study))
        for key in sorted(cells)
    }


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def times_matrix(
    results: Iterable[Result], submissions: Sequence[str], workloads: Sequence[str]
) -> np.ndarray:
    """Seconds to target, shape (submissions, workloads); NaN without logs."""
    times_sec = {(r.submission, r.workload): r.time_sec for r in results}
    rows = [[times_sec.get((s, w), math.nan) for w in workloads] for s in submissions]
    return np.array(rows, float).reshape(len(submissions), len(workloads))


def course(trial: Trial, target: Target) -> Course:
    if not len(trial.score):
        return Course()
    end_sec, end_steps = float(trial.score[-1]), float(trial.global_step[-1])
    values = metric_values(trial, target)
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return Course(end_sec, end_steps, lost=1.0)
    sign = 1 if target.lower_is_better else -1
    lacks = np.maximum(sign * (values[finite] - target.value), 0)
    near = finite[(lacks <= 1.05 * lacks.min()).argmax()]
    lost = 1.0
    if np.isfinite(values[-1]):
        points = [float(values[finite[0]]), target.best(values), float(values[-1])]
        if target.lower_is_better and points[1] > 0:
            points = [math.log(point) for point in points]  # np.log: differs by machine
        first, best, last = points
        lost = abs(best - last) / abs(best - first) if best != first else 0.0
    return Course(end_sec, end_steps, float(trial.score[near]), lost)


def metric_values(trial: Trial, target: Target) -> np.ndarray:
    """The target's metric; NaN where the trial was not evaluated by it."""
    return trial.validation.get(target.metric, np.full(len(trial.score), np.nan))


def _study(trials: Sequence[Trial], target: Target, rule: str) -> Study:
    hits = [first_hit(trial, target) for trial in trials]
    hit = min(hits, key=RULES[rule])
    stands = trials[hits.index(hit)]
    best = target.best(
        np.concatenate([metric_values(trial, target) for trial in trials])
    )
    ran = [trial for trial in trials if len(trial.score)]
    points = [(hit.time_sec, hit.steps)]
    if hit is MISS:
        of_best = (t for t in trials if (metric_values(t, target) == best).any())
        stands = next(of_best, stands)
        points = [(t.score[-1], t.global_step[-1]) for t in ran]
    submission, workload, framework, study, _ = stands.key
    return Study(
        submission=submission,
        workload=workload,
        study=study,
        framework=framework,
        hit=hit,
        n_hit=sum(hit is not MISS for hit in hits),
        n_trials=len(trials),
        best=best,
        run_sec=max((float(t.score.max()) for t in ran), default=math.nan),
        step_sec=float(median([t / n for t, n in points if n > 0] or [math.nan])),
        course=course(stands, target),
    )


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
