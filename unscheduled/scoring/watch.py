"""Watch runs as they go: what each is at, and the scores so far."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Group
from rich.live import Live

from unscheduled.benchmark.run_files import OUTCOME
from unscheduled.benchmark.tables import Table, number
from unscheduled.scoring.logs import Reading, Trial, find_logs, read_logs
from unscheduled.scoring.scored import NOTHING_READ, Scored
from unscheduled.scoring.tables import console_for, score_table
from unscheduled.scoring.times import approach, first_hit, metric_values

QUIET_SEC = 3600.0  # a log that has not grown for this long is not in progress

_COLUMNS = ("run", "seconds", "steps", "last", "state", "budget used")
_LINE = "{}: {} s, step {}, last {}, {}, {} of the budget"


def watch(
    file: TextIO,
    roots: Sequence[str],
    score: Callable[[Reading], Scored],
    every_sec: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> None:
    """Print scores and runs in progress whenever logs grow, until interrupted."""
    before: dict[Path, tuple[int, int]] | None = None
    live = Live(console=console_for(file), auto_refresh=False)
    with live if file.isatty() else contextlib.nullcontext():
        while True:
            states = log_states(roots)
            if states != before:
                stamp = f"{datetime.fromtimestamp(now()):%H:%M:%S}"
                reading = read_logs(roots) if states else NOTHING_READ
                scored = score(reading) if states else None
                trials = reading.trials
                grown = [t for t in trials if _is_running(t, states, now())]
                if file.isatty():
                    live.update(_page(scored, grown, stamp), refresh=True)
                else:
                    if before is not None:  # later also what ended as it grew
                        changed = {path for path, _ in states.items() ^ before.items()}
                        grown = [trial for trial in trials if trial.path in changed]
                    for line in _lines(scored, grown):
                        print(stamp, line, file=file, flush=True)
            before = states
            sleep(every_sec)


def progress(trials: Iterable[Trial], scored: Scored) -> list[tuple[str, ...]]:
    """What evaluated runs of scored workloads are at: the cells of `_COLUMNS`."""
    rows = []
    for trial in trials:
        target = scored.benchmark.targets.get(trial.workload)
        if target is None or not len(trial.score):
            continue
        values = metric_values(trial, target)
        best, hit_sec = target.best(values), first_hit(trial, target).time_sec
        state = f"target reached after {hit_sec:.2f} s"
        if math.isinf(hit_sec):
            state = f"best so far {approach(best, target).words}"
        if math.isnan(best):
            state = "best so far nothing yet"
        sec, step = trial.score[-1], f"{trial.global_step[-1]:.10g}"
        share = sec / scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
        used = number(100 * share, ".1f", "unknown share", " %")
        name = f"{trial.submission} {trial.study} {trial.workload}_{trial.framework}"
        name += f" trial_{trial.number}"
        rows.append((name, f"{sec:.2f}", step, f"{values[-1]:.6g}", state, used))
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


def _page(scored: Scored | None, running: Sequence[Trial], now: str) -> Group:
    if scored is None:
        return Group(f"No logs yet. {now}, Ctrl-C ends")
    title = f"Runs in progress, {now}, Ctrl-C ends"
    runs = Table(title, _COLUMNS, progress(running, scored))
    title = f"AlgoPerf scores so far, benchmark {scored.benchmark.version}"
    scores = score_table(title, scored, scored)
    return Group(runs if runs.rows else f"No {runs.title}", scores)


def _lines(scored: Scored | None, grown: Sequence[Trial]) -> list[str]:
    if scored is None:
        return ["no logs yet"]
    scores = [f"{row.submission} {row.score:.4f}" for row in scored.leaderboard.rows]
    runs = [_LINE.format(*run) for run in progress(grown, scored)]
    return [*runs, f"scores: {', '.join(scores)}"]


def _is_running(
    trial: Trial, states: Mapping[Path, tuple[int, int]], now_sec: float
) -> bool:
    """Whether a log grew in the last hour, and its runner has not said it is done."""
    grown_ns, _ = states.get(trial.path, (0, 0))
    ended = os.path.exists(trial.path.parent / OUTCOME)
    return not ended and now_sec - grown_ns / 1e9 < QUIET_SEC
