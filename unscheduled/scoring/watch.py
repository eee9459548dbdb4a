"""Watch runs as they go: what each is at, and the scores so far.

A log that is being written is normal here: what can't be read yet is passed over, and
read when it has grown.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Group
from rich.live import Live

from unscheduled.benchmark.run_files import OUTCOME
from unscheduled.benchmark.tables import Table, number
from unscheduled.scoring.budget import approach
from unscheduled.scoring.logs import Reading, Trial, find_logs, read_logs
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.tables import console_for, score_table
from unscheduled.scoring.times import first_hit

QUIET_SEC = 3600.0  # a log that has not grown for this long is not in progress

Score = Callable[[Reading], Scored]
Rows = list[tuple[str, ...]]
_COLUMNS = ("run", "seconds", "steps", "last", "state", "budget used")
_LINE = "{}: {} s, step {}, last {}, {}, {} of the budget"


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
    """

    def clock_time() -> str:
        return f"{datetime.fromtimestamp(now()):%H:%M:%S}"

    looks = _looks(roots, score, every_sec, sleep, now)
    if file.isatty():
        with Live(console=console_for(file), auto_refresh=False) as live:
            for scored, running, _ in looks:
                live.update(_page(scored, running, clock_time()), refresh=True)
        return
    for scored, _, grown in looks:
        for line in (*(_LINE.format(*row) for row in grown), _score_line(scored)):
            print(clock_time(), line, file=file, flush=True)


def progress(trials: Iterable[Trial], scored: Scored) -> Rows:
    """What evaluated runs of scored workloads are at: the cells of `_COLUMNS`."""
    rows = []
    for trial in trials:
        target = scored.benchmark.targets.get(trial.workload)
        if target is None or not len(trial.score):
            continue
        values = trial.validation.get(target.metric, np.full(len(trial.score), np.nan))
        best, hit_sec = target.best(values), first_hit(trial, target).time_sec
        state = f"target reached after {hit_sec:.2f} s"
        if math.isinf(hit_sec):
            known = not math.isnan(best)
            words = approach(best, target).words if known else "nothing yet"
            state = f"best so far {words}"
        sec = trial.score[-1]
        budget_sec = scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
        row = (
            f"{trial.submission} {trial.study} {trial.workload}_{trial.framework} "
            f"trial_{trial.number}",
            f"{sec:.2f}",
            f"{trial.global_step[-1]:.10g}",
            f"{values[-1]:.6g}",
            state,
            number(100 * sec / budget_sec, ".1f", "unknown share", " %"),
        )
        rows.append(row)
    return rows


def log_states(roots: Sequence[str]) -> dict[Path, tuple[int, int]]:
    """Time of change and size of every log below `roots`."""
    logs, _ = find_logs(roots)
    states = {}
    for log in logs:
        with contextlib.suppress(OSError):  # being replaced: reading it will tell
            state = os.stat(log.path)
            states[log.path] = (state.st_mtime_ns, state.st_size)
    return states


def _page(scored: Scored | None, running: Rows, now: str) -> Group:
    """What a terminal shows: runs in progress, and the scores so far."""
    if scored is None:
        return Group(f"No logs yet. {now}, Ctrl-C ends")
    title = f"Runs in progress, {now}, Ctrl-C ends"
    runs = Table(title, _COLUMNS, running)
    title = f"AlgoPerf scores so far, benchmark {scored.benchmark.version}"
    scores = score_table(title, scored.leaderboard, scored.benchmark, scored)
    return Group(runs if running else f"No {runs.title}", scores)


def _looks(
    roots: Sequence[str],
    score: Score,
    every_sec: float,
    sleep: Callable[[float], None],
    now: Callable[[], float],
) -> Iterator[tuple[Scored | None, Rows, Rows]]:
    """Scores, runs in progress and those that grew: at first, and at each change."""
    before = None
    while True:
        states = log_states(roots)
        if states == before:
            pass
        elif not states:
            yield None, [], []
        else:
            reading = read_logs(roots)
            scored = score(reading)
            running = [t for t in reading.trials if _is_running(t, states, now())]
            grown = running  # at first; later also what ended with its growth
            if before is not None:
                changed = {path for path, _ in states.items() ^ before.items()}
                grown = [trial for trial in reading.trials if trial.path in changed]
            yield scored, progress(running, scored), progress(grown, scored)
        before = states
        sleep(every_sec)


def _is_running(
    trial: Trial, states: dict[Path, tuple[int, int]], now_sec: float
) -> bool:
    """Whether a log grew in the last hour, and its runner has not said it is done."""
    grown_ns, _ = states.get(trial.path, (0, 0))
    ended = os.path.exists(trial.path.parent / OUTCOME)
    return not ended and now_sec - grown_ns / 1e9 < QUIET_SEC


def _score_line(scored: Scored | None) -> str:
    if scored is None:
        return "no logs yet"
    rows = scored.leaderboard.rows
    return "scores: " + ", ".join(f"{row.submission} {row.score:.4f}" for row in rows)
