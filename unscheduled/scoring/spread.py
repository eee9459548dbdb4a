"""How sure a scored group is: intervals, comparisons and budgets, to be shown.

What is computed comes from `uncertainty`, `comparison` and `budget`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from unscheduled.scoring.budget import BudgetUse, budget_use
from unscheduled.scoring.comparison import PARTS_NOTE, Comparison, Ratio, compare
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.uncertainty import (
    LEVEL,
    N_RESAMPLES,
    Interval,
    ResultIntervals,
    ScoreInterval,
    result_intervals,
    score_intervals,
)

Cell = tuple[str, str]  # (submission, workload)


@dataclass(frozen=True)
class Spread:
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


def spread(
    scored: Scored,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Spread:
    """Resample the studies of a scored group.

    Raises:
      ScoringError: level or n_resamples is out of range.
    """
    studies, benchmark = scored.studies, scored.benchmark
    resampling = {"level": level, "n_resamples": n_resamples, "seed": seed}
    return Spread(
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
        budgets=budget_use(studies, benchmark, scored.ruleset.budget_factor),
    )


def tables(scored: Scored, of: Spread) -> Group:
    """Scores, comparisons with the baseline and medians, and what they mean."""
    parts: list[Table | Text] = [_scores(scored, of), _about_scores(of)]
    if of.comparisons:
        parts += [_comparisons(scored, of), _about_comparisons(scored)]
    return Group(*parts, _cells(scored, of), _about_cells(scored))


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


def _scores(scored: Scored, of: Spread) -> Table:
    interval = f"{100 * of.level:g}% interval"
    table = new_table(
        "Scores, if other studies had been run",
        ["submission"],
        ["AlgoPerf score", interval, "best of the group"],
    )
    for row in scored.leaderboard.rows:
        found = of.scores[row.submission]
        cells = (ends(found.interval, 4), f"{100 * found.p_best:.1f}%")
        table.add_row(row.submission, f"{row.score:.4f}", *cells)
    return table


def _comparisons(scored: Scored, of: Spread) -> Table:
    table = new_table(
        f"Compared with {scored.baseline}: ratios, below 1 needs less",
        ["submission"],
        ["faster with", "time", "time, both hit", "steps", "seconds a step"],
    )
    for submission, found in of.comparisons.items():
        both = found.both_hit
        parts = (both.time, both.steps, both.step_sec) if both else ()
        p = "n/a" if found.p_faster is None else f"{100 * found.p_faster:.1f}%"
        cells = [_ratio(ratio) for ratio in (found.time_ratio, *parts)]
        table.add_row(submission, p, *cells)
    return table


def _cells(scored: Scored, of: Spread) -> Table:
    """A row a workload and submission, fastest first."""
    table = new_table(
        "Medians and budgets",
        ["workload", "submission"],
        [
            "seconds to target",
            "interval",
            "covers",
            "of the budget",
            "longest run",
            "studies hit",
            "closest miss",
        ],
    )
    board = scored.leaderboard
    order = (*board.base_run, *board.held_out_run)
    results = sorted(
        scored.results, key=lambda r: (order.index(r.workload), r.time_sec)
    )
    for result in results:
        key = (result.submission, result.workload)
        interval, use = of.medians[key].time_sec, of.budgets[key]
        table.add_row(
            result.workload,
            result.submission,
            _seconds(result.time_sec),
            _seconds_span(interval),
            "-" if interval is None else f"{100 * interval.level:.0f}%",
            _share(use.to_target),
            _share(use.run),
            f"{use.n_hit}/{use.n_studies}",
            use.misses.words if use.misses else "",
        )
    return table


def _about_scores(of: Spread) -> Text:
    return sentences(
        f"Everyone's studies were drawn anew {of.n_resamples} times, with replacement, "
        "and the whole group was scored each time. The level is nominal: with three "
        "studies such intervals cover less. One study of a workload has no interval.",
    )


def _about_comparisons(scored: Scored) -> Text:
    return sentences(
        "Faster with: the share of resamples in which the geometric mean of the time "
        f"over that of {scored.baseline} is below 1. Time is steps times seconds a "
        f"step. {PARTS_NOTE}",
    )


def _about_cells(scored: Scored) -> Text:
    return sentences(
        "Covers: how often an interval so made covers the median of what the studies "
        "are drawn from, at the least; misses take part. It is from the fastest to the "
        "slowest study, or shorter where that is enough. The budget is that of "
        f"{scored.ruleset}, {scored.ruleset.budget_factor:g} x max_allowed_runtime_sec."
    )


def new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table, some columns to the left and the others to the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def sentences(text: str) -> Text:
    """Text that is wrapped, with nothing in it read as markup."""
    return Text(text, overflow="fold")


def ends(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "-"
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _ratio(ratio: Ratio) -> str:
    if math.isnan(ratio.value):
        return "n/a"
    return f"{ratio.value:.3f} ({ends(ratio.interval, 3)})"


def _seconds_span(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if math.isinf(interval.low):
        return "missed"
    high = "a miss" if math.isinf(interval.high) else _seconds(interval.high)
    return f"{_seconds(interval.low)} to {high}"


def _seconds(value: float) -> str:
    return "missed" if math.isinf(value) else f"{value:.2f}"


def _share(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return "missed" if math.isinf(value) else f"{100 * value:.1f}%"
