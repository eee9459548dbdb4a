"""How far other studies could have moved a figure: confidence intervals over studies.

The studies of a submission on a workload are taken as independent draws from one
distribution; a miss is inf and takes part, so an interval may end at inf.

exact:     for medians; covers with at least the stated probability.
bootstrap: for ratios and scores, by percentiles. Its level is nominal: 95% with 3
           studies was measured to cover 88 to 98%, see docs/evidence/uncertainty.md.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark
from unscheduled.scoring import profiles
from unscheduled.scoring.leaderboard import rank, ratios_after_filters
from unscheduled.scoring.times import Study, by_cell, workload_results

LEVEL = 0.95
N_RESAMPLES = 5000
_CHUNK = 250  # resamples scored at once: bounds the memory


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included; covers with the probability `level`."""

    low: float
    high: float
    level: float
    kind: Literal["exact", "bootstrap"]


@dataclass(frozen=True)
class ResultIntervals:
    """Exact intervals for the medians of a `Result`; None where one study was run."""

    time_sec: Interval | None
    steps: Interval | None


@dataclass(frozen=True)
class ScoreInterval:
    """What resampling the studies of the whole group does to a submission's score.

    There is no interval where one of its workloads was run in one study only.
    """

    submission: str
    score: float
    interval: Interval | None
    p_best: float  # share of the resamples that it leads, or its part of a tie


def median_coverage(n: int, k: int = 1) -> float:
    """P([x_(k), x_(n+1-k)] of n draws covers the median) = 1 - 2 P(Bin(n, 1/2) < k).

    Exact for a continuous distribution, a lower bound for any other. By hand: scipy is
    off by some ulp, and half a second to import.

    >>> [median_coverage(n) for n in (1, 2, 3, 5)]
    [0.0, 0.5, 0.75, 0.9375]
    """
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The shortest [x_(k), x_(n+1-k)] that covers the median at `level`, exactly.

    Where none does, as with up to 5 studies, it is [min, max] with the level of that.

    >>> median_interval([30.0, 10.0, math.inf])
    Interval(low=10.0, high=inf, level=0.75, kind='exact')
    """
    n = len(values)
    if n < 2:
        return None
    enough = [k for k in range(2, n // 2 + 1) if median_coverage(n, k) >= level]
    k = max(enough, default=1)
    ordered = sorted(values)
    return Interval(ordered[k - 1], ordered[-k], median_coverage(n, k), "exact")


def result_intervals(
    studies: Iterable[Study], level: float = LEVEL
) -> dict[tuple[str, str], ResultIntervals]:
    return {
        key: ResultIntervals(
            median_interval([study.hit.time_sec for study in cell], level),
            median_interval([study.hit.steps for study in cell], level),
        )
        for key, cell in by_cell(studies).items()
    }


def percentile_interval(samples: np.ndarray, level: float = LEVEL) -> Interval:
    """What is left of resampled figures, shape (R,), less (1 - level)/2 at each end.

    NaN may be anything: it counts as lowest at the lower end and as highest at the
    upper, which `np.quantile` and `scipy.stats.bootstrap` can't do.

    >>> percentile_interval(np.arange(100.0), 0.9)
    Interval(low=5.0, high=94.0, level=0.9, kind='bootstrap')
    """
    if not 0 < level < 1:
        raise UserError(f"level is {level:g}: choose between 0 and 1, as in 0.95.")
    cut = math.floor((1 - level) / 2 * len(samples) + 1e-9)  # 0.05 * 100 is 5
    unknown = np.isnan(samples)
    low = np.sort(np.where(unknown, -np.inf, samples))[cut]
    high = np.sort(np.where(unknown, np.inf, samples))[-1 - cut]
    return Interval(float(low), float(high), level, "bootstrap")


def resampled_medians(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Medians, shape (R, ...), of `values` (..., n) without NaN drawn R times."""
    drawn = np.sort(np.take_along_axis(values[None], draws, axis=-1), axis=-1)
    n = values.shape[-1]
    return (drawn[..., (n - 1) // 2] + drawn[..., n // 2]) / 2


def resample_scores(
    studies: Sequence[Study],
    benchmark: Benchmark,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Scores, shape (n_resamples, S) in alphabetical order, of resampled studies.

    Those of each cell are drawn with replacement, as many as there are, independently.
    """
    cells = by_cell(study for study in studies if study.workload in benchmark.workloads)
    sizes = sorted({len(cell) for cell in cells.values()})
    submissions = sorted({study.submission for study in studies})
    run = {workload for _, workload in cells}
    held_out_run = [workload for workload in benchmark.held_out if workload in run]
    workloads, n_base = [*benchmark.base, *held_out_run], len(benchmark.base)
    rng, scores = np.random.default_rng(seed), []
    for start in range(0, n_resamples, _CHUNK):
        n_drawn = min(_CHUNK, n_resamples - start)
        times_sec = np.full((n_drawn, len(submissions), len(workloads)), np.nan)
        for n in sizes:
            keys = [key for key, cell in cells.items() if len(cell) == n]
            values = [[study.hit.time_sec for study in cells[key]] for key in keys]
            draws = rng.integers(n, size=(n_drawn, len(keys), n), dtype=np.uint16)
            rows = [submissions.index(submission) for submission, _ in keys]
            columns = [workloads.index(workload) for _, workload in keys]
            times_sec[:, rows, columns] = resampled_medians(np.array(values), draws)
        base_sec, held_out_sec = np.split(times_sec, [n_base], axis=-1)
        ratios = ratios_after_filters(base_sec, held_out_sec, benchmark, held_out_run)
        scores.append(profiles.scores_of_ratios(ratios, n_base))
    return np.concatenate(scores)


def score_intervals(
    studies: Sequence[Study],
    benchmark: Benchmark,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, ScoreInterval]:
    board = rank(workload_results(studies), benchmark)
    scores = {row.submission: row.score for row in board.rows}
    if not scores:
        raise UserError("There are no studies to resample.")
    resampled = resample_scores(studies, benchmark, n_resamples, seed)
    best = resampled == resampled.max(axis=1, keepdims=True)
    p_best = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    cells, found = by_cell(studies).items(), {}
    once = {key for key, cell in cells if len(cell) < 2}
    for i, name in enumerate(sorted(scores)):
        interval = None
        if not any((name, workload) in once for workload in benchmark.workloads):
            interval = percentile_interval(resampled[:, i], level)
        found[name] = ScoreInterval(name, scores[name], interval, float(p_best[i]))
    return found
