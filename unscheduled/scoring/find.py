"""Find the logs of trials below some folders: names, links and depth, no contents."""

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unscheduled.benchmark.errors import LogError, UserError
from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS, TRIAL, WORKLOAD, ZIPPED
from unscheduled.benchmark.text import printable
from unscheduled.scoring.warnings import LogWarning

_LAYOUT_DEPTH = 4  # submission, study, workload, trial
_SEARCH_DEPTH = 6  # logs that lie too deep are looked for, but not for ever
_STAMP = re.compile("(.+)(-[0-9]{4}(?:-[0-9]{2}){5})")  # by --append_timestamp


@dataclass(frozen=True, eq=False)
class FoundLog:
    """The log of a trial, by the names that the user gave; they are all printable."""

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


def find_logs(roots: Sequence[str | Path]) -> tuple[list[FoundLog], list[LogWarning]]:
    """The logs below `roots` by `FoundLog.key`, and what is wrong with their folders.

    Raises:
      LogError: two logs claim to be the same trial.
      UserError: one of the roots is no folder.
    """
    search = _Search()
    for root in roots:
        top = os.path.abspath(root)  # unlike a resolved path, keeps the names of links
        if not os.path.isdir(top):
            raise UserError(f"No such folder: {printable(root)}.")
        search.look_into(top)
    logs, warnings = _join_timestamped(search.logs.values())
    return sorted(logs, key=lambda log: log.key), [*search.warnings.values(), *warnings]


class _Search:
    def __init__(self):
        self.logs: dict[tuple, FoundLog] = {}
        self.warnings: dict[tuple[str, str], LogWarning] = {}

    def look_into(self, folder: str, depth: int = 0) -> None:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            self._warn("not_searched", folder, f"can't be listed: {error.strerror}")
            return
        logs = [name for name in (EVAL_MEASUREMENTS, ZIPPED) if name in names]
        if trial := TRIAL.fullmatch(os.path.basename(folder)):
            self._add_trial(folder, int(trial[1]), logs, depth)
            return
        if logs:
            self._warn("misplaced", folder, f"{logs[0]} in no trial's folder")
        if depth == _SEARCH_DEPTH:
            self._warn("not_searched", folder, "a folder that is too deep for logs")
            return
        for path in (os.path.join(folder, name) for name in names):
            goal = os.path.realpath(path) if os.path.islink(path) else path
            if goal != path and Path(os.path.realpath(folder)).is_relative_to(goal):
                self._warn("not_searched", path, f"a link up to {goal}")
            elif os.path.isdir(path):
                self.look_into(path, depth + 1)

    def _add_trial(
        self, folder: str, number: int, logs: Sequence[str], depth: int
    ) -> None:
        parts = ["", "", "", *Path(folder).parts[1:]]
        *_, submission, study, inner, _ = map(printable, parts)
        workload = WORKLOAD.fullmatch(inner)
        if depth > _LAYOUT_DEPTH:
            what = "trials below it lie too deep: name this folder to score them"
            self._warn("misplaced", str(Path(folder).parents[3]), what)
        elif not workload or not submission:
            self._warn("misplaced", folder, "a trial in no workload's folder")
        elif not logs:
            self._warn("no_log", folder, f"no {EVAL_MEASUREMENTS}")
        else:
            if len(logs) > 1:
                self._warn("two_logs", folder, f"{logs[1]} lies beside {logs[0]}")
            name, framework = workload.groups()
            path = Path(folder, logs[0])
            log = FoundLog(path, submission, study, name, framework, number)
            same = self.logs.setdefault(log.key, log)
            if same is not log and not os.path.samefile(same.path.parent, folder):
                folders = printable(f"{same.path.parent} and {folder}")
                raise LogError(f"{folders} claim to be the same trial.")

    def _warn(self, rule: str, path: str, what: str) -> None:
        self.warnings.setdefault((rule, path), LogWarning(rule, Path(path), what))


def _join_timestamped(
    logs: Collection[FoundLog],
) -> tuple[list[FoundLog], list[LogWarning]]:
    """Logs of `sub` and of `sub-2026-01-31-23-59-59` as of one submission, `sub`.

    The time becomes a part of the study's name. A submission whose name no other has
    without its time is left as it is.
    """
    names = dict.fromkeys(log.submission for log in logs)
    stamps = {name: match for name in names if (match := _STAMP.fullmatch(name))}
    shared = Counter(stamps[name][1] if name in stamps else name for name in names)
    found, warnings = [], {}
    for log in logs:
        stamp = stamps.get(log.submission)
        if stamp and shared[stamp[1]] > 1:
            folder, what = log.path.parents[3], f"{stamp[1]} with a time after it"
            warnings[folder] = LogWarning("timestamped", folder, what)
            log = replace(log, submission=stamp[1], study=log.study + stamp[2])
        found.append(log)
    return found, [*warnings.values()]
