"""Read the logs of runs: one plain record a trial.

The official layout of a log, whatever folder the reader is pointed at, is

    <submission>/<study>/<workload>_(jax|pytorch)/trial_<N>/eval_measurements.csv

so the four folders above a file name it. A root may be the folder that holds the
submissions, one submission's folder, or anything further in; logs that lie deeper
than that below a root are refused, because several groups of submissions would be
scored as one.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unscheduled.scoring.errors import LogError, ScoringError

FILE_NAME = "eval_measurements.csv"
LAYOUT = f"<submission>/<study>/<workload>_(jax|pytorch)/trial_<N>/{FILE_NAME}"
VALIDATION = "validation/"

_TRIAL = re.compile(r"trial_(\d+)")
_WORKLOAD = re.compile(r"(.+)_(jax|pytorch)")
_NEEDED = ("score", "global_step")
_LAYOUT_DEPTH = 4  # submission, study, workload, trial
_SEARCH_DEPTH = 6  # ends the search where links to folders go round in circles


@dataclass(frozen=True, eq=False)
class Trial:
    """The evaluations of one training run, in the order of its log.

    Attributes:
      score: AlgoPerf's name for the seconds of submission time, shape (n,).
      global_step: steps taken, shape (n,).
      validation: metric name without `validation/` -> values, shape (n,) each.
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
        return (
            self.submission,
            self.workload,
            self.framework,
            self.study,
            self.number,
        )


# What can be wrong with logs: its name -> what is done about it.
RULES_OF_READING = {
    "cut_off": "a last row that was cut off is left out",
    "no_log": f"a trial's folder without {FILE_NAME} is left out",
}


@dataclass(frozen=True)
class Irregularity:
    """Something about the logs that is not as it should be.

    Attributes:
      rule: which of `RULES_OF_READING` it was handled by.
      path: the file or folder.
      what: what was seen there, without a full stop at its end.
      line: of the file, from 1, where there is one to name.
    """

    rule: str
    path: Path
    what: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}, line {self.line}"
        return f"{place}: {self.what} ({RULES_OF_READING[self.rule]})."


@dataclass(frozen=True)
class Reading:
    """What was read: trials, sorted by `Trial.key`, and what was irregular."""

    trials: list[Trial]
    irregularities: list[Irregularity]


def read_logs(roots: Sequence[str | Path]) -> Reading:
    """Read every trial below `roots`.

    Raises:
      LogError: a log is corrupt, or two logs claim to be the same trial.
      ScoringError: a root does not exist, or holds no logs.
    """
    folders = list(dict.fromkeys(f for root in roots for f in _find_trials(root)))
    with_log = [f for f in folders if _has_log(f)]
    if not with_log:
        names = ", ".join(map(str, roots)) or "no folder at all"
        raise ScoringError(f"No logs found in {names}: they should lie at {LAYOUT}.")
    trials: dict[tuple, Trial] = {}
    irregularities: list[Irregularity] = []
    for folder in with_log:
        trial, irregular = read_trial(folder / FILE_NAME)
        irregularities += irregular
        twin = trials.setdefault(trial.key, trial)
        if twin is not trial:
            raise LogError(f"{twin.path} and {trial.path} claim to be the same trial.")
    for folder in sorted(set(folders) - set(with_log)):
        irregularities.append(Irregularity("no_log", folder, f"no {LAYOUT}"))
    return Reading(sorted(trials.values(), key=lambda t: t.key), irregularities)


def read_trial(path: Path) -> tuple[Trial, list[Irregularity]]:
    """Read one log, named by the four folders above it, and what it lacks.

    Raises:
      LogError: the file is corrupt, or its folders are not named as a trial's.
    """
    submission, study, workload_folder, trial_folder = path.parent.parts[-4:]
    workload = _WORKLOAD.fullmatch(workload_folder)
    number = _TRIAL.fullmatch(trial_folder)
    if not workload or not number:
        raise LogError(f"{path} is not named as a log should be: {LAYOUT}.")
    columns, irregular = read_measurements(path)
    trial = Trial(
        path=path,
        submission=submission,
        study=study,
        workload=workload[1],
        framework=workload[2],
        number=int(number[1]),
        score=columns["score"],
        global_step=columns["global_step"],
        validation={
            name.removeprefix(VALIDATION): values
            for name, values in columns.items()
            if name.startswith(VALIDATION)
        },
    )
    return trial, irregular


def read_measurements(
    path: Path,
) -> tuple[dict[str, np.ndarray], list[Irregularity]]:
    """Read a CSV of numbers into columns, shape (rows,) each, and what it lacks.

    An empty file is a run without evaluations. An empty cell is NaN. A last line
    with too few cells or without its line end was cut off: even when it seems whole,
    its last number may not be, so the row is dropped.

    Raises:
      LogError: anything else that is not a table of numbers with `score` and
        `global_step`.
    """
    text = _read_text(path).split("\n")
    lines = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    if not lines:
        return {name: np.empty(0) for name in _NEEDED}, []
    header = _parse_header(path, *lines.pop(0))
    irregular = []
    if lines:
        number, line = lines[-1]
        if number == len(text) or _n_cells(line) < len(header):
            del lines[-1]
            irregular.append(Irregularity("cut_off", path, "cut off", number))
    rows = [_parse_row(path, number, line, header) for number, line in lines]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    return dict(zip(header, table.T, strict=True)), irregular


def _find_trials(root: str | Path) -> Iterator[Path]:
    """Yield the trial folders below `root`, all named by absolute paths."""
    top = Path(os.path.abspath(root))  # unlike resolve(), keeps the names of links
    if not top.is_dir():
        raise ScoringError(f"No such folder: {root}.")
    for folder, depth in _walk(top, 0):
        if depth > _LAYOUT_DEPTH:
            raise ScoringError(
                f"{folder} lies too deep in {root}: name the folders that hold "
                f"submissions, such as {folder.parents[3]}."
            )
        yield folder


def _has_log(trial_folder: Path) -> bool:
    named = _WORKLOAD.fullmatch(trial_folder.parent.name) is not None
    return named and (trial_folder / FILE_NAME).exists()


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, int]]:
    if _TRIAL.fullmatch(folder.name):
        yield folder, depth
    elif depth < _SEARCH_DEPTH:
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                yield from _walk(entry, depth + 1)


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LogError(f"{path}, line {line}: not text, so not a log.") from None


def _parse_header(path: Path, number: int, line: str) -> list[str]:
    header = [name.strip() for name in line.split(",")]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise LogError(f"{path}, line {number}: no column {' or '.join(missing)}.")
    if len(set(header)) < len(header):
        raise LogError(f"{path}, line {number}: a column is named twice.")
    return header


def _n_cells(line: str) -> int:
    return line.count(",") + 1


def _parse_row(path: Path, number: int, line: str, header: list[str]) -> list[float]:
    if _n_cells(line) != len(header):
        raise LogError(
            f"{path}, line {number}: {_n_cells(line)} cells where the header has "
            f"{len(header)}."
        )
    row = []
    for name, cell in zip(header, line.split(","), strict=True):
        try:
            value = float(cell) if cell.strip() else np.nan
        except ValueError:
            raise LogError(
                f"{path}, line {number}: {name} is {cell[:40]!r}, not a number."
            ) from None
        if name in _NEEDED and not np.isfinite(value):
            raise LogError(f"{path}, line {number}: {name} is {value}, not finite.")
        row.append(value)
    return row
