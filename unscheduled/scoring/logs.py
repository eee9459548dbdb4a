"""Read the logs of runs: one plain record a trial, and what was wrong.

The official layout of a log, whatever folder the reader is pointed at, is

    <submission>/<study>/<workload>_(jax|pytorch)/trial_<N>/eval_measurements.csv

so the four folders above a file name it. A root may be the folder that holds the
submissions, one submission's folder, or anything further in; trials that lie deeper
than that below a root are left out, because several groups of submissions would be
scored as one. A log may be gzip, `eval_measurements.csv.gz`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_bytes
from unscheduled.benchmark.run_files import LAYOUT
from unscheduled.benchmark.text import printable
from unscheduled.scoring.find import FoundLog, find_logs
from unscheduled.scoring.measurements import VALIDATION, Measurements, parse
from unscheduled.scoring.warnings import RULES_OF_READING, LogWarning, unreadable

_COPIED_ROWS = 3  # two runs can agree in fewer, by a clock that counts steps


@dataclass(frozen=True, eq=False)
class Trial(FoundLog):
    """The evaluations of one training run, by preemption count and step.

    Attributes:
      score: AlgoPerf's name for the seconds of submission time, shape (n,).
      global_step: steps taken, shape (n,).
      validation: metric name without `validation/` -> values, finite or NaN, shape
        (n,) each.
    """

    score: np.ndarray
    global_step: np.ndarray
    validation: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Summary:
    """What was read, in numbers; `irregular` counts warnings by rule."""

    n_trials: int
    n_evaluations: int
    submissions: tuple[str, ...]
    workloads: tuple[str, ...]
    irregular: dict[str, int]

    def lines(self) -> list[str]:
        """The same in words, a line each."""
        counts = (
            f"Read {_count(self.n_trials, 'trial')} with "
            f"{_count(self.n_evaluations, 'evaluation')}: "
            f"{_count(len(self.submissions), 'submission')}, "
            f"{_count(len(self.workloads), 'workload')}."
        )
        rules = self.irregular.items()
        return [counts, *(f"{n} x {r}: {RULES_OF_READING[r]}." for r, n in rules)]


@dataclass(frozen=True)
class Reading:
    """What was read: trials, sorted by `Trial.key`, and what was wrong."""

    trials: list[Trial]
    irregularities: list[LogWarning]

    def summary(self) -> Summary:
        return Summary(
            n_trials=len(self.trials),
            n_evaluations=sum(len(trial.score) for trial in self.trials),
            submissions=tuple(sorted({trial.submission for trial in self.trials})),
            workloads=tuple(sorted({trial.workload for trial in self.trials})),
            irregular=dict(Counter(one.rule for one in self.irregularities)),
        )


def read_logs(roots: Sequence[str | Path]) -> Reading:
    """Read every trial below `roots`; what is wrong with a log is listed, not raised.

    Raises:
      LogError: two logs claim to be the same trial.
      UserError: a root does not exist, or there are no logs below any.
    """
    logs, warnings = find_logs(roots)
    if not logs:
        names = ", ".join(map(printable, roots)) or "no folder at all"
        why = " ".join(map(str, warnings[:1]))
        text = f"No logs found in {names}: they should lie at {LAYOUT}. {why}"
        raise UserError(text.rstrip())
    trials, first = [], {}
    for log in logs:
        measurements = Measurements()
        try:
            data = read_bytes(log.path)
        except UserError as error:
            warnings.append(unreadable("unreadable", log.path, error))
        else:
            measurements, found = parse(data, log.path)
            warnings += found
            twin = first.setdefault((log.submission, hash(data)), log)
            if twin is not log and len(measurements.score) >= _COPIED_ROWS:
                what = f"the same, byte for byte, as {twin.path}"
                warnings.append(LogWarning("copy", log.path, what))
        trials.append(Trial(**vars(log), **measurements._asdict()))
    return Reading(trials, warnings)


def without_metric(
    trials: Iterable[Trial], metrics: Mapping[str, str]
) -> list[LogWarning]:
    """The trials that were evaluated, but not by the metric of their workload."""
    warnings = []
    for trial in trials:
        metric = metrics[trial.workload]
        if len(trial.score) and metric not in trial.validation:
            what = f"no column {VALIDATION}{metric}"
            warnings.append(LogWarning("no_metric", trial.path, what))
    return warnings


def missing(
    trials: Sequence[Trial], n_studies: int, n_trials: int, workloads: Sequence[str]
) -> list[LogWarning]:
    """Where a submission has not the studies and trials that a ruleset asks for.

    Args:
      workloads: what every submission should have run.
    """
    studies = Counter(trial.key[:-1] for trial in trials)
    cells = Counter(study[:2] for study in studies)
    folders: dict[tuple | str, Path] = {}  # of each study and submission, the first
    for trial in trials:
        folders.setdefault(trial.key[:-1], trial.path.parents[1])
        folders.setdefault(trial.submission, trial.path.parents[3])
    counts = [
        (folders[study], "trial", "trials", n, n_trials) for study, n in studies.items()
    ]
    counts += [
        (folders[submission], "study", f"studies of {workload}", n, n_studies)
        for (submission, workload), n in cells.items()
    ]
    warnings = []
    for folder, kind, what, n, wanted in counts:
        if n != wanted:
            rule = f"{'missing' if n < wanted else 'extra'}_{kind}"
            text = f"{n} of {wanted} {what} have logs"
            warnings.append(LogWarning(rule, folder, text))
    return warnings + [
        LogWarning("missing_workload", folders[submission], f"no {workload}")
        for submission in dict.fromkeys(submission for submission, _ in cells)
        for workload in workloads
        if (submission, workload) not in cells
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
