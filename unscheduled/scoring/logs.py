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
from unscheduled.scoring.warnings import (
    ORDINARY,
    RULES_OF_READING,
    LogWarning,
    unreadable,
)

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
    """What was read, in numbers; `irregular` and `ordinary` count by rule."""

    n_trials: int
    n_evaluations: int
    submissions: tuple[str, ...]
    workloads: tuple[str, ...]
    irregular: dict[str, int]
    ordinary: dict[str, int]

    def lines(self) -> list[str]:
        """The same in words, a line each."""
        counts = (
            f"Read {_count(self.n_trials, 'trial')} with "
            f"{_count(self.n_evaluations, 'evaluation')}: "
            f"{_count(len(self.submissions), 'submission')}, "
            f"{_count(len(self.workloads), 'workload')}."
        )
        told = [(n, rule, ORDINARY[rule]) for rule, n in self.ordinary.items() if n]
        told += [(n, r, RULES_OF_READING[r]) for r, n in self.irregular.items()]
        return [counts, *(f"{n} x {rule}: {what}." for n, rule, what in told)]


@dataclass(frozen=True)
class Reading:
    """What was read: trials, sorted by `Trial.key`, and what was wrong."""

    trials: list[Trial]
    irregularities: list[LogWarning]

    def summary(self) -> Summary:
        trials = self.trials
        values = [column for t in trials for column in t.validation.values()]
        repeated = [t for t in trials if (np.diff(t.global_step) <= 0).any()]
        return Summary(
            n_trials=len(trials),
            n_evaluations=sum(len(trial.score) for trial in trials),
            submissions=tuple(sorted({trial.submission for trial in trials})),
            workloads=tuple(sorted({trial.workload for trial in trials})),
            irregular=dict(Counter(one.rule for one in self.irregularities)),
            ordinary={
                "not_finite": sum(int(np.isnan(column).sum()) for column in values),
                "repeated_steps": len(repeated),
            },
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
    """The trials that were evaluated, but not by the metric of their workload.

    Args:
      metrics: workload -> metric of its target; other workloads are passed over.
    """
    return [
        LogWarning("no_metric", trial.path, f"no column {VALIDATION}{metric}")
        for trial in trials
        if (metric := metrics.get(trial.workload)) is not None
        and len(trial.score)
        and metric not in trial.validation
    ]


def missing(
    trials: Sequence[Trial],
    n_studies: int,
    n_trials: int,
    workloads: Iterable[str] = (),
) -> list[LogWarning]:
    """Where a submission has not the studies and trials that a ruleset asks for.

    Args:
      workloads: what every submission should have run; none where it may choose.
    """
    studies = Counter(trial.key[:-1] for trial in trials)
    cells = Counter(study[:2] for study in studies)
    # The folders of a submission and of a study, as of its first trial.
    folders = {t.submission: t.path.parents[3] for t in reversed(trials)}
    folders |= {t.key[:-1]: t.path.parents[1] for t in reversed(trials)}
    counts = [
        ("trial", n, n_trials, "trials", folders[study]) for study, n in studies.items()
    ]
    counts += [
        ("study", n, n_studies, f"studies of {workload}", folders[submission])
        for (submission, workload), n in cells.items()
    ]
    warnings = []
    for kind, n, wanted, what, folder in counts:
        if n != wanted:
            rule = f"{'missing' if n < wanted else 'extra'}_{kind}"
            text = f"{n} of {wanted} {what} have logs"
            warnings.append(LogWarning(rule, folder, text))
    return warnings + [
        LogWarning("missing_workload", folders[submission], f"no {workload}")
        for submission in dict.fromkeys(trial.submission for trial in trials)
        for workload in workloads
        if (submission, workload) not in cells
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
