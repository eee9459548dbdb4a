"""What a report shows, as values: the page and the figures for papers draw this.

Nothing here is rounded, escaped or placed on a page. Submissions are in the order of
the leaderboard, workloads in that of the benchmark, base workloads first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Target
from unscheduled.report.curves import Curve, curve_limit, thinned, window
from unscheduled.report.styles import Style, make_styles
from unscheduled.scoring import profiles
from unscheduled.scoring.budget import BudgetUse, budget_use
from unscheduled.scoring.comparison import Comparison, compare
from unscheduled.scoring.leaderboard import Row
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.scored import MINE, Scored
from unscheduled.scoring.times import MISS, Hit, Result, Study, by_cell, first_hit
from unscheduled.scoring.uncertainty import (
    ResultIntervals,
    ScoreInterval,
    result_intervals,
    score_intervals,
)

MAX_POINTS = 100_000  # evaluations drawn in all: about 2 MB of the file


def on_axis(axis: str, values: Any) -> Any:
    """The `seconds` or the `steps` of a hit, a result, its intervals or a curve."""
    return values.time_sec if axis == "seconds" else values.steps


@dataclass(frozen=True)
class Entry:
    """A submission's place on the leaderboard.

    Attributes:
      place: from 1; equal scores share one.
      comparison: with the baseline; None for the baseline itself, without one, and
        where the two ran no base workload in common.
      is_published: its figures come with the package, without curves and files.
      ratios: time over the fastest on each of `Report.base_run`; inf for a miss.
      ratio_words: the same as `1.23`, `missed`, `over 4x`, `held-out missed` or
        `no logs`.
    """

    place: int
    row: Row
    interval: ScoreInterval
    comparison: Comparison | None
    style: Style
    is_baseline: bool
    is_published: bool
    ratios: tuple[float, ...]
    ratio_words: tuple[str, ...]

    @property
    def submission(self) -> str:
        return self.row.submission


@dataclass(frozen=True)
class Cell:
    """What one submission did on one workload.

    Attributes:
      studies: the fastest first.
      run_sec: submission time of its longest trial; NaN if unknown.
      step_sec: median over studies; NaN if unknown.
    """

    entry: Entry
    result: Result
    intervals: ResultIntervals
    use: BudgetUse
    studies: tuple[Study, ...]

    @property
    def missed(self) -> bool:
        return math.isinf(self.result.time_sec)

    @property
    def run_sec(self) -> float:
        known = [s.run_sec for s in self.studies if not math.isnan(s.run_sec)]
        return max(known, default=math.nan)

    @property
    def step_sec(self) -> float:
        known = [s.step_sec for s in self.studies if not math.isnan(s.step_sec)]
        return median(known or [math.nan])

    def spent(self, axis: str) -> float:
        """What its longest run took: `seconds`, or the `steps` that took so long."""
        return self.run_sec if axis == "seconds" else self.run_sec / self.step_sec

    def hits(self, axis: str) -> list[float]:
        """`seconds` or `steps` of each study that reached the target."""
        return [on_axis(axis, s.hit) for s in self.studies if s.hit != MISS]


@dataclass(frozen=True)
class Run:
    """One trial, and how it ended.

    Attributes:
      best: value of the target's metric; NaN if there is none.
    """

    entry: Entry
    trial: Trial
    hit: Hit
    best: float

    @property
    def reached(self) -> bool:
        return self.hit != MISS


@dataclass(frozen=True, eq=False)
class Workload:
    """A workload with logs or published figures.

    Attributes:
      is_base: whether it counts in the score; held-out variants only disqualify.
      cells: of the submissions that ran it, fastest first, misses last.
      window: the two ends of the part of the metric's axis that is worth a look.
    """

    name: str
    target: Target
    is_base: bool
    cells: tuple[Cell, ...]
    runs: tuple[Run, ...]
    curves: tuple[Curve, ...]
    window: tuple[float, float]

    def quiet_side(self, axis: str) -> Literal["left", "right"]:
        """The end of a curves' chart that has fewer hits: room for a label."""
        hits = [on_axis(axis, c.hit) for c in self.curves if c.hit != MISS]
        ends = [on_axis(axis, c).max() for c in self.curves if len(c.values)]
        return "right" if hits and median(hits) < max(ends) / 2 else "left"


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report shows.

    Attributes:
      max_curve_points: of each curve; None where all are drawn whole.
    """

    scored: Scored
    entries: tuple[Entry, ...]
    workloads: tuple[Workload, ...]
    max_curve_points: int | None

    @property
    def base_run(self) -> tuple[str, ...]:
        """Base workloads with logs or published figures."""
        return self.scored.leaderboard.base_run

    @property
    def runs(self) -> list[Run]:
        return [run for workload in self.workloads for run in workload.runs]


def make_report(
    scored: Scored, trials: Sequence[Trial], max_points: int = MAX_POINTS
) -> Report:
    """What to show of a scored group.

    Args:
      trials: that were read; those of workloads that do not count are passed over.
      max_points: of all curves together; longer ones are thinned by `thinned`.

    Raises:
      UserError: no submission has a score.
    """
    board, targets = scored.leaderboard, scored.benchmark.targets
    if not board.rows:
        raise UserError(f"There is nothing to report. {' '.join(scored.notes)}")
    trials = [trial for trial in trials if trial.workload in targets]
    limit = curve_limit([len(trial.score) for trial in trials], max_points)
    entries = _entries(scored)
    return Report(
        scored=scored,
        entries=tuple(entries.values()),
        workloads=tuple(
            _workload(name, scored, entries, trials, limit)
            for name in (*board.base_run, *board.held_out_run)
        ),
        max_curve_points=limit,
    )


def ratio_word(ratio: float, times_sec: Mapping[str, float], submission: str) -> str:
    """A word for a ratio on a workload: why it counts as a miss, where it does.

    Args:
      ratio: after the filters of the score.
      times_sec: submission -> median on that workload, before the filters.

    >>> ratio_word(math.inf, {"a": 10.0, "b": 50.0}, "b")
    'over 4x'
    """
    if math.isfinite(ratio):
        return f"{ratio:.2f}"
    if submission not in times_sec:
        return "no logs"
    if math.isinf(times_sec[submission]):
        return "missed"
    slowest_sec = profiles.SLOWEST * min(times_sec.values())
    return "over 4x" if times_sec[submission] > slowest_sec else "held-out missed"


def _entries(scored: Scored) -> dict[str, Entry]:
    """By submission, in the order of the leaderboard."""
    rows, base_run = scored.leaderboard.rows, scored.leaderboard.base_run
    intervals = score_intervals(scored.studies, scored.benchmark)
    styles = make_styles([row.submission for row in rows], scored.baseline)
    scores = [row.score for row in rows]
    times_sec: dict[str, dict[str, float]] = {}  # workload -> submission -> seconds
    for result in scored.results:
        times = times_sec.setdefault(result.workload, {})
        times[result.submission] = result.time_sec
    entries = {}
    for row in rows:
        name = row.submission
        on_base = dict(zip(scored.benchmark.base, row.ratios, strict=True))
        entries[name] = Entry(
            place=1 + scores.index(row.score),
            row=row,
            interval=intervals[name],
            comparison=_comparison(scored, name),
            style=styles[name],
            is_baseline=name == scored.baseline,
            is_published=name not in scored.own,
            ratios=tuple(on_base[w] for w in base_run),
            ratio_words=tuple(
                ratio_word(on_base[w], times_sec[w], name) for w in base_run
            ),
        )
    return entries


def _comparison(scored: Scored, submission: str) -> Comparison | None:
    baseline, base = scored.baseline, {*scored.benchmark.base}
    ran, baseline_ran = (
        {r.workload for r in scored.results if r.submission == name}
        for name in (submission, baseline)
    )
    if baseline in (None, submission) or not ran & baseline_ran & base:
        return None
    factor = scored.ruleset.budget_factor
    return compare(scored.studies, scored.benchmark, submission, baseline, factor)


def _workload(
    name: str,
    scored: Scored,
    entries: Mapping[str, Entry],
    trials: Sequence[Trial],
    limit: int | None,
) -> Workload:
    target = scored.benchmark.targets[name]
    runs = [
        _run(trial, scored, entries, target)
        for trial in trials
        if trial.workload == name
    ]
    studies = {study.key: study for study in scored.studies}
    curves = [
        _curve(run, studies[run.entry.submission, *run.trial.key[1:-1]], target, limit)
        for run in runs
        if len(run.trial.score) and target.metric in run.trial.validation
    ]
    return Workload(
        name=name,
        target=target,
        is_base=name in scored.benchmark.base,
        cells=_cells(name, scored, entries),
        runs=tuple(runs),
        curves=tuple(curves),
        window=window(curves, target),
    )


def _run(
    trial: Trial, scored: Scored, entries: Mapping[str, Entry], target: Target
) -> Run:
    name = trial.submission
    return Run(
        # A name that is published too is marked in the group.
        entry=entries[name if name in scored.own else name + MINE],
        trial=trial,
        hit=first_hit(trial, target),
        best=target.best(trial.validation.get(target.metric, np.empty(0))),
    )


def _curve(run: Run, study: Study, target: Target, limit: int | None) -> Curve:
    trial, hit, submission = run.trial, run.hit, run.entry.submission
    values = trial.validation[target.metric]
    best = np.flatnonzero(values == run.best)[:1].tolist()
    shown = thinned(len(values), limit, [hit.index, *best])
    return Curve(
        submission=submission,
        name=f"{submission}, {trial.study}, trial {trial.number}",
        style=run.entry.style,
        time_sec=trial.score[shown],
        steps=trial.global_step[shown],
        values=values[shown],
        hit=hit,
        hit_value=float(values[int(hit.index)]) if run.reached else math.nan,
        stands=hit == study.hit and (run.reached or run.best == study.best),
    )


def _cells(
    workload: str, scored: Scored, entries: Mapping[str, Entry]
) -> tuple[Cell, ...]:
    """Fastest first; among misses, the closest to the target first."""
    studies = [study for study in scored.studies if study.workload == workload]
    intervals, cells = result_intervals(studies), by_cell(studies)
    use = budget_use(studies, scored.benchmark, scored.ruleset.budget_factor)

    def speed(cell: Cell) -> tuple[float, float, str]:
        short = cell.use.misses.short if cell.use.misses else math.nan
        short = math.inf if math.isnan(short) else short
        return cell.result.time_sec, short, cell.entry.submission

    found = []
    for result in scored.results:
        if result.workload == workload:
            key = result.submission, workload
            entry, ran = entries[result.submission], tuple(cells[key])
            found.append(Cell(entry, result, intervals[key], use[key], ran))
    return tuple(sorted(found, key=speed))
