"""Measurements of a run: the bytes of its CSV -> columns of numbers.

Strict about what a number is, because a damaged number that still reads as one would
be scored: only as Python and pandas write it, without spaces, underscores, leading
zeros or a bare point.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unscheduled.scoring.irregularities import Irregularity, Notes
from unscheduled.scoring.log_file import UnusableError

VALIDATION = "validation/"
MAX_ROWS = 100_000  # 180 times the longest published log

# Where a metric can be; others can be anywhere. Means in float32 go over by some ulp.
RANGES = {
    "accuracy": (0.0, 1.0),
    "error_rate": (0.0, 1.0),
    "mean_average_precision": (0.0, 1.0),
    "ssim": (-1.0, 1.0),
    "bleu": (0.0, 100.0),
    "wer": (0.0, math.inf),
    "ppl": (0.0, math.inf),
}
_ULPS = 1e-5

_NEEDED = ("score", "global_step")
_BOM = b"\xef\xbb\xbf"
_MAX_DIGITS = 64
_is_number = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
).fullmatch
# What nearly every cell is: finite and not negative; one look for a whole row.
_PLAIN = r"(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,40})?(?:e-[0-9]{1,2})?"
_is_plain = re.compile(_PLAIN).fullmatch
_are_plain = re.compile(_PLAIN + 2 * ",(?:0|[1-9][0-9]{0,15})").fullmatch
_is_not_finite = re.compile("(?:[+-]?(?:nan|inf|infinity))?", re.IGNORECASE).fullmatch


def _empty() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Columns of a log, shape (n,) each; metrics are finite or NaN.

    Attributes:
      validation: metric name without `validation/` -> values.
    """

    score: np.ndarray = field(default_factory=_empty)
    global_step: np.ndarray = field(default_factory=_empty)
    validation: Mapping[str, np.ndarray] = field(default_factory=dict)


class _Columns(NamedTuple):
    """In which of the `n` cells of a row is what."""

    n: int
    score: int
    global_step: int
    preemption_count: int | None
    submission_time: int | None  # the score by another name
    validation: dict[str, int]


class _Row(NamedTuple):
    preemption_count: float
    global_step: float
    score: float
    line: int
    metrics: list[str]


def parse(data: bytes, path: Path) -> tuple[Measurements, list[Irregularity]]:
    r"""Columns from the bytes of a CSV, and what is irregular; raises nothing.

    >>> text = b"score,global_step,validation/wer\n1.5,9,0.25\n"
    >>> parse(text, Path("log.csv"))[0].validation["wer"]
    array([0.25])
    """
    notes = Notes(path)
    try:
        measurements = _measurements(data, notes)
    except UnusableError as error:
        notes.add(*error.args)
        measurements = Measurements()
    return measurements, notes.irregularities()


def _measurements(data: bytes, notes: Notes) -> Measurements:
    if data.count(b"\n") > MAX_ROWS:
        raise UnusableError("too_large", f"over {MAX_ROWS} lines")
    lines = data.removeprefix(_BOM).decode("latin-1").split("\n")  # a letter a byte
    filled = [i for i, line in enumerate(lines) if line.strip(" \r")]
    if not filled:
        raise UnusableError("no_evaluations", "empty")
    columns = _columns(lines, filled[0], notes)
    rows = list(_rows(lines, filled, columns, notes))
    if any(later[:2] <= row[:2] for row, later in pairwise(rows)):
        rows = _in_order(rows, notes)
    rows = _until_time_goes_back(rows, notes)
    if not rows:
        notes.add("no_evaluations", "no evaluation")
    return Measurements(
        np.array([row.score for row in rows]),
        np.array([row.global_step for row in rows]),
        {
            name: _metric(name, [(row.line, row.metrics[i]) for row in rows], notes)
            for i, name in enumerate(columns.validation)
        },
    )


def _columns(lines: Sequence[str], top: int, notes: Notes) -> _Columns:
    """What the header in line `top` names.

    Raises:
      UnusableError: there is no header.
    """
    names = _names(lines[top])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        notes.add("named_twice", f"two columns {twice[0][:40]!r}", top + 1, len(twice))
    where = {name: i for i, name in enumerate(names) if name not in twice}
    missing = [name for name in _NEEDED if name not in where]
    if missing:
        raise UnusableError("not_a_log", f"no column {' or '.join(missing)}", top + 1)
    return _Columns(
        n=len(names),
        score=where["score"],
        global_step=where["global_step"],
        preemption_count=where.get("preemption_count"),
        submission_time=where.get("accumulated_submission_time"),
        validation={
            name.removeprefix(VALIDATION): i
            for name, i in where.items()
            if name.startswith(VALIDATION)
        },
    )


def _names(header: str) -> list[str]:
    text = header.encode("latin-1").decode("utf-8", "backslashreplace")
    return text.removesuffix("\r").split(",")


def _rows(
    lines: Sequence[str], filled: Sequence[int], columns: _Columns, notes: Notes
) -> Iterator[_Row]:
    """The rows that are whole, in the order of the file."""
    header = lines[filled[0]]
    end = "\r" if header.endswith("\r") else ""
    pieces = _pieces(lines, filled[1:], columns.n)
    for i in filled[1:]:
        line = lines[i]
        cells = line.removesuffix(end).split(",")
        if i == len(lines) - 1:
            notes.add("cut_off", "cut off", i + 1)
        elif "global_step" in cells and _names(line) != _names(header):
            notes.add("second_header", "another header", i + 1)
            return
        elif not line.endswith(end):
            notes.add("corrupt_row", "another line end than the header's", i + 1)
        elif not _is_whole(cells, columns) and (problem := _problem(cells, columns)):
            notes.add("corrupt_row", problem, i + 1)
        elif i in pieces:
            notes.add("piece", "next to a piece of a row", i + 1)
        else:
            yield _row(i + 1, cells, columns)


def _pieces(lines: Sequence[str], body: Sequence[int], n: int) -> set[int]:
    """Lines with too few cells, and those beside them: one may end in the other."""
    short = [
        place
        for place, i in enumerate(body)
        if lines[i].count(",") < n - 1 and i < len(lines) - 1
    ]
    return {i for place in short for i in body[max(place - 1, 0) : place + 2]}


def _row(line: int, cells: Sequence[str], columns: _Columns) -> _Row:
    count = columns.preemption_count
    return _Row(
        0.0 if count is None else float(cells[count]),
        float(cells[columns.global_step]),
        float(cells[columns.score]),
        line,
        [cells[i] for i in columns.validation.values()],
    )


def _is_whole(cells: Sequence[str], columns: _Columns) -> bool:
    """Whether a row is plainly whole; where not, `_problem` looks closer."""
    if len(cells) != columns.n:
        return False
    _, score, step, count, submission_time, _ = columns
    counts = f"{cells[step]},{'0' if count is None else cells[count]}"
    same_time = submission_time is None or cells[submission_time] == cells[score]
    return same_time and _are_plain(f"{cells[score]},{counts}") is not None


def _problem(cells: Sequence[str], columns: _Columns) -> str:
    """Why a row can't be used; nothing where it can."""
    if len(cells) != columns.n:
        return f"{len(cells)} cells where the header has {columns.n}"
    _, score, step, count, submission_time, _ = columns
    wrong = _not_a_number("score", cells[score])
    wrong = wrong or _not_a_count("global_step", cells[step])
    if count is not None:
        wrong = wrong or _not_a_count("preemption_count", cells[count])
    if not wrong and submission_time is not None:
        other = cells[submission_time]
        if other != cells[score] and not _same_number(other, cells[score]):
            return f"score is {cells[score]}, but accumulated_submission_time {other}"
    return wrong


def _not_a_count(name: str, cell: str) -> str:
    wrong = _not_a_number(name, cell)
    if wrong or cell.isdigit() or float(cell).is_integer():
        return wrong
    return f"{name} is {cell}, not a whole number"


def _not_a_number(name: str, cell: str) -> str:
    if not _is_number(cell) or len(cell) > _MAX_DIGITS:
        return f"{name} is {cell[:40]!a}, not a number"
    if not 0 <= float(cell) < math.inf:
        return f"{name} is {cell}, not a number of seconds or steps"
    return ""


def _same_number(cell: str, other: str) -> bool:
    return _is_number(cell) is not None and float(cell) == float(other)


def _in_order(rows: Iterable[_Row], notes: Notes) -> list[_Row]:
    """Rows by preemption count and step, each of which comes once."""
    ordered = sorted(rows, key=_place)
    for earlier, later in pairwise(ordered):
        if later.line < earlier.line:
            notes.add("reordered", "a row that belongs further up", earlier.line)
    kept = []
    for (_, step), group in groupby(ordered, _place):
        first, *others = group
        same = [row for row in others if row._replace(line=first.line) == first]
        if same:
            notes.add("repeated_row", "written before", same[0].line, len(same))
        if len(same) == len(others):
            kept.append(first)
        else:
            what = f"another row has step {step:.0f} too"
            notes.add("contradiction", what, first.line, 1 + len(others))
    return kept


def _place(row: _Row) -> tuple[float, float]:
    return row[:2]


def _until_time_goes_back(rows: list[_Row], notes: Notes) -> list[_Row]:
    """The rows before the first two whose times contradict their steps."""
    for n, (row, later) in enumerate(pairwise(rows)):
        same_start = row.preemption_count == later.preemption_count
        if same_start and later.score < row.score:
            what = f"score is {later.score} after {row.score}"
            notes.add("time_back", what, later.line)
            return rows[:n]
    return rows


def _metric(name: str, cells: list[tuple[int, str]], notes: Notes) -> np.ndarray:
    """Values of a metric from (line, cell)s; NaN for what is not one."""
    low, high = RANGES.get(name, (-math.inf, math.inf))
    values = []
    for line, cell in cells:
        value = float(cell) if _is_plain(cell) else _odd_value(name, line, cell, notes)
        if value < low - _ULPS or value > high + _ULPS:
            what = f"validation/{name} is {cell}, not from {low:g} to {high:g}"
            notes.add("out_of_range", what, line)
            value = math.nan
        values.append(value)
    return np.array(values, np.float64)


def _odd_value(name: str, line: int, cell: str, notes: Notes) -> float:
    """The value of a cell that is not plain; NaN where it is not finite."""
    if _is_number(cell) and len(cell) <= _MAX_DIGITS:
        value = float(cell)
        return value if math.isfinite(value) else math.nan
    if not _is_not_finite(cell):
        what = f"validation/{name} is {cell[:40]!a}, not a number"
        notes.add("corrupt_cell", what, line)
    return math.nan
