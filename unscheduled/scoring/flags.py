"""The flags by which score.py and report.py score alike."""

from absl import flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import RULESETS, ruleset
from unscheduled.benchmark.targets import choose_benchmark
from unscheduled.scoring.logs import Reading
from unscheduled.scoring.published import parse_against
from unscheduled.scoring.scored import Scored, score_group
from unscheduled.scoring.times import RULES


def define_flags() -> None:
    """Define --benchmark, --ruleset, --rule, --baseline, --against and --strict."""
    flags.DEFINE_string(
        "benchmark",
        "auto",
        "Targets to score by: ext, 0.6, 0.5, rolling, the path of a targets file, or "
        "auto for the first of the four that has every workload found; with --against "
        "its version.",
    )
    flags.DEFINE_enum(
        "ruleset",
        "self",
        list(RULESETS),
        "How the runs were tuned. It says how many times max_allowed_runtime_sec a run "
        "was given (self 1.5, in version 0.5 3; external 1), so what a miss counts as "
        "in ratios of times, and how many studies and trials are expected.",
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
        "Submission to compare times with, as a geometric mean; with --against the "
        "published one of the name baseline, if nothing else is said.",
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


def score_by_flags(reading: Reading) -> Scored:
    """Score what was read.

    Raises:
      UserError: by these flags it can't be scored.
    """
    given = flags.FLAGS
    published = None
    name = given.benchmark
    if given.against is not None:
        published = parse_against(given.against, given.ruleset)
        if name not in ("auto", published.version):
            raise UserError(
                f"--against={given.against} is scored by benchmark "
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
        ruleset(given.ruleset, benchmark.version),
        given.rule,
        given.baseline,
        published,
    )
