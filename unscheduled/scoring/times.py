"""Time to target: of a trial, of a study, and of a workload.

trial:    the first evaluation whose validation metric reaches the target
study:    one trial stands for the study, see `RULES`
workload: the median over the studies present; a miss is inf and takes part
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from unscheduled.scoring.errors import LogError, ScoringError
from unscheduled.scoring.logs import VALIDATION, Trial
from unscheduled.scoring.targets import Benchmark, Target


@dataclass(frozen=True)
class Hit:
    """When a target was reached: seconds, steps, and the index of the evaluation."""

    time_sec: float
    steps: float
    index: float


MISS = Hit(time_sec=math.inf, steps=math.inf, index=math.inf)

# Which trial stands for a study: the one with the smallest of these. The documents
# of AlgoPerf say the fastest trial, its code takes the fewest evaluations; ties go
# to the trial with the lowest number.
RULES: dict[str, Callable[[Hit], float]] = {
    "documented": lambda hit: hit.time_sec,
    "official": lambda hit: hit.index,
}


@dataclass(frozen=True)
class Result:
    """What one submission did on one workload; inf where the target was missed.

    Attributes:
      time_sec, steps: median over studies, each by itself.
    """

    submission: str
    workload: str
    time_sec: float
    steps: float
    n_hit: int
    n_studies: int


def first_hit(trial: Trial, target: Target) -> Hit:
    """The first evaluation of `trial` that reaches `target`, else `MISS`.

    Raises:
      LogError: the trial was evaluated, but not by the target's metric.
    """
    if not len(trial.score):
        return MISS
    if target.metric not in trial.validation:
        raise LogError(f"{trial.path}: no column {VALIDATION}{target.metric}.")
    reached = target.reached(trial.validation[target.metric])
    if not reached.any():
        return MISS
    index = int(reached.argmax())
    return Hit(float(trial.score[index]), float(trial.global_step[index]), index)


def study_hit(hits: Sequence[Hit], rule: str = "documented") -> Hit:
    """The hit of the trial that stands for a study, by one of `RULES`.

    Args:
      hits: of the study's trials, ordered by trial number.

    Raises:
      ScoringError: there is no such rule.

    >>> few_evaluations, fast = Hit(30.0, 900, 2), Hit(20.0, 500, 7)
    >>> study_hit([MISS, few_evaluations, fast]).time_sec
    20.0
    >>> study_hit([MISS, few_evaluations, fast], "official").time_sec
    30.0
    """
    if rule not in RULES:
        raise ScoringError(f"Unknown rule {rule!r}: choose from {', '.join(RULES)}.")
    return min(hits, key=RULES[rule])


def workload_results(
    trials: Iterable[Trial], benchmark: Benchmark, rule: str = "documented"
) -> list[Result]:
    """Results of every submission on every workload of `benchmark` it has logs of.

    Args:
      trials: in any order; other workloads are passed over.

    Raises:
      ScoringError: a submission ran a workload in both frameworks.
    """
    runs: dict[tuple[str, str], dict[str, list[Trial]]] = {}
    for trial in sorted(trials, key=lambda trial: trial.key):
        if trial.workload in benchmark.targets:
            studies = runs.setdefault((trial.submission, trial.workload), {})
            studies.setdefault(trial.study, []).append(trial)
    return [
        _result(submission, workload, studies, benchmark.targets[workload], rule)
        for (submission, workload), studies in runs.items()
    ]


def times_matrix(
    results: Iterable[Result], submissions: Sequence[str], workloads: Sequence[str]
) -> np.ndarray:
    """Seconds to target, shape (submissions, workloads); NaN without logs."""
    times_sec = np.full((len(submissions), len(workloads)), np.nan)
    for result in results:
        if result.submission in submissions and result.workload in workloads:
            row = submissions.index(result.submission)
            times_sec[row, workloads.index(result.workload)] = result.time_sec
    return times_sec


def _result(
    submission: str,
    workload: str,
    studies: dict[str, list[Trial]],
    target: Target,
    rule: str,
) -> Result:
    if len({trial.framework for study in studies.values() for trial in study}) > 1:
        raise ScoringError(
            f"{submission} ran {workload} in both frameworks: score them as two "
            "submissions."
        )
    hits = [
        study_hit([first_hit(trial, target) for trial in study], rule)
        for study in studies.values()
    ]
    return Result(
        submission=submission,
        workload=workload,
        time_sec=median(hit.time_sec for hit in hits),
        steps=median(hit.steps for hit in hits),
        n_hit=sum(hit is not MISS for hit in hits),
        n_studies=len(hits),
    )
