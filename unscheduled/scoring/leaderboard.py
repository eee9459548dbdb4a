"""Rank a group of submissions: the scores depend on who is in the group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark, budgets_sec
from unscheduled.scoring import profiles
from unscheduled.scoring.times import Result, times_matrix


@dataclass(frozen=True)
class Row:
    """A submission's place.

    The time ratio is the geometric mean of time over the baseline's time, below 1 is
    faster: NaN where it is not known, None where no baseline was named.
    """

    submission: str
    score: float
    n_hit: int  # base workloads whose median study reached the target
    time_ratio: float | None
    both_ratio: float | None  # the same over the `n_both` workloads that both reached
    n_both: int | None
    ratios: tuple[float, ...]  # to the fastest by base workload, filtered; inf: a miss
    profile: tuple[float, ...]  # share of the base workloads within `profiles.TAU`


@dataclass(frozen=True)
class Leaderboard:
    """Submissions, best score first, and the workloads that have logs.

    The other base workloads count as missed, the other held-out ones disqualify nobody.
    """

    rows: tuple[Row, ...]
    base_run: tuple[str, ...]
    held_out_run: tuple[str, ...]

    @property
    def workloads_run(self) -> tuple[str, ...]:
        return (*self.base_run, *self.held_out_run)


def rank(
    results: Sequence[Result],
    benchmark: Benchmark,
    baseline: str | None = None,
    budget_factor: float | None = None,
) -> Leaderboard:
    """Score the submissions of `results` against one another.

    Times are compared with those of `baseline`, a miss as the budget by `budget_factor`
    and one second; UserError is raised where there is no such submission.
    """
    submissions = sorted({result.submission for result in results})
    if baseline is not None and baseline not in submissions:
        choices = ", ".join(submissions)
        raise UserError(f"Unknown baseline {baseline!r}: choose from {choices}.")
    run = {result.workload for result in results}
    held_out_run = tuple(w for w in benchmark.held_out if w in run)
    base_sec = times_matrix(results, submissions, benchmark.base)
    held_out_sec = times_matrix(results, submissions, held_out_run)
    ratios = ratios_after_filters(base_sec, held_out_sec, benchmark, held_out_run)
    profile = profiles.performance_profile(ratios, len(benchmark.base))
    scores = profiles.profile_scores(profile).tolist()
    against = [(None, None, None)] * len(submissions)
    if baseline is not None:
        miss_sec = budgets_sec(benchmark, benchmark.base, budget_factor) + 1
        baseline_sec = base_sec[submissions.index(baseline)]
        against = [_against(times, baseline_sec, miss_sec) for times in base_sec]
    n_hit = np.isfinite(base_sec).sum(axis=1).tolist()
    on_base = [tuple(row.tolist()) for row in ratios]
    shares = [tuple(row.tolist()) for row in profile]
    rows = [
        Row(name, scores[i], n_hit[i], *against[i], on_base[i], shares[i])
        for i, name in enumerate(submissions)
    ]
    best_first = sorted(rows, key=lambda row: (-row.score, row.submission))
    base_run = tuple(w for w in benchmark.base if w in run)
    return Leaderboard(tuple(best_first), base_run, held_out_run)


def ratios_after_filters(
    base_sec: np.ndarray,
    held_out_sec: np.ndarray,
    benchmark: Benchmark,
    held_out_run: Sequence[str],
) -> np.ndarray:
    """Time over the group's fastest on each base workload, shape (..., S, B)."""
    base_of = [benchmark.base.index(benchmark.held_out[w]) for w in held_out_run]
    return profiles.ratios_to_best(
        profiles.eligible_times(base_sec, held_out_sec, np.array(base_of, int))
    )


def _against(
    times_sec: np.ndarray, baseline_sec: np.ndarray, miss_sec: np.ndarray
) -> tuple[float, float, int]:
    run = ~(np.isnan(times_sec) & np.isnan(baseline_sec))
    both = np.isfinite(times_sec) & np.isfinite(baseline_sec)
    time_ratio, both_ratio = (
        profiles.mean_time_ratio(times_sec[w], baseline_sec[w], miss_sec[w])
        for w in (run, both)
    )
    return time_ratio, both_ratio, int(both.sum())
