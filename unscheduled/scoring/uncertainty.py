"""How far other studies could have moved a figure: intervals over studies.

The studies of a submission on a workload are taken as independent draws, alike in
distribution; a miss is inf and takes part, so an interval may end at inf. Nothing here
speaks of other hardware, other workloads, or of what all the studies share.

Two kinds of interval, see docs/evidence/uncertainty.md:

exact:     between two order statistics of the studies; for medians. It covers the
           median with at least the probability it states, whatever the distribution.
bootstrap: the middle of what resamples of the studies give (percentile method); for
           ratios and scores, which have no exact interval. Its level is nominal: with 3
           studies an interval of 95% was measured to cover from 88 to 98%.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    """From `low` to `high`, both included.

    Attributes:
      level: the probability that it covers: at least this where `kind` is exact, only
        nominally where it is bootstrap.
    """

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

    Attributes:
      score: as ranked.
      interval: bootstrap; None where one of its workloads was run in one study only.
      p_best: share of the resamples in which it has the highest score; those that tie
        share a resample.
    """

    submission: str
    score: float
    interval: Interval | None
    p_best: float


@dataclass(frozen=True, eq=False)
class ScoreSamples:
    """Scores of a group, resampled.

    Attributes:
      submissions: in alphabetical order.
      scores: as ranked, shape (S,).
      resampled: shape (n_resamples, S).
    """

    submissions: tuple[str, ...]
    scores: np.ndarray
    resampled: np.ndarray


def median_coverage(n: int, k: int = 1) -> float:
    """Probability that [x_(k), x_(n+1-k)] of n independent draws covers the median.

        1 - 2 P(Bin(n, 1/2) < k); for [min, max] that is 1 - 2 * 0.5**n

    It is exact for a continuous distribution and a lower bound for any other. By hand,
    as `scipy.stats.binom.cdf` is off by some ulp, and half a second to import.

    >>> [median_coverage(n) for n in (1, 2, 3, 5)]
    [0.0, 0.5, 0.75, 0.9375]
    """
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The shortest [x_(k), x_(n+1-k)] that covers the median at `level`, exactly.

    Up to 5 studies no such interval reaches 0.95; it is then [min, max] with what it
    has. The ends of a percentile bootstrap are the same ones there, by another name.

    Args:
      values: of n studies, inf where one missed.

    Returns:
      None for one study, about whose like nothing is known.

    >>> median_interval([30.0, 10.0, math.inf])
    Interval(low=10.0, high=inf, level=0.75, kind='exact')
    """
    _check_level(level)
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
    """Intervals for the medians of each (submission, workload)."""
    return {
        key: ResultIntervals(
            median_interval([study.hit.time_sec for study in cell], level),
            median_interval([study.hit.steps for study in cell], level),
        )
        for key, cell in by_cell(studies).items()
    }


def percentile_interval(samples: np.ndarray, level: float = LEVEL) -> Interval:
    """What is left of resampled figures, shape (R,), less (1 - level)/2 at each end.

    A figure that is not known in a resample, NaN, may be anything: it counts as lowest
    at the lower end and as highest at the upper end, which `np.quantile` and
    `scipy.stats.bootstrap` have no way to say.

    >>> percentile_interval(np.arange(100.0), 0.9)
    Interval(low=5.0, high=94.0, level=0.9, kind='bootstrap')
    """
    _check_level(level)
    cut = math.floor((1 - level) / 2 * len(samples) + 1e-9)  # 0.05 * 100 is 5
    ends = [
        np.sort(np.where(np.isnan(samples), unknown, samples))
        for unknown in (-np.inf, np.inf)
    ]
    return Interval(
        float(ends[0][cut]), float(ends[1][-1 - cut]), level, kind="bootstrap"
    )


def resampled_medians(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The median of each resample.

    Args:
      values: of n studies each, without NaN, shape (..., n).
      draws: which n studies each of the R resamples has, shape (R, ..., n).

    Returns:
      Shape (R, ...).

    >>> resampled_medians(np.array([7.0, 9.0, 8.0]), np.array([[0, 1, 2], [1, 1, 0]]))
    array([8., 9.])
    """
    order = np.argsort(values, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1)[None].astype(draws.dtype)
    drawn = np.sort(np.take_along_axis(ranks, draws, axis=-1), axis=-1)
    n = values.shape[-1]
    ordered = np.sort(values, axis=-1)[None]
    low, high = (
        np.take_along_axis(ordered, drawn[..., [middle]], axis=-1)[..., 0]
        for middle in ((n - 1) // 2, n // 2)
    )
    return (low + high) / 2


def resample_scores(
    studies: Sequence[Study],
    benchmark: Benchmark,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> ScoreSamples:
    """Rank the whole group anew for each resample of everyone's studies.

    Each submission's studies on each workload, held-out ones included, are drawn with
    replacement, as many as there are; all cells independently and at the same time.
    A cell with one study stays as it is.

    Raises:
      UserError: there are no studies or no resamples, or a submission ran a
        workload in both frameworks.
    """
    check_resamples(n_resamples)
    board = rank(workload_results(studies), benchmark)
    if not board.rows:
        raise UserError("There are no studies to resample.")
    ranked = {row.submission: row.score for row in board.rows}
    workloads = (*benchmark.base, *board.held_out_run)
    cells = {k: v for k, v in by_cell(studies).items() if k[1] in workloads}
    n_base = len(benchmark.base)
    rng = np.random.default_rng(seed)
    submissions = tuple(sorted(ranked))
    chunks = []
    for start, end in pairwise([*range(0, n_resamples, _CHUNK), n_resamples]):
        times_sec = _resample_times(cells, submissions, workloads, end - start, rng)
        base_sec, held_out_sec = np.split(times_sec, [n_base], axis=-1)
        ratios = ratios_after_filters(
            base_sec, held_out_sec, benchmark, board.held_out_run
        )
        chunks.append(profiles.scores_of_ratios(ratios, n_base))
    scores = np.array([ranked[submission] for submission in submissions])
    return ScoreSamples(submissions, scores, np.concatenate(chunks))


def score_intervals(
    studies: Sequence[Study],
    benchmark: Benchmark,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, ScoreInterval]:
    """An interval for the score of every submission in its group, by name.

    See `resample_scores` for what is resampled and raised.
    """
    samples = resample_scores(studies, benchmark, n_resamples, seed)
    best = samples.resampled == samples.resampled.max(axis=1, keepdims=True)
    p_best = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    alone = {
        submission
        for (submission, workload), cell in by_cell(studies).items()
        if len(cell) < 2 and workload in benchmark.workloads
    }
    return {
        submission: ScoreInterval(
            submission=submission,
            score=float(samples.scores[i]),
            interval=None
            if submission in alone
            else percentile_interval(samples.resampled[:, i], level),
            p_best=float(p_best[i]),
        )
        for i, submission in enumerate(samples.submissions)
    }


def _resample_times(
    cells: Mapping[tuple[str, str], Sequence[Study]],
    submissions: Sequence[str],
    workloads: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Medians in seconds, shape (n_resamples, S, W); NaN without studies."""
    times_sec = np.full((n_resamples, len(submissions), len(workloads)), np.nan)
    for n in sorted({len(cell) for cell in cells.values()}):
        keys = [key for key, cell in cells.items() if len(cell) == n]
        values = [[study.hit.time_sec for study in cells[key]] for key in keys]
        draws = rng.integers(n, size=(n_resamples, len(keys), n), dtype=np.uint16)
        rows = [submissions.index(submission) for submission, _ in keys]
        columns = [workloads.index(workload) for _, workload in keys]
        times_sec[:, rows, columns] = resampled_medians(np.array(values), draws)
    return times_sec


def check_resamples(n_resamples: int) -> None:
    """Raises UserError where there would be nothing to take percentiles of."""
    if n_resamples < 1:
        raise UserError(f"n_resamples is {n_resamples}: choose at least 1.")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level is {level:g}: choose between 0 and 1, as in 0.95.")
