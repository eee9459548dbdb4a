"""How sure a scored group is: intervals, comparisons and budgets, together."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unscheduled.scoring import uncertainty
from unscheduled.scoring.budget import BudgetUse
from unscheduled.scoring.comparison import PARTS_NOTE, Comparison, compare
from unscheduled.scoring.scored import Scored

Cell = tuple[str, str]  # (submission, workload)


@dataclass(frozen=True)
class Intervals:
    """What resampling says: `comparisons` are with the baseline, where that can be."""

    level: float
    n_resamples: int
    seed: int
    scores: Mapping[str, uncertainty.ScoreInterval]
    comparisons: Mapping[str, Comparison]
    medians: Mapping[Cell, uncertainty.ResultIntervals]
    budgets: Mapping[Cell, BudgetUse]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; inf and NaN are still in it."""
        facts = asdict(self)
        medians, budgets = facts.pop("medians"), facts.pop("budgets")
        return {
            **facts,
            "scores": [*facts["scores"].values()],
            "comparisons": [*facts["comparisons"].values()],
            "parts_note": PARTS_NOTE,
            "cells": [
                {
                    "submission": submission,
                    "workload": workload,
                    "intervals": intervals,
                    "budget": budgets[submission, workload],
                }
                for (submission, workload), intervals in medians.items()
            ],
        }


def all_intervals(
    scored: Scored,
    level: float = uncertainty.LEVEL,
    n_resamples: int = uncertainty.N_RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Resample the studies of a scored group.

    Raises:
      UserError: level or n_resamples is out of range.
    """
    studies, benchmark = scored.studies, scored.benchmark
    baseline, factor = scored.baseline or "", scored.ruleset.budget_factor
    resampling = {"level": level, "n_resamples": n_resamples, "seed": seed}
    ran = {(result.submission, result.workload) for result in scored.results}
    comparable = [
        row.submission
        for row in scored.leaderboard.rows
        if row.submission != baseline
        and any({(row.submission, w), (baseline, w)} <= ran for w in benchmark.base)
    ]
    return Intervals(
        **resampling,
        scores=uncertainty.score_intervals(studies, benchmark, **resampling),
        comparisons={
            name: compare(studies, benchmark, name, baseline, factor, **resampling)
            for name in comparable
        },
        medians=uncertainty.result_intervals(studies, level),
        budgets=scored.budget_use(),
    )
