"""Score the logs of AlgoPerf runs, from time to target to performance profiles.

    unscheduled score LOGS... [--benchmark=ext] [--baseline=NAME]
    unscheduled score LOGS... --against=published:0.5
    unscheduled score --against=published:rolling [--why=NAME]
    unscheduled score --against=published:rolling --what_if=NAME/wmt=ms*0.94
    unscheduled score LOGS... --watch

Each of LOGS is a folder that holds submissions, or one submission's folder. With
--against they are scored in the group of the published submissions of that version and
--ruleset, or of some: --against=published:0.5/baseline,schedule_free_adamw. Without
LOGS these alone are.

Ends with 0, with 1 where arguments or logs can't be scored, and with 2 where --strict
is given and something is irregular. docs/scoring.md has the columns of each format.
"""

import contextlib
import sys
from collections.abc import Sequence

from absl import flags

from unscheduled.benchmark.errors import UserError
from unscheduled.scoring.comparison import all_intervals
from unscheduled.scoring.flags import (
    define_flags,
    read_and_score,
    run_program,
    score_by_flags,
)
from unscheduled.scoring.formats import to_csv, to_json, to_markdown
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.tables import comparison, print_scores, what_was_read
from unscheduled.scoring.watch import watch
from unscheduled.scoring.what_if import read_assumptions, what_if

FORMATS = ["table", "json", "csv", "markdown"]

define_flags()
_FORMAT = flags.DEFINE_enum(
    "format", "table", FORMATS, "What to print; json has everything."
)
_INTERVALS = flags.DEFINE_bool(
    "intervals",
    False,
    "Whether to say how sure the figures are, by drawing the studies anew many times: "
    "intervals, comparisons with the baseline, budgets. With --format table or json.",
)
_WHY = flags.DEFINE_list(
    "why",
    [],
    "Submissions to show, workload by workload, where they win, where they lose and to "
    "what, or all. With --format=table; the other formats always say so.",
)
_WHAT_IF = flags.DEFINE_multi_string(
    "what_if",
    [],
    "An assumption to score the group by: SUBMISSION/WORKLOAD=WHAT, where WHAT is "
    "another submission, or as 3640s, 57000steps, steps*0.5, or ms*0.94, a factor on "
    "the time a step; WORKLOAD may be all. Or a file with one a line. May be given "
    "several times. With --format table or json.",
)


class _Seconds(flags.ArgumentParser):
    """A positive number of seconds; the flag alone is 5 of them."""

    def parse(self, argument: str | float) -> float | None:
        if argument in ("true", "false"):
            return 5.0 if argument == "true" else None
        seconds = float(argument)
        if not 0 < seconds < float("inf"):
            raise ValueError("must be a positive number of seconds")
        return seconds

    def flag_type(self) -> str:
        return "seconds"


_WATCH = flags.DEFINE(
    _Seconds(),
    "watch",
    None,
    "Show runs in progress and scores again whenever logs grow, until Ctrl-C; the "
    "seconds between two looks may follow (--watch=5).",
)
flags.FLAGS["watch"].boolean = True  # may stand without a value


def show_scores(roots: Sequence[str]) -> None:
    given = _FORMAT.value
    for flag, formats in (
        (_INTERVALS, FORMATS[:2]),
        (_WHAT_IF, FORMATS[:2]),
        (_WHY, FORMATS[:1]),
    ):
        if flag.value and given not in formats:
            fits = " and ".join(formats)
            raise UserError(f"--{flag.name} goes with {fits}, not with {given}.")
    _, scored = read_and_score("score.py", roots)
    assumptions = read_assumptions(_WHAT_IF.value)
    intervals = all_intervals(scored) if _INTERVALS.value else None
    if_so = what_if(scored, assumptions) if assumptions else None
    if given == "json":
        sys.stdout.write(to_json(scored, intervals, if_so))
    elif given == "markdown":
        sys.stdout.write(to_markdown(scored))
    elif given == "csv":
        sys.stdout.write(to_csv(scored))
        for line in (*comparison(scored), *scored.notes, *what_was_read(scored)):
            print(line, file=sys.stderr)
    else:
        print_scores(sys.stdout, scored, intervals, pages(scored), if_so)


def pages(scored: Scored) -> list[str]:
    if _WHY.value == ["all"]:
        return [row.submission for row in scored.leaderboard.rows]
    for name in _WHY.value:
        if name not in scored.submissions:
            choices = ", ".join(scored.submissions)
            raise UserError(f"--why={name}: choose from all, {choices}.")
    return _WHY.value


def keep_watching(roots: Sequence[str], every_sec: float) -> None:
    if not roots:
        raise UserError("--watch needs LOGS to watch.")
    if _FORMAT.value != "table" or flags.FLAGS.strict or _INTERVALS.value:
        raise UserError("--watch goes without --format, --strict and --intervals.")
    with contextlib.suppress(KeyboardInterrupt):
        watch(sys.stdout, roots, score_by_flags, every_sec)


def main(argv: Sequence[str]) -> int:
    every_sec, roots = _WATCH.value, argv[1:]
    if every_sec is None:
        return run_program("score.py", lambda: show_scores(roots))
    return run_program("score.py", lambda: keep_watching(roots, every_sec))
