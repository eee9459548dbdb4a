"""What a check says: a code, a place, a sentence, and the rule behind it.

The rules are those of AlgoPerf v0.6. A code's letter is its weight: E for what the
rules forbid or the harness can't run, W for what they allow only with a reason that a
program can't judge, N for what is worth knowing.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.text import printable

_LONGEST = 1000  # characters of a message
SEVERITIES = {"E": "error", "W": "warning", "N": "note"}


class Rule(NamedTuple):
    """Where the official rules say it: a document and its section."""

    document: str
    section: str


_DOCUMENTATION = "DOCUMENTATION.md"
_API = Rule(_DOCUMENTATION, "Submission API")
_FIXED = Rule(_DOCUMENTATION, "Fixed Functions")
_DISALLOWED = Rule(_DOCUMENTATION, "Disallowed submissions")
_DEPENDENCIES = Rule(_DOCUMENTATION, "Software Dependencies")
_ENVIRONMENT = Rule(_DOCUMENTATION, "Environment Variables")
_EXTERNAL = Rule(_DOCUMENTATION, "External Tuning Ruleset")
_SELF = Rule(_DOCUMENTATION, "Self-Tuning Ruleset")
_HARDWARE = Rule(_DOCUMENTATION, "Benchmarking Hardware")
_HOW_TO_SUBMIT = Rule("submissions_algorithms README.md", "How to Submit")

RULES = {
    # The functions of the API.
    "E101": _API,  # not Python
    "E102": _API,  # a function is missing
    "E103": _API,  # a signature that the harness can't call
    "E104": Rule(_DOCUMENTATION, "get_batch_size"),  # no ValueError
    "W101": _API,  # a parameter goes by another name
    "W102": Rule(_DOCUMENTATION, "prepare_for_eval"),  # missing
    "W103": Rule(_DOCUMENTATION, "Version Freeze"),  # the package of v0.5
    # Which workload it is.
    "E201": _DISALLOWED,  # the name of a workload
    "E202": _DISALLOWED,  # the class of the workload
    "E203": _DISALLOWED,  # the size of the data set
    "E204": _DISALLOWED,  # shapes as fingerprints
    "E205": _DISALLOWED,  # a table by workload
    "W201": Rule(_DOCUMENTATION, "Valid Submissions"),  # budgets against constants
    "W202": Rule(_DOCUMENTATION, "update_params"),  # the metric's name
    # The world outside.
    "E301": _ENVIRONMENT,  # writes an environment variable
    "E302": _SELF,  # reads one, or the command line
    "E303": _DISALLOWED,  # reads files
    "E304": Rule(_DOCUMENTATION, "init_optimizer_state"),  # writes files
    "E305": _DISALLOWED,  # network and other programs
    "E306": _DISALLOWED,  # code that can't be read
    "W301": Rule(_DOCUMENTATION, "Allowed submissions"),  # reads what it brings
    "W302": Rule(_DOCUMENTATION, "update_params"),  # a clock
    "W303": _DISALLOWED,  # threads
    "W304": Rule(_DOCUMENTATION, "Submitting"),  # the module search path
    # The insides of others.
    "E401": _DISALLOWED,  # own kernels
    "E402": _DISALLOWED,  # settings of the framework
    "E403": _FIXED,  # changes the workload
    "E404": _DISALLOWED,  # changes a library
    "E405": _FIXED,  # changes the model's forward pass
    "E406": _FIXED,  # builds an input queue
    "W401": _DISALLOWED,  # private names of a framework
    "W402": Rule(_DOCUMENTATION, "data_selection"),  # forward hooks
    "W403": _FIXED,  # private names of the workload
    # The folder.
    "E501": _DEPENDENCIES,  # another version of a pinned package
    "E502": _DEPENDENCIES,  # pip can't read it
    "E503": _HOW_TO_SUBMIT,  # submission_info.yml
    "E504": Rule(_DOCUMENTATION, "License and Legal Requirements"),
    "E505": _EXTERNAL,  # the search space
    "E506": _EXTERNAL,  # a search space that names workloads
    "E507": _SELF,  # hyperparameters that are None
    "W501": _DEPENDENCIES,  # no reason given
    "W502": _HOW_TO_SUBMIT,  # keys to fill in
    "W503": Rule(_DOCUMENTATION, "License and Legal Requirements"),
    "W504": _SELF,  # a search space that nobody reads
    # The dry run.
    "E601": _API,  # fails
    "E602": Rule(_DOCUMENTATION, "get_batch_size"),
    "E603": Rule(_DOCUMENTATION, "update_params"),  # not finite
    "E604": Rule(_DOCUMENTATION, "init_optimizer_state"),  # form of the state
    "E605": _FIXED,  # changed the workload or the model's code
    "E606": _ENVIRONMENT,  # changed the environment
    "E607": Rule(_DOCUMENTATION, "init_optimizer_state"),  # does not resume
    "W601": Rule(_DOCUMENTATION, "init_optimizer_state"),  # not saved
    "W602": _API,  # side effects of the import
    "W603": _HARDWARE,  # slow
    "W604": _HARDWARE,  # large
    "N601": _API,  # no dry run
    "N602": _HARDWARE,  # time and memory
}


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing to know about a submission.

    Args:
      path: of the file.
      line: from 1.
      code: one of `RULES`.
      message: one sentence: what is wrong and what to do.
    """

    path: str
    line: int
    code: str
    message: str

    @property
    def severity(self) -> str:
        """ "error", "warning" or "note"."""
        return SEVERITIES[self.code[0]]

    @property
    def rule(self) -> Rule:
        """The official rule."""
        return RULES[self.code]

    def __str__(self) -> str:
        document, section = self.rule
        return (
            f"{shown(self.path)}:{self.line}: {self.code} "
            f'{printable(self.message, _LONGEST)} ({document}, "{section}")'
        )

    def as_json(self) -> dict[str, Any]:
        """All there is to it, as JSON values."""
        return {
            **dataclasses.asdict(self),
            "severity": self.severity,
            **self.rule._asdict(),
        }


def unreadable(path: Path, code: str, error: UserError) -> Finding:
    """What went wrong in reading a file, which the error names."""
    return Finding(str(path), 1, code, str(error).removeprefix(f"{path} "))


def shown(path: str | Path) -> str:
    """A path as a user would type it: from the current folder, where it is below."""
    relative = os.path.relpath(path)
    return printable(path if relative.startswith(os.pardir) else relative)
