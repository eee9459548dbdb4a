"""Score the logs of AlgoPerf runs, from time to target to performance profiles.

    python scripts/score.py LOGS... [--benchmark=ext] [--baseline=NAME]

Each of LOGS is a folder that holds submissions, or one submission's folder.
"""

import sys
from collections.abc import Sequence

from absl import app, flags

from unscheduled.scoring.errors import ScoringError
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.tables import print_scores
from unscheduled.scoring.targets import choose_benchmark
from unscheduled.scoring.times import RULES, study_results, workload_results

_BENCHMARK = flags.DEFINE_string(
    "benchmark",
    "auto",
    "Targets to score by: ext, 0.6, 0.5, the path of a targets file, or auto for the "
    "first of the three that has every workload found.",
)
_RULE = flags.DEFINE_enum(
    "rule",
    "documented",
    list(RULES),
    "Which trial stands for a study: the fastest (documented), or the one with the "
    "fewest evaluations, as the official code has it.",
)
_BASELINE = flags.DEFINE_string(
    "baseline", None, "Submission to compare times with, as a geometric mean."
)
_BUDGET_FACTOR = flags.DEFINE_float(
    "budget_factor",
    None,
    "With --baseline: how many times max_allowed_runtime_sec the runs were given (1.5 "
    "for self-tuning, 3 in version 0.5; 1 for external tuning). A miss then counts as "
    "that plus one second; otherwise its ratio is not known.",
    lower_bound=0.0,
)


def score(roots: Sequence[str]) -> None:
    """Read the logs below `roots` and print their scores."""
    reading = read_logs(roots)
    trials, notes = reading.trials, [*map(str, reading.irregularities)]
    workloads = {trial.workload for trial in trials}
    benchmark = choose_benchmark(_BENCHMARK.value, workloads)
    ignored = sorted(workloads - set(benchmark.workloads))
    if ignored:
        notes.append(f"Not in this benchmark, and left out: {', '.join(ignored)}.")
    results = workload_results(study_results(trials, benchmark, _RULE.value))
    leaderboard = rank(results, benchmark, _BASELINE.value, _BUDGET_FACTOR.value)
    print_scores(sys.stdout, results, leaderboard, benchmark, _BASELINE.value, notes)


def main(argv: Sequence[str]) -> int:
    try:
        score(argv[1:])
    except (ScoringError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
