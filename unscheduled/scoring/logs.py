"""Read the logs of runs: one plain record a trial, and what was irregular.

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
from itertools import pairwise
from pathlib import Path

import numpy as np

from unscheduled.benchmark.errors import LogError, UserError
from unscheduled.benchmark.read import read_bytes
from unscheduled.benchmark.run_files import LAYOUT
from unscheduled.benchmark.text import printable
from unscheduled.scoring.find import Found, FoundLog, find_logs
from unscheduled.scoring.irregularities import (
    ORDINARY,
    RULES_OF_READING,
    Irregularity,
    unreadable,
)
from unscheduled.scoring.measurements import VALIDATION, Measurements, parse
from unscheduled.scoring.timestamps import join_timestamped

_COPIED_ROWS = 3  # two runs can agree in less, by a clock that counts steps


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
    """What was read, in numbers.

    Attributes:
      n_trials: trials that count, with a log each.
      n_evaluations: rows of their logs that are used.
      submissions, workloads: names, sorted.
      irregular: rule of `RULES_OF_READING` -> how many files or folders.
      ordinary: case of `ORDINARY` -> how many metrics, trials.
    """

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
    """What was read: trials, sorted by `Trial.key`, and what was irregular."""

    trials: list[Trial]
    irregularities: list[Irregularity]

    def summary(self) -> Summary:
        """Counts for a paragraph on what was read."""
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
    found = Found()
    for root in roots:
        find_logs(root, found)
    if not found.logs:
        raise UserError(_no_logs(roots, found.irregularities))
    logs = sorted(found.logs.values(), key=lambda log: log.key)
    for log, other in pairwise(logs):
        if log.key == other.key:
            paths = printable(f"{log.path.parent} and {other.path.parent}")
            raise LogError(f"{paths} claim to be the same trial.")
    trials, irregularities = [], found.irregularities
    contents: dict[tuple[str, int], Trial] = {}
    for log in logs:
        measurements, irregular, content = _read(log.path)
        trial = Trial(**vars(log), **measurements._asdict())
        trials.append(trial)
        irregularities += irregular
        twin = contents.setdefault((log.submission, content), trial)
        if twin is not trial and len(trial.score) >= _COPIED_ROWS:
            what = f"the same, byte for byte, as {twin.path}"
            irregularities.append(Irregularity("copy", log.path, what))
    trials, joined = join_timestamped(trials)
    return Reading(trials, irregularities + joined)


def without_metric(
    trials: Iterable[Trial], metrics: Mapping[str, str]
) -> list[Irregularity]:
    """The trials that were evaluated, but not by the metric of their workload.

    Args:
      metrics: workload -> metric of its target; other workloads are passed over.
    """
    return [
        Irregularity("no_metric", trial.path, f"no column {VALIDATION}{metric}")
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
) -> list[Irregularity]:
    """Where a submission has not the studies and trials that a ruleset asks for.

    Args:
      n_studies: of a workload: 5 in version 0.5, 3 in version 0.6.
      n_trials: of a study: 5 for external tuning, 1 for self-tuning.
      workloads: what every submission should have run; none where it may choose.
    """
    studies = Counter(trial.key[:-1] for trial in trials)
    by_workload = Counter(study[:2] for study in studies)
    # The folders of a submission and of a study, as of its first trial.
    folders = {t.submission: t.path.parents[3] for t in reversed(trials)}
    folders |= {t.key[:-1]: t.path.parents[1] for t in reversed(trials)}
    counts = [
        ("trial", n, n_trials, "trials", folders[study]) for study, n in studies.items()
    ]
    counts += [
        ("study", n, n_studies, f"studies of {workload}", folders[submission])
        for (submission, workload), n in by_workload.items()
    ]
    irregular = [
        Irregularity(
            f"{'missing' if n < wanted else 'extra'}_{kind}",
            folder,
            f"{n} of {wanted} {what} have logs",
        )
        for kind, n, wanted, what, folder in counts
        if n != wanted
    ]
    return irregular + [
        Irregularity("missing_workload", folders[submission], f"no {workload}")
        for submission in dict.fromkeys(trial.submission for trial in trials)
        for workload in dict.fromkeys(workloads)
        if (submission, workload) not in by_workload
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _no_logs(roots: Sequence[str | Path], irregular: Sequence[Irregularity]) -> str:
    names = ", ".join(map(printable, roots)) or "no folder at all"
    text = f"No logs found in {names}: they should lie at {LAYOUT}."
    if irregular:
        text += f" {irregular[0]}"
    return text


def _read(path: Path) -> tuple[Measurements, list[Irregularity], int]:
    """What a log holds, what is irregular about it, and a hash of its bytes."""
    try:
        data = read_bytes(path)
    except UserError as error:
        return Measurements(), [unreadable("unreadable", path, error)], 0
    return *parse(data, path), hash(data)
