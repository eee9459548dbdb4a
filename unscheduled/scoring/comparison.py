"""Two submissions, side by side: who is faster, how surely, and by what.

`all_intervals` does this for a whole group, with the intervals of `uncertainty`.

Times are medians over studies on the base workloads, without the filters of the score:

    time to target = steps to target * seconds a step

so a ratio of times is an algorithm's gain (steps) times an implementation's (seconds a
step), but only where both have the same batch size. Studies are drawn with replacement
for each submission by itself: studies of one name share no seed in the published logs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark, budgets_sec
from unscheduled.scoring import profiles, uncertainty
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.times import BudgetUse, Study, by_cell, workload_results
from unscheduled.scoring.uncertainty import LEVEL, N_RESAMPLES, Interval

# To be said wherever steps or seconds a step of two submissions are shown.
PARTS_NOTE = (
    "Steps and seconds a step compare algorithms and implementations only where the "
    "batch sizes are equal, which logs do not record."
)


@dataclass(frozen=True)
class Ratio:
    """Of a's figure over b's: inf where only `a` missed, NaN where it is unknown.

    There is no interval around NaN, nor where one of them ran one study only.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Parts:
    """A ratio of times and its factors, time = steps * step_sec.

    Seconds a step are median time over median steps; after a miss, the median over
    studies.
    """

    time: Ratio
    steps: Ratio
    step_sec: Ratio


@dataclass(frozen=True)
class WorkloadComparison:
    """On one workload: ratios of the medians, and `p_faster` of pairs of studies."""

    workload: str
    p_faster: float
    parts: Parts
    frameworks: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Of two submissions, over the base workloads that both ran; geometric means.

    Where both missed, a workload's time ratio is 1; where one did, its time is one
    second more than its budget, or longer than any where that is unknown. The ratio is
    NaN where each missed one that the other hit, by times longer than any.
    """

    a: str
    b: str
    time_ratio: Ratio
    p_faster: float | None  # share of resamples below 1; 1 and NaN count half
    both_hit: Parts | None  # over the workloads that both hit, in each resample
    workloads: tuple[WorkloadComparison, ...]
    left_out: tuple[str, ...]  # base workloads that only one of the two ran


def compare(
    studies: Sequence[Study],
    benchmark: Benchmark,
    a: str,
    b: str,
    budget_factor: float | None = None,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare submission `a` with submission `b`; a miss counts as in `rank`.

    UserError is raised where they have no base workload in common, or one of them ran
    a workload in both frameworks.
    """
    compared = [study for study in studies if study.submission in (a, b)]
    workload_results(compared)  # raises where both frameworks were run
    own_a, own_b = (
        {w: cell for (s, w), cell in by_cell(compared).items() if s == name}
        for name in (a, b)
    )
    workloads = [w for w in benchmark.base if w in own_a and w in own_b]
    if not workloads:
        ran_a, ran_b = (", ".join(own) or "none" for own in (own_a, own_b))
        raise UserError(
            f"{a} and {b} have no base workload in common: {a} ran {ran_a}, {b} ran "
            f"{ran_b}."
        )
    rng = np.random.default_rng(seed)
    medians_a, medians_b = (
        np.stack([_medians(own[w], n_resamples, rng) for w in workloads], axis=-1)
        for own in (own_a, own_b)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # misses, and times of zero
        parts = np.log(medians_a) - np.log(medians_b)
    times_a, times_b = medians_a[0], medians_b[0]
    miss_sec = budgets_sec(benchmark, workloads, budget_factor) + 1
    miss_sec = np.where(np.isnan(miss_sec), np.inf, miss_sec)
    log_ratios = profiles.log_time_ratios(times_a, times_b, miss_sec)
    log_mean = _mean(log_ratios, np.full(times_a.shape, True))
    hit = np.isfinite(times_a) & np.isfinite(times_b)
    several = [min(len(own_a[w]), len(own_b[w])) > 1 for w in workloads]
    p_below_1 = both_hit = None
    if all(several):
        even = (log_mean[1:] == 0) | np.isnan(log_mean[1:])
        p_below_1 = float(np.mean((log_mean[1:] < 0) + 0.5 * even))
    if hit[0].any():
        enough = bool(np.array(several)[hit[0]].all())
        both_hit = Parts(*(_ratio(_mean(part, hit), level, enough) for part in parts))
    on_workloads = [
        WorkloadComparison(
            workload=w,
            p_faster=p_faster(
                [study.hit.time_sec for study in own_a[w]],
                [study.hit.time_sec for study in own_b[w]],
            ),
            parts=Parts(*(_ratio(part[:, i], level, several[i]) for part in parts)),
            frameworks=(own_a[w][0].framework, own_b[w][0].framework),
        )
        for i, w in enumerate(workloads)
    ]
    return Comparison(
        a=a,
        b=b,
        time_ratio=_ratio(log_mean, level, all(several)),
        p_faster=p_below_1,
        both_hit=both_hit,
        workloads=tuple(on_workloads),
        left_out=tuple(w for w in benchmark.base if (w in own_a) != (w in own_b)),
    )


def p_faster(a_sec: Sequence[float], b_sec: Sequence[float]) -> float:
    """P(a < b) + P(a = b) / 2 for a time of each, drawn at random; inf is a miss."""
    a, b = np.array(a_sec)[:, None], np.array(b_sec)
    return float(np.mean((a < b) + 0.5 * (a == b)))


@dataclass(frozen=True)
class Intervals:
    """How sure a group's figures are; the comparisons are with its baseline."""

    level: float
    n_resamples: int
    seed: int
    scores: Mapping[str, uncertainty.ScoreInterval]
    comparisons: Mapping[str, Comparison]
    medians: Mapping[tuple[str, str], uncertainty.ResultIntervals]
    budgets: Mapping[tuple[str, str], BudgetUse]

    def as_dict(self) -> dict[str, Any]:
        facts = asdict(self)
        medians, budgets = facts.pop("medians"), facts.pop("budgets")
        names = ("submission", "workload", "intervals", "budget")
        rows = [(*key, each, budgets[key]) for key, each in medians.items()]
        return {
            **facts,
            "scores": [*facts["scores"].values()],
            "comparisons": [*facts["comparisons"].values()],
            "parts_note": PARTS_NOTE,
            "cells": [dict(zip(names, row, strict=True)) for row in rows],
        }


def all_intervals(
    scored: Scored, level: float = LEVEL, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Intervals:
    """Resample the studies of a scored group; UserError if `level` is out of range."""
    studies, benchmark = scored.studies, scored.benchmark
    baseline, factor = scored.baseline or "", scored.ruleset.budget_factor
    options = {"level": level, "n_resamples": n_resamples, "seed": seed}
    ran = {(result.submission, result.workload) for result in scored.results}
    base_run = {w for w in benchmark.base if (baseline, w) in ran}
    return Intervals(
        **options,
        scores=uncertainty.score_intervals(studies, benchmark, **options),
        comparisons={
            name: compare(studies, benchmark, name, baseline, factor, **options)
            for name in (row.submission for row in scored.leaderboard.rows)
            if name != baseline and any((name, w) in ran for w in base_run)
        },
        medians=uncertainty.result_intervals(studies, level),
        budgets=scored.budget_use(),
    )


def _medians(
    studies: Sequence[Study], n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Seconds, steps and seconds a step, shape (3, 1 + R): observed, then resampled."""
    n = len(studies)
    draws = np.vstack([np.arange(n), rng.integers(n, size=(n_resamples, n))])
    figures = [(s.hit.time_sec, s.hit.steps, s.step_sec) for s in studies]
    time_sec, steps, step_sec = (
        uncertainty.resampled_medians(np.array(values), draws)
        for values in zip(*figures, strict=True)
    )
    if any(np.isnan(study.step_sec) for study in studies):
        step_sec = np.full_like(time_sec, np.nan)
    hit = np.isfinite(time_sec) & (steps > 0)
    np.divide(time_sec, steps, out=step_sec, where=hit)
    return np.stack([time_sec, steps, step_sec])


def _mean(log_ratios: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Over the workloads `among`, shape (1 + R,); NaN without any, and of inf - inf."""
    with np.errstate(invalid="ignore"):
        return log_ratios.sum(axis=-1, where=among) / among.sum(axis=-1)


def _ratio(log_ratios: np.ndarray, level: float, several: bool) -> Ratio:
    """From logarithms, shape (1 + R,): as observed, and resampled if of `several`."""
    observed = float(np.exp(log_ratios[0]))
    if not several or math.isnan(observed):
        return Ratio(observed, None)
    interval = uncertainty.percentile_interval(log_ratios[1:], level)
    low, high = float(np.exp(interval.low)), float(np.exp(interval.high))
    return Ratio(observed, replace(interval, low=low, high=high))
