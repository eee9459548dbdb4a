"""Score the logs of AlgoPerf runs, from time to target to performance profiles.

    python scripts/score.py LOGS... [--benchmark=ext] [--baseline=NAME]
    python scripts/score.py LOGS... --against=published:0.5
    python scripts/score.py --against=published:0.5
    python scripts/score.py LOGS... --watch

Each of LOGS is a folder that holds submissions, or one submission's folder. With
--against they are scored in the group of the published submissions of that version and
--ruleset, or of some: --against=published:0.5/baseline,schedule_free_adamw. Without
LOGS these alone are.

Ends with 0, with 1 where arguments or logs can't be scored, and with 2 where --strict
is given and something is irregular. docs/scoring.md has the columns of each format.
"""

import os
import sys
from collections.abc import Sequence

from absl import app, flags

from unscheduled.scoring.errors import ScoringError
from unscheduled.scoring.formats import to_csv, to_json, to_markdown
from unscheduled.scoring.logs import Reading, read_logs
from unscheduled.scoring.published import parse_against
from unscheduled.scoring.rulesets import RULESETS, ruleset
from unscheduled.scoring.scored import NOTHING_READ, Scored, score_group
from unscheduled.scoring.tables import comparison, print_scores, what_was_read
from unscheduled.scoring.targets import choose_benchmark
from unscheduled.scoring.times import RULES
from unscheduled.scoring.watch import watch

ERROR, IRREGULAR = 1, 2  # exit codes
TEXT = {"json": to_json, "csv": to_csv, "markdown": to_markdown}

_BENCHMARK = flags.DEFINE_string(
    "benchmark",
    "auto",
    "Targets to score by: ext, 0.6, 0.5, the path of a targets file, or auto for the "
    "first of the three that has every workload found; with --against its version.",
)
_RULESET = flags.DEFINE_enum(
    "ruleset",
    "self",
    list(RULESETS),
    "How the runs were tuned. It says how many times max_allowed_runtime_sec a run was "
    "given (self 1.5, in version 0.5 3; external 1), so what a miss counts as in "
    "ratios of times, and how many studies and trials are expected.",
)
_RULE = flags.DEFINE_enum(
    "rule",
    "documented",
    list(RULES),
    "Which trial stands for a study: the fastest (documented), or the one with the "
    "fewest evaluations, as the official code has it.",
)
_BASELINE = flags.DEFINE_string(
    "baseline",
    None,
    "Submission to compare times with, as a geometric mean; with --against the "
    "published one of the name baseline, if nothing else is said.",
)
_AGAINST = flags.DEFINE_string(
    "against",
    None,
    "Published submissions to score in one group with LOGS: published:0.5 or "
    "published:0.6, with /NAME,NAME after it for some of them.",
)
_FORMAT = flags.DEFINE_enum(
    "format", "table", ["table", *TEXT], "What to print; json has everything."
)
_INTERVALS = flags.DEFINE_bool(
    "intervals",
    False,
    "Whether to add intervals to the scores, by drawing the studies anew many times.",
)
_STRICT = flags.DEFINE_bool(
    "strict", False, "Whether anything irregular about the logs is an error."
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


def score(reading: Reading) -> Scored:
    """Score what was read, by the flags."""
    published = None
    name = _BENCHMARK.value
    if _AGAINST.value is not None:
        published = parse_against(_AGAINST.value, _RULESET.value)
        if name not in ("auto", published.version):
            raise ScoringError(
                f"--against={_AGAINST.value} is scored by benchmark "
                f"{published.version}, not {name!r}: leave --benchmark out."
            )
        name = published.version
    workloads = {trial.workload for trial in reading.trials}
    if published and not reading.trials:
        workloads = {study.workload for study in published.studies["documented"]}
    benchmark = choose_benchmark(name, workloads)
    return score_group(
        reading,
        benchmark,
        ruleset(_RULESET.value, benchmark.version),
        _RULE.value,
        _BASELINE.value,
        published,
        _INTERVALS.value,
    )


def report(roots: Sequence[str]) -> int:
    """Read the logs below `roots`, print their scores, and return the exit code."""
    alone = not roots and _AGAINST.value is not None
    scored = score(NOTHING_READ if alone else read_logs(roots))
    if _STRICT.value and scored.irregularities:
        for irregularity in scored.irregularities:
            print(f"score.py: {irregularity}", file=sys.stderr)
        return IRREGULAR
    if _FORMAT.value == "table":
        print_scores(sys.stdout, scored)
    else:
        sys.stdout.write(TEXT[_FORMAT.value](scored))
        if _FORMAT.value == "csv":
            for line in (*comparison(scored), *scored.notes, *what_was_read(scored)):
                print(line, file=sys.stderr)
    sys.stdout.flush()
    return 0


def keep_watching(roots: Sequence[str], every_sec: float) -> None:
    """Show what goes on below `roots` until interrupted."""
    if not roots:
        raise ScoringError("--watch needs LOGS to watch.")
    if _FORMAT.value != "table" or _STRICT.value:
        raise ScoringError("--watch goes with neither --format nor --strict.")
    watch(sys.stdout, roots, score, every_sec)


def main(argv: Sequence[str]) -> int:
    try:
        if _WATCH.value is None:
            return report(argv[1:])
        keep_watching(argv[1:], _WATCH.value)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ScoringError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return ERROR
    return 0


if __name__ == "__main__":
    app.run(main)
