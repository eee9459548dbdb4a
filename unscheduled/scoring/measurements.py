"""Measurements of a run: the bytes of its CSV -> columns of numbers.

Strict, because a damaged number that still reads as one would be scored. A row is one
line of CSV, in which everything prints, with as many cells as the header, and in each
column of numbers a number as Python and pandas write it: without spaces, underscores,
leading zeros or a bare point.
"""

import csv
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from unscheduled.benchmark.errors import LogError
from unscheduled.benchmark.metrics import METRICS
from unscheduled.benchmark.read import MAX_BYTES
from unscheduled.scoring.irregularities import Irregularity, Notes

VALIDATION = "validation/"
MAX_ROWS = 100_000  # 180 times the longest published log

_ULPS = 1e-5  # means in float32 go over the range of a metric by some

_SCORE, _STEP, _COUNT = "score", "global_step", "preemption_count"
_SAME = "accumulated_submission_time"  # the score by another name
_is_numeric = re.compile(
    "score|global_step|preemption_count|total_duration"
    "|accumulated_(?:submission|eval|logging)_time|(?:train|validation|test)/.*"
).fullmatch  # other columns may hold text
_NUMBER = r"-?+(?:0|[1-9][0-9]{0,63}+)(?:\.[0-9]{1,64}+)?+(?:[eE][+-]?[0-9]{1,4}+)?+"
_CELL = f"(?:{_NUMBER}|[+-]?(?ia:nan|inf(?:inity)?)|)"
_is_number = re.compile(_CELL).fullmatch
_are_numbers = re.compile(f"{_CELL}(?:\n{_CELL})*+").fullmatch  # no row has a line end


class Measurements(NamedTuple):
    """Columns of a log, shape (n,) each; metrics are finite or NaN.

    Attributes:
      validation: metric name without `validation/` -> values.
    """

    score: np.ndarray = np.empty(0)
    global_step: np.ndarray = np.empty(0)
    validation: Mapping[str, np.ndarray] = MappingProxyType({})


class _Row(NamedTuple):
    count: float
    step: float
    score: float
    metrics: tuple[str, ...]
    text: str
    line: int


class _Header:
    """The names of the columns, and which of them are of numbers, or metrics."""

    def __init__(self, text: str):
        """Raises LogError where it is not the header of a log."""
        self.text = text
        self.names = _cells(text)
        missing = [name for name in (_SCORE, _STEP) if name not in self.names]
        if missing:
            raise LogError(f"no column {' or '.join(missing)}")
        if not text.isprintable():
            raise LogError("a header that does not print")
        twice = [name for name, n in Counter(self.names).items() if n > 1]
        if twice:
            raise LogError(f"two columns {twice[0][:40]!r}")
        self.numeric = [name for name in self.names if _is_numeric(name)]
        self.metrics = [name for name in self.names if name.startswith(VALIDATION)]


def parse(data: bytes, path: Path) -> tuple[Measurements, list[Irregularity]]:
    r"""Columns of a CSV, and what is irregular; raises nothing.

    Args:
      data: the content of the file, gzip where `path` ends in `.gz`.

    >>> text = b"score,global_step,validation/wer\n1.5,9,0.25\n"
    >>> parse(text, Path("log.csv"))[0].validation["wer"]
    array([0.25])
    """
    notes = Notes(path)
    try:
        text = _unzipped(data) if path.suffix == ".gz" else data
        measurements = _measurements(text, notes)
    except LogError as error:
        notes.add("unreadable", str(error))
        measurements = Measurements()
    return measurements, notes.irregularities()


def _unzipped(data: bytes) -> bytes:
    """What gzip packed, with its checksums checked; raises LogError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise LogError(f"damaged gzip: {error}") from error
    if len(text) > MAX_BYTES:
        raise LogError(f"too large: over {MAX_BYTES:,} bytes")
    return text


def _measurements(data: bytes, notes: Notes) -> Measurements:
    """Raises LogError where the log can't be used."""
    if data.count(b"\n") > MAX_ROWS:
        raise LogError(f"too large: over {MAX_ROWS:,} lines")
    lines = data.decode("utf-8-sig", "surrogateescape").split("\n")
    filled = [i for i, line in enumerate(lines) if line.strip(" \r")]
    if not filled:
        notes.add("no_evaluations", "empty")
        return Measurements()
    top, *body = filled
    end = "\r" if lines[top].endswith("\r") else ""
    header = _Header(lines[top].removesuffix(end))
    rows = _in_order(_rows(lines, body, header, end, notes), notes)
    if not rows:
        notes.add("no_evaluations", "no evaluation")
    return Measurements(
        np.array([row.score for row in rows]),
        np.array([row.step for row in rows]),
        {
            name.removeprefix(VALIDATION): _metric(name, i, rows, notes)
            for i, name in enumerate(header.metrics)
        },
    )


def _cells(line: str) -> list[str]:
    """The cells of a line; none where it is no line of CSV."""
    if '"' not in line:
        return line.split(",")  # the same, and six times faster
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _rows(
    lines: Sequence[str], body: Iterable[int], header: _Header, end: str, notes: Notes
) -> list[_Row]:
    """The rows that are whole, in the order of the file."""
    rows: dict[int, _Row] = {}  # by their place among the lines that are not blank
    short = set()  # places of lines with too few cells
    for place, i in enumerate(body):
        line = lines[i].removesuffix(end)
        cells = _cells(line)
        if i == len(lines) - 1:
            notes.add("cut_off", "cut off", i + 1)
            break
        if _STEP in cells and cells != header.names:
            notes.add("second_header", "another header", i + 1)
            break
        if len(cells) < len(header.names):
            short.add(place)
        try:
            if not line.isprintable() or not lines[i].endswith(end):
                raise LogError("a control byte, or another line end than the header's")
            rows[place] = _row(cells, header, line, i + 1)
        except LogError as error:
            notes.add("corrupt_row", str(error), i + 1)
    for place in [place for place in rows if {place - 1, place + 1} & short]:
        what = "may go on in a line beside it, which has too few cells"
        notes.add("corrupt_row", what, rows.pop(place).line)
    return list(rows.values())


def _row(cells: list[str], header: _Header, text: str, line: int) -> _Row:
    """Raises LogError where a cell is not what it should be."""
    names = header.names
    if len(cells) != len(names):
        raise LogError(f"{len(cells)} cells where the header has {len(names)}")
    cell = dict(zip(names, cells, strict=True))
    if not _are_numbers("\n".join([cell[name] for name in header.numeric])):
        for name in header.numeric:
            if not _is_number(cell[name]):
                raise LogError(f"{name} is {cell[name][:40]!a}, not a number")
    score = _amount(_SCORE, cell)
    same = cell.get(_SAME, cell[_SCORE])
    if same != cell[_SCORE] and float(same or "nan") != score:
        raise LogError(f"score is {cell[_SCORE]}, but {_SAME} {same}")
    return _Row(
        _amount(_COUNT, cell) if _COUNT in cell else 0.0,
        _amount(_STEP, cell),
        score,
        tuple([cell[name] for name in header.metrics]),
        text,
        line,
    )


def _amount(name: str, cell: Mapping[str, str]) -> float:
    """A number of seconds, or a whole number of steps or preemptions."""
    value = float(cell[name] or "nan")
    if 0 <= value < math.inf and (name == _SCORE or not value % 1):
        return value
    kind = "number" if name == _SCORE else "whole number"
    raise LogError(f"{name} is {cell[name]!r}, not a {kind} from 0 on")


def _in_order(rows: list[_Row], notes: Notes) -> list[_Row]:
    """Rows by preemption count and step, without those that contradict one another."""
    first: dict[tuple[float, float], _Row] = {}
    contradictory = set()
    for row in sorted(rows, key=lambda row: row[:2]):
        twin = first.setdefault(row[:2], row)
        if twin.text != row.text:
            what = f"another row has step {row.step:.0f} too"
            notes.add("contradiction", what, twin.line)
            contradictory.add(row[:2])
        elif twin is not row:
            notes.add("repeated_row", "written before", row.line)
    kept = [row for place, row in first.items() if place not in contradictory]
    for row, later in pairwise(kept):
        if later.line < row.line:
            notes.add("reordered", "a row that belongs further up", later.line)
    for n, (row, later) in enumerate(pairwise(kept)):
        if row.count == later.count and later.score < row.score:
            what = f"score is {later.score} after {row.score}"
            notes.add("time_back", what, later.line)
            return kept[:n]
    return kept


def _metric(name: str, i: int, rows: Sequence[_Row], notes: Notes) -> np.ndarray:
    """The values of a metric; NaN where it is not finite, or can't be."""
    values = np.array([float(row.metrics[i] or "nan") for row in rows])
    values[np.isinf(values)] = math.nan
    low, high = -math.inf, math.inf
    if metric := METRICS.get(name.removeprefix(VALIDATION)):
        low, high = metric.low, metric.high
    outside = (values < low - _ULPS) | (values > high + _ULPS)
    for n in np.flatnonzero(outside).tolist():
        what = f"{name} is {values[n]:g}, not from {low:g} to {high:g}"
        notes.add("out_of_range", what, rows[n].line)
    values[outside] = math.nan
    return values
