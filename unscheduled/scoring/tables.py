"""Tables for the terminal, and plain text for a pipe."""

import math
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from unscheduled.scoring.leaderboard import Leaderboard
from unscheduled.scoring.targets import Benchmark
from unscheduled.scoring.times import Result

_PIPE_WIDTH = 10_000  # characters: never cuts a name, and tables don't stretch to it


def print_scores(
    file: TextIO,
    results: Sequence[Result],
    leaderboard: Leaderboard,
    benchmark: Benchmark,
    baseline: str | None = None,
    notes: Iterable[str] = (),
) -> None:
    """Print to `file` a table a workload, the notes, the scores and their basis."""
    console = Console(
        file=file,
        width=None if file.isatty() else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
    submissions = sorted(row.submission for row in leaderboard.rows)
    for workload in (*leaderboard.base_run, *leaderboard.held_out_run):
        console.print(workload_table(workload, results, submissions, benchmark))
    for note in notes:
        console.print(note, soft_wrap=True)
    console.print(score_table(leaderboard, benchmark, baseline))
    for line in coverage(leaderboard, benchmark):
        console.print(line, soft_wrap=True)


def workload_table(
    workload: str,
    results: Iterable[Result],
    submissions: Sequence[str],
    benchmark: Benchmark,
) -> Table:
    """A row a submission, fastest first; who did not run the workload comes last."""
    table = _table(
        f"{workload}: {benchmark.targets[workload]}",
        "submission",
        "median seconds to target",
        "median steps to target",
        "studies hit",
    )
    ran = {
        result.submission: result for result in results if result.workload == workload
    }
    for result in sorted(ran.values(), key=lambda r: (r.time_sec, r.submission)):
        table.add_row(
            result.submission,
            _to_target(result.time_sec, ".2f"),
            _to_target(result.steps, ".10g"),
            f"{result.n_hit}/{result.n_studies}",
        )
    for submission in submissions:
        if submission not in ran:
            table.add_row(submission, "-", "-", "-")
    return table


def score_table(
    leaderboard: Leaderboard, benchmark: Benchmark, baseline: str | None
) -> Table:
    """A row a submission, best AlgoPerf score first."""
    headings = ["submission", "AlgoPerf score", "base targets hit"]
    if baseline is not None:
        headings.append(f"time / {baseline}")
    table = _table(f"AlgoPerf scores, benchmark {benchmark.version}", *headings)
    for row in leaderboard.rows:
        cells = [
            row.submission,
            f"{row.score:.4f}",
            f"{row.n_hit}/{len(benchmark.base)}",
        ]
        if row.time_ratio is not None:
            cells.append(
                "n/a" if math.isnan(row.time_ratio) else f"{row.time_ratio:.4f}"
            )
        table.add_row(*cells)
    return table


def coverage(leaderboard: Leaderboard, benchmark: Benchmark) -> list[str]:
    """Say in sentences how much of the benchmark stands behind the scores."""
    rows = leaderboard.rows
    base_run, held_out_run = leaderboard.base_run, leaderboard.held_out_run
    lines = [f"{len(base_run)} of {len(benchmark.base)} base workloads have logs."]
    if len(base_run) < len(benchmark.base):
        lines.append("The others count as missed by every submission.")
    if len(held_out_run) < len(benchmark.held_out):
        lines.append(
            f"{len(held_out_run)} of {len(benchmark.held_out)} held-out workloads have "
            "logs; the others disqualify nobody."
        )
    if any(row.time_ratio is not None and math.isnan(row.time_ratio) for row in rows):
        lines.append("n/a: a workload without logs, or a miss of unknown budget.")
    return lines


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _to_target(value: float, form: str) -> str:
    return "missed" if math.isinf(value) else format(value, form)
