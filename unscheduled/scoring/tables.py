"""Tables for the terminal, and plain text for a pipe."""

import math
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from unscheduled.benchmark.targets import Benchmark
from unscheduled.scoring import spread, why
from unscheduled.scoring.leaderboard import Leaderboard
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.spread import Spread, new_table, sentences
from unscheduled.scoring.times import Result
from unscheduled.scoring.verdicts import verdicts
from unscheduled.scoring.what_if import WhatIf

_SHOWN = 5  # irregularities of a kind
_PIPE_WIDTH = 10_000  # characters: never cuts a name, and tables don't stretch to it


class _Console(Console):
    """A console that leaves a closed pipe to the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_for(file: TextIO) -> Console:
    """A console that writes plain text to `file`, as wide as it needs, in a pipe."""
    return _Console(
        file=file,
        width=None if file.isatty() else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_scores(
    file: TextIO,
    scored: Scored,
    of: Spread | None = None,
    pages: Sequence[str] = (),
    if_so: WhatIf | None = None,
) -> None:
    """Print to `file` a table a workload, what was irregular, the scores, the notes.

    Args:
      of: how sure the figures are; printed before the scores.
      pages: submissions to print `why` of.
      if_so: what would be; printed at the end.
    """
    console = console_for(file)
    leaderboard, found = scored.leaderboard, verdicts(scored)
    for workload in (*leaderboard.base_run, *leaderboard.held_out_run):
        console.print(workload_table(workload, scored, found))
    for line in what_was_read(scored):
        console.print(line, soft_wrap=True)
    if of is not None:
        console.print(spread.tables(scored, of))
    for submission in pages:
        console.print(why_table(scored, submission, found))
    if pages:
        console.print(sentences(why.NOTE), framework_table(scored))
    console.print(summary(scored))
    if if_so is not None:
        console.print(what_if_tables(if_so))


def summary(scored: Scored) -> Group:
    """The scores, and the sentences that say what stands behind them."""
    parts: list[Table | Text] = [unscored_table(scored)] if scored.unscored else []
    if scored.leaderboard.rows:
        title = f"AlgoPerf scores, benchmark {scored.benchmark.version}"
        parts += [score_table(title, scored.leaderboard, scored.benchmark, scored)]
        parts += map(sentences, coverage(scored.leaderboard, scored.benchmark))
    if scored.part is not None:
        base = scored.part.benchmark.base
        title = f"On the workloads with logs alone: {', '.join(base)}"
        parts.append(
            score_table(title, scored.part.leaderboard, scored.part.benchmark, scored)
        )
    parts += map(sentences, [*comparison(scored), *scored.notes])
    return Group(*parts)


def what_was_read(scored: Scored) -> list[str]:
    """Counts of what was read, and the first few irregularities of each kind."""
    if scored.summary is None:
        return []
    lines = []
    for rule, count in scored.summary.irregular.items():
        found = [str(one) for one in scored.irregularities if one.rule == rule]
        lines += found[:_SHOWN]
        if count > _SHOWN:
            more = count - _SHOWN
            lines.append(f"... and {more} more of {rule}: --format=json has them all.")
    return [*scored.summary.lines(), *lines]


def workload_table(workload: str, scored: Scored, found: why.Found) -> Table:
    """A row a submission, fastest first; who did not run the workload comes last."""
    table = new_table(
        f"{workload}: {scored.benchmark.targets[workload]}",
        ["submission"],
        ["median seconds to target", "median steps to target", "studies hit"],
    )
    use = scored.budget_use()
    missed = any(
        math.isinf(r.time_sec) for r in scored.results if r.workload == workload
    )
    if missed:
        table.add_column("closest miss", overflow="fold")
        table.add_column("why", overflow="fold")
    ran = {r.submission: r for r in scored.results if r.workload == workload}
    for result in sorted(ran.values(), key=lambda r: (r.time_sec, r.submission)):
        table.add_row(
            result.submission,
            _to_target(result.time_sec, ".2f"),
            _to_target(result.steps, ".10g"),
            f"{result.n_hit}/{result.n_studies}",
            *(_miss(result, use, found) if missed else []),
        )
    for submission in scored.submissions:
        if submission not in ran:
            table.add_row(submission, "-", "-", "-")
    return table


def unscored_table(scored: Scored) -> Table:
    """A row a trial that there is no target for: what its last evaluation says."""
    table = new_table(
        "Without a target: times and steps at the last evaluation",
        ["submission", "study", "workload", "trial"],
        ["seconds", "steps", "evaluations"],
    )
    for trial in scored.unscored:
        names = (f"{trial.workload}_{trial.framework}", f"trial_{trial.number}")
        end = ["-", "-"]
        if len(trial.score):
            end = [f"{trial.score[-1]:.2f}", f"{trial.global_step[-1]:.10g}"]
        n = str(len(trial.score))
        table.add_row(trial.submission, trial.study, *names, *end, n)
    return table


def why_table(scored: Scored, submission: str, found: why.Found) -> Group:
    """Where a submission wins, where it loses, and to what."""
    table = new_table(submission, why.COLUMNS[:2], why.COLUMNS[2:])
    for row in why.rows(scored, submission, found):
        table.add_row(*row)
    return Group(table, sentences(why.summary(scored, submission, found)))


def framework_table(scored: Scored) -> Group:
    """Milliseconds a step by workload and framework."""
    left, right = why.FRAMEWORK_COLUMNS[:2], why.FRAMEWORK_COLUMNS[2:]
    table = new_table("Milliseconds a step, by framework", left, right)
    for row in why.framework_rows(scored):
        table.add_row(*row)
    return Group(table, sentences(why.FRAMEWORK_NOTE))


def what_if_tables(if_so: WhatIf) -> Group:
    """What each assumption does by itself, and the scores with all of them."""
    alone = new_table(
        "What if: each assumption alone",
        ["assumption"],
        ["workload", "seconds", "assumed", "AlgoPerf score", "worth"],
    )
    for change in if_so.changes:
        before = if_so.before[change.assumption.submission]
        score = [f"{change.score:.4f}", f"{change.score - before:+.4f}"]
        times = change.times_sec or {"no other time": (math.nan, math.nan)}
        for i, (workload, (sec, assumed)) in enumerate(times.items()):
            told = [_to_target(sec, ".2f"), _to_target(assumed, ".2f")]
            text = change.assumption.text if i == 0 else ""
            alone.add_row(text, workload, *told, *(score if i == 0 else ["", ""]))
    together = new_table(
        "What if: the scores with all of them",
        ["submission"],
        ["AlgoPerf score", "as it is", "95% interval", "best of the group"],
    )
    for submission, score in if_so.after.items():
        found = if_so.intervals[submission]
        together.add_row(
            submission,
            f"{score:.4f}",
            f"{if_so.before[submission]:.4f}",
            spread.ends(found.interval, 4),
            f"{100 * found.p_best:.1f}%",
        )
    note = (
        "The interval is what drawing the studies anew gives, as --intervals says; a "
        "time that was given is the same in every study."
    )
    return Group(alone, together, sentences(note))


def score_table(
    title: str, leaderboard: Leaderboard, benchmark: Benchmark, scored: Scored
) -> Table:
    """A row a submission, best AlgoPerf score first."""
    compared = any(row.time_ratio is not None for row in leaderboard.rows)
    headings = ["AlgoPerf score", "base targets hit"]
    if scored.published:
        headings.insert(0, "runs")
    if compared:
        headings += [f"time / {scored.baseline}", "where both hit"]
    table = new_table(title, ["submission"], headings)
    for row in leaderboard.rows:
        cells = [f"{row.score:.4f}", f"{row.n_hit}/{len(benchmark.base)}"]
        if scored.published:
            cells.insert(0, scored.source(row.submission))
        if row.time_ratio is not None and row.both_ratio is not None:
            cells.append(_ratio(row.time_ratio))
            cells.append(f"{_ratio(row.both_ratio)} ({row.n_both})")
        table.add_row(row.submission, *cells)
    return table


def coverage(leaderboard: Leaderboard, benchmark: Benchmark) -> list[str]:
    """Say in sentences how much of the benchmark stands behind the scores."""
    base_run, held_out_run = leaderboard.base_run, leaderboard.held_out_run
    lines = [f"{len(base_run)} of {len(benchmark.base)} base workloads have logs."]
    if len(base_run) < len(benchmark.base):
        lines.append("The others count as missed by every submission.")
    if len(held_out_run) < len(benchmark.held_out):
        lines.append(
            f"{len(held_out_run)} of {len(benchmark.held_out)} held-out workloads have "
            "logs; the others disqualify nobody."
        )
    return lines


def comparison(scored: Scored) -> list[str]:
    """Say in sentences what the ratios to the baseline are made of."""
    if scored.baseline is None:
        return []
    ruleset, benchmark = scored.ruleset, scored.benchmark
    lines = [
        f"time / {scored.baseline}: geometric mean over the base workloads, below 1 is "
        "faster; where both hit: the same over those that both reached, (how many)."
    ]
    missed = {r.workload for r in scored.results if math.isinf(r.time_sec)}
    missed_sec = {
        w: ruleset.miss_sec(benchmark.targets[w].max_allowed_runtime_sec)
        for w in benchmark.base
        if w in missed
    }
    if missed_sec:
        counts = ", ".join(
            f"{w} {'unknown' if math.isnan(sec) else f'{sec:.0f} s'}"
            for w, sec in missed_sec.items()
        )
        lines.append(
            f"In time / {scored.baseline} a miss counts as the budget of {ruleset} "
            f"({ruleset.budget_factor:g} x max_allowed_runtime_sec) plus 1 s, and as "
            f"equal where both missed: {counts}."
        )
    if any(
        row.time_ratio is not None and math.isnan(row.time_ratio)
        for row in scored.leaderboard.rows
    ):
        lines.append(
            "n/a: a workload that only one of the two ran, a miss of unknown budget, "
            "or no workload at all."
        )
    return lines


def _to_target(value: float, form: str) -> str:
    if math.isnan(value):
        return "-"
    return "missed" if math.isinf(value) else format(value, form)


def _miss(result: Result, use: Mapping, found: why.Found) -> tuple[str, str]:
    """How close the studies that missed came, and why the median one did."""
    key = result.submission, result.workload
    closest = use[key].misses.words if use[key].misses else ""
    return closest, found[key].words if math.isinf(result.time_sec) else ""


def _ratio(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4f}"
