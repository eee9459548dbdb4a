"""Find and read the logs of runs: one plain record a trial, and what was wrong.

The layout of a log is `run_files.LAYOUT`, and a root may be the folder that holds the
submissions, or anything further in. Trials that lie deeper below a root are left out,
because several groups of submissions would be scored as one.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from unscheduled.benchmark import run_files
from unscheduled.benchmark.errors import LogError, UserError
from unscheduled.benchmark.read import read_bytes
from unscheduled.benchmark.text import printable
from unscheduled.scoring.measurements import VALIDATION, Measurements, parse
from unscheduled.scoring.warnings import RULES_OF_READING, LogWarning, unreadable

_LAYOUT_DEPTH = 4  # submission, study, workload, trial
_SEARCH_DEPTH = 6  # logs that lie too deep are looked for, but not for ever
MAX_ENTRIES = 1_000_000  # so that a link to a whole disk is not searched for hours
_STAMP = re.compile("(.+)(-[0-9]{4}(?:-[0-9]{2}){5})")  # by --append_timestamp
_LOG_NAMES = (run_files.EVAL_MEASUREMENTS, run_files.ZIPPED)
_COPIED_ROWS = 3  # two runs can agree in fewer, by a clock that counts steps


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


@dataclass(frozen=True, eq=False)
class Trial(Measurements, FoundLog):
    """The evaluations of one training run, by preemption count and step."""


@dataclass(frozen=True)
class Summary:
    n_trials: int
    n_evaluations: int
    submissions: tuple[str, ...]
    workloads: tuple[str, ...]
    irregular: dict[str, int]  # warnings by rule

    def lines(self) -> list[str]:
        n_runs = (self.n_trials, self.n_evaluations)
        numbers = (*n_runs, len(self.submissions), len(self.workloads))
        nouns = ("trial", "evaluation", "submission", "workload")
        counts = [
            f"{n} {noun}{'s' * (n != 1)}"
            for n, noun in zip(numbers, nouns, strict=True)
        ]
        read = "Read {} with {}: {}, {}.".format(*counts)
        rules = self.irregular.items()
        return [read, *(f"{n} x {r}: {RULES_OF_READING[r]}." for r, n in rules)]


@dataclass(frozen=True)
class Reading:
    """What was read: trials, sorted by `Trial.key`, and what was wrong."""

    trials: list[Trial]
    warnings: list[LogWarning]

    def summary(self) -> Summary:
        return Summary(
            n_trials=len(self.trials),
            n_evaluations=sum(len(trial.score) for trial in self.trials),
            submissions=tuple(sorted({trial.submission for trial in self.trials})),
            workloads=tuple(sorted({trial.workload for trial in self.trials})),
            irregular=dict(Counter(one.rule for one in self.warnings)),
        )


def read_logs(roots: Sequence[str | Path]) -> Reading:
    """Read every trial below `roots`; what is wrong with a log is listed, not raised.

    Errors are those of `find_logs`, and UserError where there are no logs at all.
    """
    logs, warnings = find_logs(roots)
    if not logs:
        names = ", ".join(map(printable, roots)) or "no folder at all"
        text = f"No logs found in {names}: they should lie at {run_files.LAYOUT}."
        raise UserError(" ".join([text, *map(str, warnings[:1])]))
    trials, first = [], {}
    for log in logs:
        try:
            data = read_bytes(log.path)
            measurements, found = parse(data, log.path)
        except UserError as error:
            data, measurements = b"", Measurements()
            found = [unreadable("unreadable", log.path, error)]
        warnings += found
        twin = first.setdefault((log.submission, hash(data)), log)
        if twin is not log and len(measurements.score) >= _COPIED_ROWS:
            what = f"the same, byte for byte, as {twin.path}"
            warnings.append(LogWarning("copy", log.path, what))
        trials.append(Trial(**vars(log), **vars(measurements)))
    return Reading(trials, warnings)


def without_metric(
    trials: Iterable[Trial], metrics: Mapping[str, str]
) -> list[LogWarning]:
    return [
        LogWarning("no_metric", trial.path, f"no column {VALIDATION}{metric}")
        for trial in trials
        if len(trial.score)
        and (metric := metrics[trial.workload]) not in trial.validation
    ]


def missing(
    trials: Sequence[Trial], n_studies: int, n_trials: int, workloads: Sequence[str]
) -> list[LogWarning]:
    """Where a submission has not all workloads, studies and trials that it should."""
    warnings: list[LogWarning] = []

    def expect(wanted: int, kind: str, what: str, found: list, folder: Path) -> None:
        if (n := len(found)) != wanted:
            rule = f"{'missing' if n < wanted else 'extra'}_{kind}"
            text = f"{n} of {wanted} {what} have logs"
            warnings.append(LogWarning(rule, folder, text))

    trials = sorted(trials, key=lambda trial: trial.key)
    for _, group in groupby(trials, lambda trial: trial.submission):
        own = [*group]
        folder, ran = own[0].path.parents[3], {trial.workload for trial in own}
        for workload, cell in groupby(own, lambda trial: trial.workload):
            studies = [[*study] for _, study in groupby(cell, lambda t: t.key[:-1])]
            for study in studies:
                expect(n_trials, "trial", "trials", study, study[0].path.parents[1])
            expect(n_studies, "study", f"studies of {workload}", studies, folder)
        lacking = [f"no {workload}" for workload in workloads if workload not in ran]
        warnings += [LogWarning("missing_workload", folder, what) for what in lacking]
    return warnings


def find_logs(roots: Sequence[str | Path]) -> tuple[list[FoundLog], list[LogWarning]]:
    """The logs below `roots` by `FoundLog.key`, and what is wrong with their folders.

    LogError is raised where two claim to be the same trial, UserError where a root is
    no folder, or has too much below it.
    """
    search = _Search()
    for root in roots:
        top = os.path.abspath(root)  # unlike a resolved path, keeps the names of links
        if not os.path.isdir(top):
            raise UserError(f"No such folder: {printable(root)}.")
        search.look_into(top)
    logs = sorted(search.logs.values(), key=lambda log: log.key)
    return logs, [*search.warnings.values()]


class _Search:
    def __init__(self):
        self.logs: dict[tuple, FoundLog] = {}
        self.by_folder: dict[tuple[str, str], FoundLog] = {}  # links resolved
        self.n_entries = 0
        self.warnings: dict[tuple[str, str], LogWarning] = {}

    def look_into(self, folder: str, depth: int = 0) -> None:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            self._warn("not_searched", folder, f"can't be listed: {error.strerror}")
            return
        self.n_entries += len(names)
        if self.n_entries > MAX_ENTRIES:
            raise UserError(
                f"Over {MAX_ENTRIES:,} files and folders up to {printable(folder)}: "
                "name folders that hold logs."
            )
        logs = [name for name in _LOG_NAMES if name in names]
        if trial := run_files.TRIAL.fullmatch(os.path.basename(folder)):
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
        workload = run_files.WORKLOAD.fullmatch(inner)
        if depth > _LAYOUT_DEPTH:
            what = "trials below it lie too deep: name this folder to score them"
            self._warn("misplaced", str(Path(folder).parents[3]), what)
        elif not workload or not submission:
            self._warn("misplaced", folder, "a trial in no workload's folder")
        elif not logs:
            self._warn("no_log", folder, f"no {_LOG_NAMES[0]}")
        else:
            if len(logs) > 1:
                self._warn("two_logs", folder, f"{logs[1]} lies beside {logs[0]}")
            if stamp := _STAMP.fullmatch(submission):
                submission, study = stamp[1], study + stamp[2]
                what = f"{submission} with a time after it"
                self._warn("timestamped", str(Path(folder).parents[2]), what)
            name, framework = workload.groups()
            path = Path(folder, logs[0])
            log = FoundLog(path, submission, study, name, framework, number)
            place = submission, os.path.realpath(folder)
            once = self.by_folder.setdefault(place, log)
            if once.key != log.key:
                self._warn("linked", folder, f"the same folder as {once.path.parent}")
            elif once is log:
                same = self.logs.setdefault(log.key, log)
                if same is not log:
                    folders = printable(f"{same.path.parent} and {folder}")
                    raise LogError(f"{folders} claim to be the same trial.")

    def _warn(self, rule: str, path: str, what: str) -> None:
        self.warnings.setdefault((rule, path), LogWarning(rule, Path(path), what))
