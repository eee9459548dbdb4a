"""What a report shows, as values: the page and the figures for papers draw this.

Submissions are in the order of the leaderboard, workloads in that of the benchmark.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.tables import number
from unscheduled.benchmark.targets import Target
from unscheduled.report.styles import Style, make_styles
from unscheduled.scoring.comparison import Comparison, Intervals, all_intervals
from unscheduled.scoring.leaderboard import Row
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.scored import MINE, Scored
from unscheduled.scoring.times import (
    MISS,
    BudgetUse,
    Hit,
    Result,
    Study,
    by_cell,
    first_hit,
)
from unscheduled.scoring.uncertainty import ResultIntervals, ScoreInterval
from unscheduled.scoring.verdicts import Verdicts, verdicts

MAX_POINTS = 100_000  # evaluations drawn in all: about 2 MB of the file
MIN_POINTS = 20  # of one curve
_RATIO_WORDS = {"never_ran": "never ran", "filtered": "filtered"}  # by verdict


def on_axis(axis: str, values: Any) -> Any:
    """The `seconds` or the `steps` of a hit, a result, its intervals or a run."""
    return values.time_sec if axis == "seconds" else values.steps


@dataclass(frozen=True)
class Entry:
    place: int  # equal scores share one
    row: Row
    interval: ScoreInterval
    comparison: Comparison | None  # None without a base workload in common
    style: Style
    is_baseline: bool
    is_published: bool  # without curves and files
    ratios: tuple[float, ...]  # to the fastest on each of the base workloads run
    ratio_words: tuple[str, ...]  # the same, or why it counts as a miss

    @property
    def submission(self) -> str:
        return self.row.submission


@dataclass(frozen=True)
class Cell:
    entry: Entry
    result: Result
    intervals: ResultIntervals
    use: BudgetUse
    studies: Sequence[Study]

    @property
    def missed(self) -> bool:
        return math.isinf(self.result.time_sec)

    @property
    def step_sec(self) -> float:
        """The median over studies; NaN if unknown."""
        known = [s.step_sec for s in self.studies if not math.isnan(s.step_sec)]
        return median(known or [math.nan])

    def spent(self, axis: str) -> float:
        """What its longest run took: `seconds`, or the `steps` that took so long."""
        known = [s.run_sec for s in self.studies if not math.isnan(s.run_sec)]
        run_sec = max(known, default=math.nan)
        return run_sec if axis == "seconds" else run_sec / self.step_sec

    def end(self, axis: str) -> float:
        """Where its mark is: at the median, or after a miss at what was spent."""
        return self.spent(axis) if self.missed else on_axis(axis, self.result)

    def hits(self, axis: str) -> list[float]:
        return [on_axis(axis, s.hit) for s in self.studies if s.hit != MISS]


@dataclass(frozen=True, eq=False)
class Run:
    """One trial: how it ended, and its curve, thinned to what a page can hold."""

    entry: Entry
    trial: Trial
    hit: Hit
    hit_value: float  # of the metric; NaN for a miss
    best: float
    stands: bool  # for its study; where all missed, the closest
    time_sec: np.ndarray  # of the curve; empty without an evaluation by the metric
    steps: np.ndarray
    values: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.entry.submission}, {self.trial.study}, trial {self.trial.number}"

    @property
    def reached(self) -> bool:
        return self.hit != MISS


@dataclass(frozen=True, eq=False)
class Workload:
    """A workload that was run; its cells are the fastest first, and the misses last."""

    name: str
    target: Target
    is_base: bool
    cells: Sequence[Cell]
    runs: Sequence[Run]

    @property
    def curves(self) -> list[Run]:
        """The runs that have a curve, those that stand for their study last."""
        curves = [run for run in self.runs if len(run.values)]
        return sorted(curves, key=lambda run: run.stands)

    @property
    def window(self) -> tuple[float, float]:
        """The metric's axis from where curves are after a fifth of training."""
        target = self.target
        values = [run.values[np.isfinite(run.values)] for run in self.runs]
        values = [each for each in values if len(each)]
        if not values:
            return target.value, target.value
        share = 0.8 if target.lower_is_better else 0.2
        start = float(np.median([np.quantile(each, share) for each in values]))
        ends = (start, target.best(np.concatenate(values)), target.value)
        margin = 0.06 * (max(ends) - min(ends))
        return min(ends) - margin, max(ends) + margin


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report shows; `max_curve_points` is None where all are drawn whole."""

    scored: Scored
    entries: Sequence[Entry]
    workloads: Sequence[Workload]
    verdicts: Verdicts
    max_curve_points: int | None

    @property
    def runs(self) -> list[Run]:
        return [run for workload in self.workloads for run in workload.runs]


def make_report(
    scored: Scored, trials: Iterable[Trial], max_points: int = MAX_POINTS
) -> Report:
    """What to show of a scored group and its trials; at most `max_points` of curves."""
    board, benchmark = scored.leaderboard, scored.benchmark
    if not board.rows:
        raise UserError(f"There is nothing to report. {' '.join(scored.notes)}")
    trials = [trial for trial in trials if trial.workload in benchmark.targets]
    limit = max(MIN_POINTS, max_points // max(len(trials), 1))
    intervals, found = all_intervals(scored), verdicts(scored)
    entries = _entries(scored, intervals, found)
    by_key = {study.key: study for study in scored.studies}
    runs, cells = defaultdict(list), defaultdict(list)
    for trial in trials:
        # A name that is published too is marked in the group.
        own = trial.submission in scored.own
        entry = entries[trial.submission if own else trial.submission + MINE]
        study = by_key[entry.submission, *trial.key[1:-1]]
        target = benchmark.targets[trial.workload]
        runs[trial.workload].append(_run(trial, entry, study, target, limit))
    studies = by_cell(scored.studies)
    for result in scored.results:
        key = (result.submission, result.workload)
        figures = (intervals.medians[key], intervals.budgets[key], studies[key])
        cells[result.workload].append(Cell(entries[key[0]], result, *figures))
    workloads = []
    for name in board.workloads_run:
        target, is_base = benchmark.targets[name], name in benchmark.base
        ran = sorted(cells[name], key=_speed)
        workloads.append(Workload(name, target, is_base, ran, runs[name]))
    is_thinned = any(len(trial.score) > limit for trial in trials)
    most = limit if is_thinned else None
    return Report(scored, [*entries.values()], workloads, found, most)


def thinned(n: int, limit: int, keep: Iterable[float]) -> np.ndarray:
    """Indices of the points of a curve of `n` that are drawn, `limit` of them evenly.

    >>> thinned(9, 3, keep=[5]).tolist()
    [0, 4, 5, 8]
    """
    even = np.linspace(0, n - 1, min(n, limit)).round()
    kept = [index for index in keep if math.isfinite(index)]
    return np.unique([*even, *kept]).astype(int)


def _entries(scored: Scored, intervals: Intervals, found: Verdicts) -> dict[str, Entry]:
    rows, base_run = scored.leaderboard.rows, scored.leaderboard.base_run
    styles = make_styles([row.submission for row in rows], scored.baseline)
    scores = [row.score for row in rows]
    entries = {}
    for row in rows:
        name, words = row.submission, []
        on_base = dict(zip(scored.benchmark.base, row.ratios, strict=True))
        for workload in base_run:
            missed = _RATIO_WORDS.get(found[name, workload].kind, "missed")
            words.append(number(on_base[workload], inf=missed))
        entries[name] = Entry(
            place=1 + scores.index(row.score),
            row=row,
            interval=intervals.scores[name],
            comparison=intervals.comparisons.get(name),
            style=styles[name],
            is_baseline=name == scored.baseline,
            is_published=name not in scored.own,
            ratios=tuple(on_base[w] for w in base_run),
            ratio_words=tuple(words),
        )
    return entries


def _run(trial: Trial, entry: Entry, study: Study, target: Target, limit: int) -> Run:
    values = trial.validation.get(target.metric, np.empty(0))
    hit, best = first_hit(trial, target), target.best(values)
    reached = hit != MISS
    hit_value = float(values[int(hit.index)]) if reached else math.nan
    stands = hit == study.hit and (reached or best == study.best)
    kept = [hit.index, *np.flatnonzero(values == best)[:1]]
    shown = thinned(len(values), limit, kept)
    curve = (trial.score[shown], trial.global_step[shown], values[shown])
    return Run(entry, trial, hit, hit_value, best, stands, *curve)


def _speed(cell: Cell) -> tuple[float, float, str]:
    short = cell.use.misses.short if cell.use.misses else math.inf
    return cell.result.time_sec, short, cell.entry.submission
