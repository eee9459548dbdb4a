"""The flags by which score.py and report.py score alike, and how they end."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import RULESETS, ruleset
from unscheduled.benchmark.targets import choose_benchmark
from unscheduled.benchmark.text import printable
from unscheduled.scoring.logs import Reading, read_logs
from unscheduled.scoring.published import parse_against
from unscheduled.scoring.scored import NOTHING_READ, Scored, score_group
from unscheduled.scoring.times import RULES

ERROR, IRREGULAR = 1, 2  # exit codes


def define_flags() -> None:
    flags.DEFINE_string(
        "benchmark",
        "auto",
        "Targets to score by: ext, 0.6, 0.5, rolling, the path of a targets file, or "
        "auto: the first of the four with every workload found, or that of --against.",
    )
    flags.DEFINE_enum(
        "ruleset",
        "self",
        list(RULESETS),
        "How the runs were tuned. It decides the budget that a miss counts as, and how "
        "many studies and trials are expected.",
    )
    flags.DEFINE_enum(
        "rule",
        "documented",
        list(RULES),
        "Which trial stands for a study: the fastest (documented), or the one with the "
        "fewest evaluations, as the official code has it.",
    )
    flags.DEFINE_string(
        "baseline",
        None,
        "Submission to compare times with; with --against by default the published one "
        "called baseline.",
    )
    flags.DEFINE_string(
        "against",
        None,
        "Published submissions to score in one group with LOGS: published:0.5, "
        "published:0.6 or published:rolling, the rolling leaderboard, with /NAME,NAME "
        "after it for some of them.",
    )
    flags.DEFINE_bool(
        "strict", False, "Whether anything irregular about the logs is an error."
    )


def run_program(name: str, work: Callable[[], None]) -> int:
    """Do the work of a command; an error is one sentence on stderr, and exit code 1."""
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        print(f"{name}: {printable(error)}", file=sys.stderr)
        return ERROR
    return 0


def read_and_score(name: str, roots: Sequence[str]) -> tuple[Reading, Scored]:
    """Read the logs below `roots`, if any are needed, and score them.

    Ends the command called `name` where --strict is given and anything is irregular.
    """
    alone = not roots and flags.FLAGS.against is not None
    reading = NOTHING_READ if alone else read_logs(roots)
    scored = score_by_flags(reading)
    if flags.FLAGS.strict and scored.warnings:
        for warning in scored.warnings:
            print(f"{name}: {warning}", file=sys.stderr)
        sys.exit(IRREGULAR)
    return reading, scored


def score_by_flags(reading: Reading) -> Scored:
    """Score what was read; raises UserError where these flags don't allow it."""
    given, published = flags.FLAGS, None
    name = given.benchmark
    workloads = {trial.workload for trial in reading.trials}
    if given.against is not None:
        published = parse_against(given.against, given.ruleset)
        if name not in ("auto", published.version):
            raise UserError(
                f"--against={given.against} is scored by benchmark "
                f"{published.version}, not {name!r}: leave --benchmark out."
            )
        name = published.version
        theirs = {study.workload for study in published.studies["documented"]}
        workloads = workloads or theirs
    benchmark = choose_benchmark(name, workloads)
    rules = ruleset(given.ruleset, benchmark.version)
    return score_group(reading, benchmark, rules, given.rule, given.baseline, published)
