"""How sure a scored group is: intervals, comparisons and budgets, together.

What is computed comes from `uncertainty`, `comparison` and `budget`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unscheduled.scoring.budget import BudgetUse
from unscheduled.scoring.comparison import PARTS_NOTE, Comparison, compare
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.uncertainty import (
    LEVEL,
    N_RESAMPLES,
    ResultIntervals,
    ScoreInterval,
    result_intervals,
    score_intervals,
)

Cell = tuple[str, str]  # (submission, workload)


@dataclass(frozen=True)
class Intervals:
    """What is known of how sure the figures of a group are.

    Attributes:
      level, n_resamples, seed: of the resampling.
      scores: by submission.
      comparisons: with the baseline, by submission; none without a base workload in
        common.
      medians, budgets: by submission and workload.
    """

    level: float
    n_resamples: int
    seed: int
    scores: Mapping[str, ScoreInterval]
    comparisons: Mapping[str, Comparison]
    medians: Mapping[Cell, ResultIntervals]
    budgets: Mapping[Cell, BudgetUse]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; inf and NaN are still in it."""
        return {
            "level": self.level,
            "n_resamples": self.n_resamples,
            "seed": self.seed,
            "scores": [asdict(row) for row in self.scores.values()],
            "comparisons": [asdict(row) for row in self.comparisons.values()],
            "parts_note": PARTS_NOTE,
            "cells": [
                {
                    "submission": submission,
                    "workload": workload,
                    "intervals": asdict(intervals),
                    "budget": asdict(self.budgets[submission, workload]),
                }
                for (submission, workload), intervals in self.medians.items()
            ],
        }


def all_intervals(
    scored: Scored,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Resample the studies of a scored group.

    Raises:
      UserError: level or n_resamples is out of range.
    """
    studies, benchmark = scored.studies, scored.benchmark
    resampling = {"level": level, "n_resamples": n_resamples, "seed": seed}
    return Intervals(
        **resampling,
        scores=score_intervals(studies, benchmark, **resampling),
        comparisons={
            submission: compare(
                studies,
                benchmark,
                submission,
                str(scored.baseline),
                scored.ruleset.budget_factor,
                **resampling,
            )
            for submission in _comparable(scored)
        },
        medians=result_intervals(studies, level),
        budgets=scored.budget_use(),
    )


def _comparable(scored: Scored) -> list[str]:
    """Submissions that ran a base workload which the baseline ran too, best first."""
    run: dict[str, set[str]] = {
        row.submission: set() for row in scored.leaderboard.rows
    }
    for result in scored.results:
        if result.workload in scored.benchmark.base:
            run[result.submission].add(result.workload)
    baseline = run.get(scored.baseline or "", set())
    return [s for s in run if s != scored.baseline and run[s] & baseline]
