"""Read the logs of runs: one plain record a trial, and what was irregular.

The official layout of a log, whatever folder the reader is pointed at, is

    <submission>/<study>/<workload>_(jax|pytorch)/trial_<N>/eval_measurements.csv

so the four folders above a file name it. A root may be the folder that holds the
submissions, one submission's folder, or anything further in; trials that lie deeper
than that below a root are left out, because several groups of submissions would be
scored as one. A log may be gzip, `eval_measurements.csv.gz`.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unscheduled.scoring.errors import LogError, ScoringError
from unscheduled.scoring.find import Found, TrialFolder, find_trials, key_of
from unscheduled.scoring.irregularities import (
    FILE_NAME,
    LAYOUT,
    ORDINARY,
    RULES_OF_READING,
    Irregularity,
    printable,
)
from unscheduled.scoring.log_file import UnusableError, read_bytes
from unscheduled.scoring.measurements import VALIDATION, Measurements, parse
from unscheduled.scoring.timestamps import join_timestamped

__all__ = [
    "FILE_NAME",
    "LAYOUT",
    "ORDINARY",
    "RULES_OF_READING",
    "VALIDATION",
    "Irregularity",
    "Reading",
    "Summary",
    "Trial",
    "missing",
    "read_logs",
    "without_metric",
]

_COPIED_ROWS = 3  # two runs can agree in less, by a clock that counts steps


@dataclass(frozen=True, eq=False)
class Trial:
    """The evaluations of one training run, by preemption count and step.

    Attributes:
      path: of the log.
      submission, study, workload: as printed, see `irregularities.printable`.
      score: AlgoPerf's name for the seconds of submission time, shape (n,).
      global_step: steps taken, shape (n,).
      validation: metric name without `validation/` -> values, finite or NaN, shape
        (n,) each.
    """

    path: Path
    submission: str
    study: str
    workload: str
    framework: str
    number: int
    score: np.ndarray
    global_step: np.ndarray
    validation: Mapping[str, np.ndarray]

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What names a trial, and the order in which trials are sorted."""
        return key_of(self)


@dataclass(frozen=True)
class Summary:
    """What was read, in numbers.

    Attributes:
      n_trials: trials that count, with a log each.
      n_evaluations: rows of their logs that are used.
      submissions, workloads: names, sorted.
      irregular: rule of `RULES_OF_READING` -> how many files or folders.
      ordinary: case of `ORDINARY` -> how many metrics, trials, files.
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
    """What was read: trials, sorted by `Trial.key`, and what was irregular.

    Attributes:
      n_other_files: files and folders beside the logs.
    """

    trials: list[Trial]
    irregularities: list[Irregularity]
    n_other_files: int = 0

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
                "other_files": self.n_other_files,
            },
        )


def read_logs(roots: Sequence[str | Path]) -> Reading:
    """Read every trial below `roots`; what is wrong with a log is listed, not raised.

    Raises:
      LogError: two logs claim to be the same trial.
      ScoringError: a root does not exist, or there are no logs below any.
    """
    found = Found()
    for root in roots:
        find_trials(root, found)
    irregularities = list(found.irregularities)
    folders = _runs(found.folders.values(), irregularities)
    if not folders:
        raise ScoringError(_no_logs(roots, irregularities))
    trials = []
    contents: dict[tuple[str, int], Trial] = {}
    for folder in folders:
        trial, irregular, content = _read_trial(folder)
        irregularities += irregular
        trials.append(trial)
        if len(trial.score) >= _COPIED_ROWS:
            twin = contents.setdefault((trial.submission, content), trial)
            if twin is not trial:
                what = f"the same, byte for byte, as {twin.path}"
                irregularities.append(Irregularity("copy", trial.path, what))
    trials, joined = join_timestamped(trials)
    return Reading(trials, irregularities + joined, found.n_other)


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
    studies = Counter((t.submission, t.workload, t.study, t.framework) for t in trials)
    first = {key: trial for trial in reversed(trials) for key in _groups(trial)}
    irregular = []
    for (submission, workload, study, framework), n in studies.items():
        if n != n_trials:
            folder = first[submission, workload, study, framework].path.parents[1]
            rule = "missing_trial" if n < n_trials else "extra_trial"
            what = f"{n} of {n_trials} trials have logs"
            irregular.append(Irregularity(rule, folder, what))
    per_workload = Counter(key[:2] for key in studies)
    for (submission, workload), n in per_workload.items():
        if n != n_studies:
            rule = "missing_study" if n < n_studies else "extra_study"
            what = f"{n} of {n_studies} studies of {workload} have logs"
            folder = first[submission, workload].path.parents[3]
            irregular.append(Irregularity(rule, folder, what))
    wanted = list(dict.fromkeys(workloads))
    for submission in dict.fromkeys(trial.submission for trial in trials):
        absent = [w for w in wanted if (submission, w) not in per_workload]
        irregular += [
            Irregularity(
                "missing_workload", first[(submission,)].path.parents[3], f"no {w}"
            )
            for w in absent
        ]
    return irregular


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _groups(trial: Trial) -> list[tuple[str, ...]]:
    """What a trial is part of: a submission, its workload, a study of that."""
    names = (trial.submission, trial.workload, trial.study, trial.framework)
    return [names[:1], names[:2], names]


def _runs(
    folders: Iterable[TrialFolder], irregularities: list[Irregularity]
) -> list[TrialFolder]:
    """The folders, each run once in a submission, sorted by key.

    Raises:
      LogError: two folders claim to be the same trial.
    """
    runs: dict[tuple[str, str], TrialFolder] = {}
    keys: dict[tuple, TrialFolder] = {}
    for folder in sorted(folders, key=lambda f: f.path != f.real):
        same = runs.setdefault((folder.submission, folder.real), folder)
        if key_of(same) != key_of(folder):
            what = f"the same folder as {same.path}"
            irregularities.append(Irregularity("linked", Path(folder.path), what))
        if same is not folder:
            continue
        twin = keys.setdefault(key_of(folder), folder)
        if twin is not folder:
            paths = f"{printable(twin.path)} and {printable(folder.path)}"
            raise LogError(f"{paths} claim to be the same trial.")
    return sorted(keys.values(), key=key_of)


def _no_logs(roots: Sequence[str | Path], irregular: Sequence[Irregularity]) -> str:
    names = ", ".join(map(printable, roots)) or "no folder at all"
    text = f"No logs found in {names}: they should lie at {LAYOUT}."
    if irregular:
        text += f" {irregular[0]}"
    return text


def _read_trial(folder: TrialFolder) -> tuple[Trial, list[Irregularity], int]:
    """A trial, what is irregular about its log, and a hash of what is in it."""
    name = folder.logs[0]
    path = Path(folder.path, name)
    irregular = []
    if len(folder.logs) > 1:
        what = f"{folder.logs[1]} lies beside {name}"
        irregular.append(Irregularity("two_logs", path.parent, what))
    try:
        data, changed = read_bytes(os.fspath(path), zipped=name != FILE_NAME)
    except UnusableError as error:
        rule, what = error.args
        measurements, content = Measurements(), 0
        irregular.append(Irregularity(rule, path, what))
    else:
        if changed:
            what = "written to while it was read"
            irregular.append(Irregularity("changing", path, what))
        measurements, found = parse(data, path)
        irregular += found
        content = hash(data)
    return (
        Trial(
            path=path,
            submission=folder.submission,
            study=folder.study,
            workload=folder.workload,
            framework=folder.framework,
            number=folder.number,
            score=measurements.score,
            global_step=measurements.global_step,
            validation=measurements.validation,
        ),
        irregular,
        content,
    )
