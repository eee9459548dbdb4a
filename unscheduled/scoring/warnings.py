"""What can be wrong with logs, and the rule by which each case is handled."""

from dataclasses import dataclass, replace
from pathlib import Path

from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS, LAYOUT, ZIPPED
from unscheduled.benchmark.text import printable

# What can be wrong: its name -> what is done about it. No rule makes a target reached
# that the intact rows of a log do not show as reached, nor reached sooner.
RULES_OF_READING = {
    # folders
    "misplaced": f"it is left out: a log lies at {LAYOUT}",
    "not_searched": "nothing in there is read",
    "timestamped": "it is read as studies of the submission without the time",
    "linked": "it is read once, by its other name",
    "no_log": "the trial is left out, as if never run",
    "two_logs": f"{EVAL_MEASUREMENTS} is read, {ZIPPED} is not",
    # files
    "unreadable": "the trial counts, as one that missed",
    "no_evaluations": "the trial counts, as one that missed",
    "no_metric": "the trial counts, as one that missed",
    "copy": "both count; check that each is a run of its own",
    # rows
    "cut_off": "a last row that was cut off is left out",
    "corrupt_row": "a row that is not whole is left out",
    "out_of_range": "a value that the metric cannot have is read as NaN",
    "second_header": "rows below a header of other columns are left out",
    "reordered": "rows are put in order of preemption_count and global_step",
    "repeated_row": "a row written twice counts once",
    "contradiction": "rows of one step that differ are left out, all of them",
    "time_back": "that row, the one before and all later ones are left out",
    # what a ruleset asks for
    "missing_workload": "it counts as missed",
    "missing_study": "the median is over the studies that are there",
    "missing_trial": "the study counts by the trials that are there",
    "extra_study": "the median is over all of them",
    "extra_trial": "all of them count",
    # meta data
    "broken_json": "all that it says counts as not recorded",
}


@dataclass(frozen=True)
class LogWarning:
    """Something about the logs that is not as it should be."""

    rule: str  # of `RULES_OF_READING`
    path: Path
    what: str  # was seen there, without a full stop
    line: int | None = None  # the first of `count`, from 1
    count: int = 1

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}, line {self.line}"
        more = f", and {self.count - 1} more like it" if self.count > 1 else ""
        done = RULES_OF_READING[self.rule]
        return printable(f"{place}: {self.what}{more} ({done}).")


class FileWarnings(dict[str, LogWarning]):
    """The warnings about one file by rule: one each, for however many lines."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, rule: str, what: str, line: int | None = None) -> None:
        new = LogWarning(rule, self.path, what, line, count=0)
        first = self.get(rule, new)
        self[rule] = replace(first, count=first.count + 1)


def unreadable(rule: str, path: Path, error: Exception) -> LogWarning:
    """The error of reading a file as a warning, which names the file once."""
    return LogWarning(rule, path, str(error).removeprefix(f"{path} ").rstrip("."))
