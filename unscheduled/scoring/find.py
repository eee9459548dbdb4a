"""Find the logs of trials below a root: names, links and depth, no contents."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS, TRIAL, WORKLOAD, ZIPPED
from unscheduled.benchmark.text import printable
from unscheduled.scoring.irregularities import Irregularity

_LAYOUT_DEPTH = 4  # submission, study, workload, trial
_SEARCH_DEPTH = 6  # ends the search where folders have nothing to do with logs
MAX_ENTRIES = 1_000_000  # so that a link to a whole disk is not searched for hours


@dataclass(frozen=True, eq=False)
class FoundLog:
    """The log of a trial, and what its folders say it is of.

    Attributes:
      path: of the log, absolute, by the names that the user gave.
      submission, study, workload: as printed, see `benchmark.text.printable`.
    """

    path: Path
    submission: str
    study: str
    workload: str
    framework: str
    number: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What names a trial, and the order in which trials are sorted."""
        names = (self.submission, self.workload, self.framework, self.study)
        return *names, self.number


@dataclass
class Found:
    """What a search came upon.

    Attributes:
      logs: by submission and folder, with links resolved, in the order of names.
      n_entries: files and folders looked at.
    """

    logs: dict[tuple[str, str], FoundLog] = field(default_factory=dict)
    irregularities: list[Irregularity] = field(default_factory=list)
    n_entries: int = 0

    def note(self, rule: str, path: str, what: str) -> None:
        found = Irregularity(rule, Path(path), what)
        if found not in self.irregularities[-1:]:
            self.irregularities.append(found)


def find_logs(root: str | Path, found: Found) -> None:
    """Add the logs below `root` to `found`.

    Raises:
      UserError: `root` is no folder, or holds too many files to search.
    """
    top = os.path.abspath(root)  # unlike a resolved path, keeps the names of links
    if not os.path.isdir(top):
        raise UserError(f"No such folder: {printable(root)}.")
    _search(top, 0, found)


def _search(folder: str, depth: int, found: Found) -> None:
    name = os.path.basename(folder)
    if number := TRIAL.fullmatch(name):
        _add_trial(folder, int(number[1]), depth, found)
        return
    if depth == _SEARCH_DEPTH:
        found.note("not_searched", folder, "a folder that is too deep for logs")
        return
    for name in sorted(_entries(folder, found)):
        path = os.path.join(folder, name)
        if name in (EVAL_MEASUREMENTS, ZIPPED):
            found.note("misplaced", folder, f"{name} in no trial's folder")
        elif os.path.islink(path) and _is_within(folder, path):
            found.note("not_searched", path, f"a link up to {os.path.realpath(path)}")
        elif os.path.isdir(path):
            _search(path, depth + 1, found)


def _entries(folder: str, found: Found) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        found.note("not_searched", folder, f"can't be listed: {error.strerror}")
        return []
    found.n_entries += len(names)
    if found.n_entries > MAX_ENTRIES:
        raise UserError(
            f"Over {MAX_ENTRIES:,} files and folders up to {printable(folder)}: name "
            "folders that hold logs."
        )
    return names


def _is_within(folder: str, other: str) -> bool:
    """Whether `folder` is `other` or lies in it, links resolved."""
    folder, other = os.path.realpath(folder), os.path.realpath(other)
    return os.path.commonpath([folder, other]) == other


def _add_trial(folder: str, number: int, depth: int, found: Found) -> None:
    *_, submission, study, inner, _ = ["", "", "", *filter(None, folder.split(os.sep))]
    workload = WORKLOAD.fullmatch(inner)
    if depth > _LAYOUT_DEPTH:
        what = "trials below it lie too deep: name this folder to score them"
        found.note("misplaced", str(Path(folder).parents[3]), what)
    elif not workload or not submission:
        found.note("misplaced", folder, "a trial in no workload's folder")
    elif name := _log_in(folder, found):
        log = FoundLog(
            Path(folder, name),
            printable(submission),
            printable(study),
            printable(workload[1]),
            workload[2],
            number,
        )
        same = found.logs.setdefault((submission, os.path.realpath(folder)), log)
        if same.key != log.key:
            found.note("linked", folder, f"the same folder as {same.path.parent}")


def _log_in(folder: str, found: Found) -> str | None:
    """The name of the log in a trial's folder."""
    try:
        names = os.listdir(folder)
    except OSError:  # without leave to list it: reading the log will tell
        return EVAL_MEASUREMENTS
    logs = [name for name in (EVAL_MEASUREMENTS, ZIPPED) if name in names]
    if not logs:
        found.note("no_log", folder, f"no {EVAL_MEASUREMENTS}")
        return None
    if len(logs) > 1:
        found.note("two_logs", folder, f"{ZIPPED} lies beside {EVAL_MEASUREMENTS}")
    return logs[0]
