r"""Checks a submission against the rules of AlgoPerf: its code, its folder, a dry run.

    unscheduled check SUBMISSION [--format=json] [--dry_run=false]

SUBMISSION is a folder with submission.py, or the file. Each line of the output names a
file, a line, what is wrong there, and the section of the official document that says
so. The exit status is 1 where there are errors; warnings are for a human to judge.

Example:
  unscheduled check submissions/schedule_free_adamw_pytorch
"""

from collections.abc import Sequence

from absl import app, flags, logging

from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.rulesets import RULESETS
from unscheduled.submit import check

flags.DEFINE_enum(
    "tuning_ruleset", None, RULESETS, "Ruleset; by default as submission_info.yml says."
)
flags.DEFINE_string(
    "tuning_search_space", None, "JSON file, where it is not beside the submission."
)
flags.DEFINE_boolean("dry_run", True, "Train a few steps on the embedded workloads.")
flags.DEFINE_enum(
    "framework", None, FRAMEWORKS, "Framework; by default told by the submission."
)
flags.DEFINE_string(
    "data_dir", None, "Where the embedded data sets are made; by default gone after."
)
flags.DEFINE_enum("format", "text", check.FORMATS, "Lines, or one JSON object.")


def main(argv: Sequence[str]) -> int:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    if len(argv) != 2:
        raise app.UsageError("give one SUBMISSION: a folder, or a Python file.")
    return check.run(flags.FLAGS, argv[1])
