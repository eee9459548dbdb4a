"""What a report shows, as values: the page and the figures for papers draw this.

Nothing here is rounded, escaped or placed on a page. Submissions are in the order of
the leaderboard, workloads in that of the benchmark, base workloads first.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from unscheduled.benchmark.targets import Target
from unscheduled.scoring import profiles
from unscheduled.scoring.budget import BudgetUse, budget_use
from unscheduled.scoring.comparison import Comparison, compare
from unscheduled.scoring.errors import ScoringError
from unscheduled.scoring.leaderboard import Row
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.scored import MINE, Scored
from unscheduled.scoring.times import MISS, Hit, Result, Study, first_hit
from unscheduled.scoring.uncertainty import (
    Interval,
    ResultIntervals,
    ScoreInterval,
    by_cell,
    result_intervals,
    score_intervals,
)

# At least 3:1 against white and against the dark page (WCAG 1.4.11), and told apart
# by readers with any of the usual colour vision deficiencies; the simulation is
# Machado et al. 2009. Blue, vermilion and green are Okabe and Ito's.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5B5BD6", "#BC4040")
BASELINE_COLOR = "#6B7A8F"
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = (  # 7 of them: with 6 colours no pair comes twice in 42
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "pentagon",
    "star",
)
BASELINE_SYMBOL = "hexagon"

MAX_POINTS = 100_000  # evaluations drawn in all: about 2 MB of the file
MIN_POINTS = 20  # of one curve


@dataclass(frozen=True)
class Style:
    """How a submission looks, everywhere."""

    color: str
    dash: str
    symbol: str


@dataclass(frozen=True)
class Entry:
    """A submission's place on the leaderboard.

    Attributes:
      place: from 1; equal scores share one.
      comparison: with the baseline; None for the baseline itself, without one, and
        where the two ran no base workload in common.
      is_published: its figures come with the package, without curves and files.
    """

    place: int
    row: Row
    interval: ScoreInterval
    comparison: Comparison | None
    style: Style
    is_baseline: bool
    is_published: bool

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

    result: Result
    intervals: ResultIntervals
    use: BudgetUse
    studies: tuple[Study, ...]

    @property
    def missed(self) -> bool:
        return math.isinf(self.result.time_sec)

    @property
    def run_sec(self) -> float:
        return max(_known(s.run_sec for s in self.studies), default=math.nan)

    @property
    def step_sec(self) -> float:
        return median(_known(s.step_sec for s in self.studies) or [math.nan])

    def spent(self, axis: str) -> float:
        """What its longest run took: `seconds`, or the `steps` that took so long."""
        return self.run_sec if axis == "seconds" else self.run_sec / self.step_sec

    def hits(self, axis: str) -> list[float]:
        """`seconds` or `steps` of each study that reached the target."""
        hits = [study.hit for study in self.studies if study.hit != MISS]
        return [hit.time_sec if axis == "seconds" else hit.steps for hit in hits]

    def median(self, axis: str) -> float:
        """`seconds` or `steps` to the target; inf for a miss."""
        return self.result.time_sec if axis == "seconds" else self.result.steps

    def interval(self, axis: str) -> Interval | None:
        """Of the median."""
        of = self.intervals
        return of.time_sec if axis == "seconds" else of.steps


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's metric during one trial, thinned.

    Attributes:
      time_sec, steps, values: shape (n,); a value is finite or NaN.
      hit_value: of the metric at the hit; NaN for a miss.
      stands: whether the trial stands for its study, as the only one, by the rule, or
        where all missed as the one that came closest.
    """

    submission: str
    study: str
    number: int
    time_sec: np.ndarray
    steps: np.ndarray
    values: np.ndarray
    hit: Hit
    hit_value: float
    stands: bool

    def xs(self, axis: str) -> np.ndarray:
        """`seconds` or `steps`, shape (n,)."""
        return self.time_sec if axis == "seconds" else self.steps

    def hit_x(self, axis: str) -> float:
        """`seconds` or `steps` at the hit."""
        return self.hit.time_sec if axis == "seconds" else self.hit.steps


@dataclass(frozen=True, eq=False)
class Workload:
    """A workload with logs or published figures.

    Attributes:
      cells: of the submissions that ran it, fastest first, misses last.
      window: the two ends of the part of the metric's axis that is worth a look.
      is_base: whether it counts in the score; held-out variants only disqualify.
    """

    name: str
    target: Target
    is_base: bool
    cells: tuple[Cell, ...]
    curves: tuple[Curve, ...]
    window: tuple[float, float]

    def quiet_side(self, axis: str) -> Literal["left", "right"]:
        """The end of a curves' chart that has fewer hits: room for a label."""
        hits = [c.hit_x(axis) for c in self.curves if c.hit != MISS]
        end = max((c.xs(axis).max() for c in self.curves if len(c.values)), default=0)
        return "right" if hits and median(hits) < end / 2 else "left"


@dataclass(frozen=True)
class Run:
    """One trial: where its files are, and how it ended.

    Attributes:
      submission: as in the group; a name that is published too is marked there.
      best: value of the target's metric; NaN if there is none.
    """

    submission: str
    trial: Trial
    hit: Hit
    best: float

    @property
    def folder(self) -> Path:
        return self.trial.path.parent


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report shows.

    Attributes:
      ratio_words: what to say of each ratio of `Row.ratios` on the workloads of
        `base_run`: `1.23`, `missed`, `over 4x`, `held-out missed` or `no logs`; a row
        an entry.
      max_curve_points: of each curve; None where all are drawn whole.
    """

    scored: Scored
    entries: tuple[Entry, ...]
    workloads: tuple[Workload, ...]
    ratio_words: tuple[tuple[str, ...], ...]
    runs: tuple[Run, ...]
    max_curve_points: int | None

    @property
    def base_run(self) -> tuple[str, ...]:
        """Base workloads with logs or published figures."""
        return self.scored.leaderboard.base_run

    @property
    def styles(self) -> dict[str, Style]:
        return {entry.submission: entry.style for entry in self.entries}

    def ratios(self) -> np.ndarray:
        """Time over the fastest, shape (entries, `base_run`); inf for a miss."""
        base = self.scored.benchmark.base
        columns = [base.index(workload) for workload in self.base_run]
        return np.array([entry.row.ratios for entry in self.entries])[:, columns]


def make_report(
    scored: Scored, trials: Sequence[Trial], max_points: int = MAX_POINTS
) -> Report:
    """What to show of a scored group.

    Args:
      trials: that were read; those of workloads that do not count are passed over.
      max_points: of all curves together; longer ones are thinned by `thinned`.

    Raises:
      ScoringError: no submission has a score.
    """
    benchmark = scored.benchmark
    if not scored.leaderboard.rows:
        raise ScoringError(f"There is nothing to report. {' '.join(scored.notes)}")
    trials = [trial for trial in trials if trial.workload in benchmark.targets]
    limit = curve_limit([len(trial.score) for trial in trials], max_points)
    runs = [_run(trial, scored) for trial in trials]
    return Report(
        scored=scored,
        entries=_entries(scored),
        workloads=_workloads(scored, runs, limit),
        ratio_words=_ratio_words(scored),
        runs=tuple(runs),
        max_curve_points=limit,
    )


def make_styles(submissions: Sequence[str], baseline: str | None) -> dict[str, Style]:
    """A look for each submission: the baseline is grey, the others take turns.

    >>> make_styles(["a", "b"], "b")["b"].color == BASELINE_COLOR
    True
    """
    others = [name for name in submissions if name != baseline]
    styles = {
        name: Style(
            COLORS[i % len(COLORS)],
            DASHES[i // len(COLORS) % len(DASHES)],
            SYMBOLS[i % len(SYMBOLS)],
        )
        for i, name in enumerate(others)
    }
    if baseline is not None:
        styles[baseline] = Style(BASELINE_COLOR, "solid", BASELINE_SYMBOL)
    return styles


def curve_limit(lengths: Iterable[int], max_points: int) -> int | None:
    """Points a curve that keep all curves within `max_points`; None: all fit.

    >>> curve_limit([500, 500], 1000), curve_limit([500, 500], 100)
    (None, 50)
    """
    lengths = list(lengths)
    if sum(lengths) <= max_points:
        return None
    return max(MIN_POINTS, max_points // len(lengths))


def thinned(n: int, limit: int | None, keep: Iterable[float]) -> np.ndarray:
    """Indices of the points of a curve of `n` that are drawn.

    All of them, or `limit` at equal distances, first and last included; and in any
    case those of `keep`: the hit and the best value are never left out.

    >>> thinned(9, 3, keep=[5]).tolist()
    [0, 4, 5, 8]
    """
    if limit is None or n <= limit:
        return np.arange(n)
    even = np.linspace(0, n - 1, limit).round().astype(int)
    kept = [int(index) for index in keep if math.isfinite(index)]
    return np.unique(np.concatenate([even, np.array(kept, int)]))


def window(curves: Sequence[Curve], target: Target) -> tuple[float, float]:
    """The part of the metric's axis that holds the target and the ends of training.

    From what a typical curve has left behind after a fifth of its evaluations (the
    median over curves of that quantile) to the best value of all, and the target.
    """
    values = [c.values[np.isfinite(c.values)] for c in curves]
    values = [v for v in values if len(v)]
    if not values:
        return target.value, target.value
    share = 0.8 if target.lower_is_better else 0.2
    start = float(np.median([np.quantile(v, share) for v in values]))
    ends = (start, target.best(np.concatenate(values)), target.value)
    margin = 0.06 * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin


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


def _ratio_words(scored: Scored) -> tuple[tuple[str, ...], ...]:
    times_sec: dict[str, dict[str, float]] = {}
    for result in scored.results:
        of_workload = times_sec.setdefault(result.workload, {})
        of_workload[result.submission] = result.time_sec
    base = scored.benchmark.base
    return tuple(
        tuple(
            ratio_word(row.ratios[base.index(w)], times_sec[w], row.submission)
            for w in scored.leaderboard.base_run
        )
        for row in scored.leaderboard.rows
    )


def _entries(scored: Scored) -> tuple[Entry, ...]:
    rows = scored.leaderboard.rows
    intervals = score_intervals(scored.studies, scored.benchmark)
    styles = make_styles([row.submission for row in rows], scored.baseline)
    scores = [row.score for row in rows]
    return tuple(
        Entry(
            place=1 + scores.index(row.score),
            row=row,
            interval=intervals[row.submission],
            comparison=_comparison(scored, row.submission),
            style=styles[row.submission],
            is_baseline=row.submission == scored.baseline,
            is_published=row.submission not in scored.own,
        )
        for row in rows
    )


def _comparison(scored: Scored, submission: str) -> Comparison | None:
    baseline, base = scored.baseline, scored.benchmark.base
    run = {
        name: {r.workload for r in scored.results if r.submission == name}
        for name in (submission, baseline)
    }
    if baseline in (None, submission) or not run[submission] & run[baseline] & {*base}:
        return None
    return compare(
        scored.studies,
        scored.benchmark,
        submission,
        baseline,
        scored.ruleset.budget_factor,
    )


def _workloads(
    scored: Scored, runs: Iterable[Run], limit: int | None
) -> tuple[Workload, ...]:
    benchmark, board = scored.benchmark, scored.leaderboard
    cells = _cells(scored)
    studies = {study.key: study for study in scored.studies}
    curves: dict[str, list[Curve]] = {}
    for run in runs:
        target = benchmark.targets[run.trial.workload]
        if len(run.trial.score) and target.metric in run.trial.validation:
            study = studies[(run.submission, *run.trial.key[1:-1])]
            curve = _curve(run, study, target, limit)
            curves.setdefault(run.trial.workload, []).append(curve)
    return tuple(
        Workload(
            name=name,
            target=benchmark.targets[name],
            is_base=name in benchmark.base,
            cells=tuple(cell for cell in cells if cell.result.workload == name),
            curves=tuple(curves.get(name, ())),
            window=window(curves.get(name, ()), benchmark.targets[name]),
        )
        for name in (*board.base_run, *board.held_out_run)
    )


def _cells(scored: Scored) -> list[Cell]:
    """All cells, fastest first; among misses, the closest to the target first."""
    intervals = result_intervals(scored.studies)
    use = budget_use(scored.studies, scored.benchmark, scored.ruleset.budget_factor)
    studies = by_cell(scored.studies)
    keys = [(r.submission, r.workload) for r in scored.results]
    cells = [
        Cell(result, intervals[key], use[key], tuple(studies[key]))
        for result, key in zip(scored.results, keys, strict=True)
    ]
    return sorted(cells, key=_speed)


def _speed(cell: Cell) -> tuple[float, float, str]:
    misses = cell.use.misses
    short = math.inf if misses is None or math.isnan(misses.short) else misses.short
    return cell.result.time_sec, short, cell.result.submission


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _run(trial: Trial, scored: Scored) -> Run:
    target = scored.benchmark.targets[trial.workload]
    name = trial.submission
    values = trial.validation.get(target.metric, np.empty(0))
    return Run(
        submission=name if name in scored.own else name + MINE,
        trial=trial,
        hit=first_hit(trial, target),
        best=target.best(values),
    )


def _curve(run: Run, study: Study, target: Target, limit: int | None) -> Curve:
    values = run.trial.validation[target.metric]
    best = np.flatnonzero(values == run.best)[:1].tolist()
    shown = thinned(len(values), limit, [run.hit.index, *best])
    return Curve(
        submission=run.submission,
        study=run.trial.study,
        number=run.trial.number,
        time_sec=run.trial.score[shown],
        steps=run.trial.global_step[shown],
        values=values[shown],
        hit=run.hit,
        hit_value=float(values[int(run.hit.index)]) if run.hit != MISS else math.nan,
        stands=run.hit == study.hit and (run.hit != MISS or run.best == study.best),
    )
