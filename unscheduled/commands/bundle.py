r"""Makes a submission a folder for a pull request to mlcommons/submissions_algorithms.

    unscheduled bundle SUBMISSION --ruleset=self --out=DIR \
        --authors="Ada Lovelace" --affiliations="Analytical Engines"

DIR then has self_tuning/<name>/ or external_tuning/<name>/, which runs without this
project, and PULL_REQUEST_self_tuning_<name>.md, the text of its pull request.
SUBMISSION is a folder with a submission.py and a submission_info.yml.
"""

from absl import flags

from unscheduled.benchmark.rulesets import FOLDERS
from unscheduled.bundle import command

flags.DEFINE_enum("ruleset", None, list(FOLDERS), "Tuning ruleset to enter under.")
flags.DEFINE_string("out", None, "Folder to write to; what else is there stays.")
flags.DEFINE_string("authors", None, "Who sends it in, separated by commas.")
flags.DEFINE_string("affiliations", None, "Where they are, separated by commas.")
flags.DEFINE_string("name", None, "Name of its folder, if not the submission's own.")
flags.DEFINE_string(
    "tuning_search_space",
    None,
    "For external tuning: JSON file, if not tuning_search_spaces/<algorithm>.json.",
)
flags.DEFINE_string(
    "evidence", None, "Folder of logs, as scripts/score.py takes it, to score."
)
flags.DEFINE_string(
    "benchmark", "auto", "With --evidence: targets to score by, as for score.py."
)
flags.DEFINE_boolean("overwrite", False, "Replace such a folder of the same name.")
flags.mark_flags_as_required(["ruleset", "out"])


def main(argv):
    return command.run(flags.FLAGS, argv[1:])
