"""Watch runs as they go: what each is at, and the scores so far.

A log that is being written is normal here: what can't be read yet is passed over, and
read when it has grown.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

import numpy as np
from rich.console import Group
from rich.live import Live

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import OUTCOME
from unscheduled.benchmark.tables import Table, number
from unscheduled.scoring.budget import approach
from unscheduled.scoring.find import find_logs
from unscheduled.scoring.logs import Reading, Trial, read_logs
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.tables import console_for, score_table
from unscheduled.scoring.times import first_hit

QUIET_SEC = 3600.0  # a log that has not grown for this long is not in progress

Score = Callable[[Reading], Scored]


@dataclass(frozen=True)
class Progress:
    """What one run in progress is at.

    Attributes:
      time_sec, steps: submission time and steps at its last evaluation.
      value: the target's metric there.
      closest: the best of that metric so far, and how far from the target, in words.
      budget_share: of the budget used; NaN where the budget is not known.
      hit_sec: when it reached the target; inf where it has not.
    """

    name: str
    time_sec: float
    steps: float
    value: float
    closest: str
    budget_share: float
    hit_sec: float

    def __str__(self) -> str:
        if math.isfinite(self.hit_sec):
            state = f"target reached after {self.hit_sec:.2f} s"
        else:
            state = f"best so far {self.closest}"
        return (
            f"{self.name}: {self.time_sec:.2f} s, step {self.steps:.10g}, last "
            f"{self.value:.6g}, {state}, {_share(self.budget_share)} of the budget"
        )


def watch(
    file: TextIO,
    roots: Sequence[str],
    score: Score,
    every_sec: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> None:
    """Print scores and runs in progress whenever logs grow, until interrupted.

    On a terminal the page is renewed; elsewhere lines are appended: one for each run
    that grew, and one with the scores.

    Args:
      every_sec: how long to wait between two looks.
      sleep, now: the clock, in seconds.
    """
    if file.isatty():
        console = console_for(file)
        with Live(console=console, auto_refresh=False) as live:
            for scored, running, _ in _looks(roots, score, every_sec, sleep, now):
                live.update(page(scored, running, now()), refresh=True)
    else:
        for scored, _, grown in _looks(roots, score, every_sec, sleep, now):
            stamp = f"{datetime.fromtimestamp(now()):%H:%M:%S}"
            for line in (*map(str, grown), _score_line(scored)):
                print(stamp, line, file=file, flush=True)


def progress(trial: Trial, scored: Scored) -> Progress | None:
    """What a run of a scored workload is at; None before its first evaluation."""
    target = scored.benchmark.targets.get(trial.workload)
    if target is None or not len(trial.score):
        return None
    values = trial.validation.get(target.metric, np.full(len(trial.score), np.nan))
    best = target.best(values)
    budget_sec = scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
    time_sec = float(trial.score[-1])
    return Progress(
        name=f"{trial.submission} {trial.study} {trial.workload}_{trial.framework} "
        f"trial_{trial.number}",
        time_sec=time_sec,
        steps=float(trial.global_step[-1]),
        value=float(values[-1]),
        closest="nothing yet" if math.isnan(best) else approach(best, target).words,
        budget_share=time_sec / budget_sec if budget_sec > 0 else math.nan,
        hit_sec=first_hit(trial, target).time_sec,
    )


def page(scored: Scored | None, running: Sequence[Progress], now_sec: float) -> Group:
    """What a terminal shows: runs in progress, and the scores so far."""
    stamp = f"{datetime.fromtimestamp(now_sec):%H:%M:%S}, Ctrl-C ends"
    if scored is None:
        return Group(f"No logs yet. {stamp}")
    rows = []
    for run in running:
        reached = f"reached after {run.hit_sec:.2f} s"
        rows.append(
            (
                run.name,
                f"{run.time_sec:.2f}",
                f"{run.steps:.10g}",
                f"{run.value:.6g}",
                reached if math.isfinite(run.hit_sec) else run.closest,
                _share(run.budget_share),
            )
        )
    columns = ("run", "seconds", "steps", "last", "closest so far", "budget used")
    shown = Table(f"Runs in progress, {stamp}", columns, rows)
    title = f"AlgoPerf scores so far, benchmark {scored.benchmark.version}"
    scores = score_table(title, scored.leaderboard, scored.benchmark, scored)
    return Group(shown if running else f"No runs in progress, {stamp}", scores)


def log_states(roots: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Time of change and size of every log below `roots`, by path.

    Raises:
      UserError: one of the roots is no folder.
    """
    logs, _ = find_logs(roots)
    states = {}
    for log in logs:
        try:
            state = os.stat(log.path)
        except OSError:  # being replaced, or without leave: reading it will tell
            continue
        states[str(log.path)] = (state.st_mtime_ns, state.st_size)
    return states


def _looks(
    roots: Sequence[str],
    score: Score,
    every_sec: float,
    sleep: Callable[[float], None],
    now: Callable[[], float],
) -> Iterator[tuple[Scored | None, list[Progress], list[Progress]]]:
    """Scores, runs in progress and those that grew: at first, and at each change."""
    before: dict[str, tuple[int, int]] | None = None
    while True:
        states = log_states(roots)
        if states != before:
            try:
                reading = read_logs(roots)
                scored = score(reading)
            except UserError:
                if states:
                    raise
                yield None, [], []
            else:
                trials = [t for t in reading.trials if _running(t, states, now())]
                # At first those in progress; later also what ended with its growth.
                grown = trials
                if before is not None:
                    changed = dict(states.items() ^ before.items())
                    grown = [t for t in reading.trials if str(t.path) in changed]
                yield scored, _progress(trials, scored), _progress(grown, scored)
            before = states
        sleep(every_sec)


def _progress(trials: Sequence[Trial], scored: Scored) -> list[Progress]:
    found = (progress(trial, scored) for trial in trials)
    return [each for each in found if each is not None]


def _running(trial: Trial, states: dict[str, tuple[int, int]], now_sec: float) -> bool:
    """Whether a log grew in the last hour, and its runner has not said it is done."""
    grown_ns, _ = states.get(str(trial.path), (0, 0))
    ended = os.path.exists(trial.path.parent / OUTCOME)
    return not ended and now_sec - grown_ns / 1e9 < QUIET_SEC


def _score_line(scored: Scored | None) -> str:
    if scored is None:
        return "no logs yet"
    rows = scored.leaderboard.rows
    return "scores: " + ", ".join(f"{row.submission} {row.score:.4f}" for row in rows)


def _share(share: float) -> str:
    return number(100 * share, ".1f", "unknown share", " %")
