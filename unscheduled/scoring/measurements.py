"""Measurements of a run: the bytes of its CSV -> columns of numbers.

Strict, because a damaged number that still reads as one would be scored: a number is
as Python and pandas write it, without spaces, underscores, leading zeros or bare point.
"""

import csv
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unscheduled.benchmark.errors import LogError
from unscheduled.benchmark.read import MAX_BYTES
from unscheduled.benchmark.targets import METRICS, Metric
from unscheduled.scoring.warnings import FileWarnings, LogWarning

VALIDATION = "validation/"
MAX_ROWS = 100_000  # 180 times the longest published log

_ULPS = 1e-5  # means in float32 go over the range of a metric by some

_SCORE, _STEP, _COUNT = "score", "global_step", "preemption_count"
_SAME = "accumulated_submission_time"  # the score by another name
_is_numeric = re.compile(
    "score|global_step|preemption_count|total_duration"
    "|accumulated_(submission|eval|logging)_time|(train|validation|test)/.*"
).fullmatch  # other columns may hold text
_is_number = re.compile(
    r"-?(0|[1-9][0-9]{0,63})(\.[0-9]{1,64})?(e[+-]?[0-9]{1,4})?"
    "|[+-]?(nan|inf(inity)?)|",
    re.ASCII | re.IGNORECASE,
).fullmatch


@dataclass(frozen=True, eq=False)
class Measurements:
    """Columns of a log, shape (n,) each; those of `validation` are finite or NaN."""

    score: np.ndarray = field(default_factory=lambda: np.empty(0))  # seconds
    global_step: np.ndarray = field(default_factory=lambda: np.empty(0))
    validation: Mapping[str, np.ndarray] = field(default_factory=dict)


class _Row(NamedTuple):
    count: float
    step: float
    score: float
    cells: Mapping[str, str]
    line: int


def parse(data: bytes, path: Path) -> tuple[Measurements, list[LogWarning]]:
    """The columns of a CSV, or a packed one, and what is wrong with it.

    LogError is raised where it can't be used at all.
    """
    if path.suffix == ".gz":
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise LogError(f"damaged gzip: {error}") from error
    if len(data) > MAX_BYTES or data.count(b"\n") > MAX_ROWS:
        raise LogError(f"too large: over {MAX_ROWS:,} lines or {MAX_BYTES:,} bytes")
    text = data.decode("utf-8-sig", "surrogateescape")
    header, _, _ = text.lstrip(" \r\n").partition("\n")
    lines = text.split("\r\n" if header.endswith("\r") else "\n")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip(" \r\n")]
    if not numbered:
        return Measurements(), [LogWarning("no_evaluations", path, "empty")]
    warnings = FileWarnings(path)
    names = _names(header.removesuffix("\r"))
    if len(numbered) > 1 and numbered[-1][0] == len(lines):  # without its line end
        warnings.add("cut_off", "cut off", len(lines))
        numbered.pop()
    rows = _in_order(_rows(numbered[1:], names, warnings), warnings)
    if not rows:
        warnings.add("no_evaluations", "no evaluation")
    scores, steps = [row.score for row in rows], [row.step for row in rows]
    metrics = {
        name.removeprefix(VALIDATION): _metric(name, rows, warnings)
        for name in names
        if name.startswith(VALIDATION)
    }
    columns = Measurements(np.array(scores), np.array(steps), metrics)
    return columns, [*warnings.values()]


def _names(header: str) -> list[str]:
    names = _cells(header)
    missing = [name for name in (_SCORE, _STEP) if name not in names]
    if missing:
        raise LogError(f"no column {' or '.join(missing)}")
    if not header.isprintable():
        raise LogError("a header that does not print")
    name, n = Counter(names).most_common(1)[0]
    if n > 1:
        raise LogError(f"two columns {name[:40]!r}")
    return names


def _cells(line: str) -> list[str]:
    """The cells of a line; none where it is no line of CSV."""
    if '"' not in line:
        return line.split(",")  # the same, and six times faster
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _rows(
    numbered: Iterable[tuple[int, str]], names: Sequence[str], warnings: FileWarnings
) -> list[_Row]:
    """The rows that are whole, in the order of the file."""
    table, rows = [], []
    for number, line in numbered:
        cells = _cells(line)
        if _STEP in cells and cells != names:
            warnings.add("second_header", "another header", number)
            break
        table.append((number, line, cells))
    short = [False, *(len(cells) < len(names) for *_, cells in table), False]
    numeric = [name for name in names if _is_numeric(name)]
    for i, (number, line, cells) in enumerate(table):
        try:
            if not line.isprintable():
                raise LogError("a control byte, or another line end than the header's")
            if len(cells) != len(names):
                raise LogError(f"{len(cells)} cells where the header has {len(names)}")
            row = _row(dict(zip(names, cells, strict=True)), numeric, number)
            if short[i] or short[i + 2]:
                raise LogError("may go on in a line beside it, which has too few cells")
            rows.append(row)
        except LogError as error:
            warnings.add("corrupt_row", str(error), number)
    return rows


def _row(cells: Mapping[str, str], numeric: Sequence[str], line: int) -> _Row:
    for name in numeric:
        if not _is_number(cells[name]):
            raise LogError(f"{name} is {cells[name][:40]!a}, not a number")
    score = _amount(_SCORE, cells)
    if _amount(_SAME, {_SAME: cells[_SCORE], **cells}) != score:
        raise LogError(f"score is {score:g}, but {_SAME} {cells[_SAME]}")
    count = _amount(_COUNT, {_COUNT: "0", **cells})
    return _Row(count, _amount(_STEP, cells), score, cells, line)


def _amount(name: str, cells: Mapping[str, str]) -> float:
    """A number of seconds, or a whole number of steps or preemptions."""
    value = float(cells[name] or "nan")
    is_whole = name in (_STEP, _COUNT)
    if not 0 <= value < math.inf or (is_whole and value % 1):
        kind = "whole number" if is_whole else "number"
        raise LogError(f"{name} is {cells[name]!r}, not a {kind} from 0 on")
    return value


def _in_order(rows: Iterable[_Row], warnings: FileWarnings) -> list[_Row]:
    """Rows by preemption count and step, without those that contradict one another."""
    kept: list[_Row] = []
    by_place = sorted(rows, key=lambda row: row[:2])
    for _, (first, *others) in groupby(by_place, key=lambda row: row[:2]):
        if any(row.cells != first.cells for row in others):
            what = f"another row has step {first.step:.0f} too"
            warnings.add("contradiction", what, first.line)
            continue
        for row in others:
            warnings.add("repeated_row", "written before", row.line)
        if kept and first.line < kept[-1].line:
            warnings.add("reordered", "a row that belongs further up", first.line)
        if kept and first.count == kept[-1].count and first.score < kept[-1].score:
            what = f"score is {first.score} after {kept[-1].score}"
            warnings.add("time_back", what, first.line)
            return kept[:-1]
        kept.append(first)
    return kept


def _metric(name: str, rows: Sequence[_Row], warnings: FileWarnings) -> np.ndarray:
    """The values of a metric; NaN where it is not finite, or can't be."""
    values = np.array([float(row.cells[name] or "nan") for row in rows])
    values[np.isinf(values)] = math.nan
    _, low, high = METRICS.get(name.removeprefix(VALIDATION), Metric(True))
    outside = (values < low - _ULPS) | (values > high + _ULPS)
    for n in np.flatnonzero(outside).tolist():
        what = f"{name} is {values[n]:g}, not from {low:g} to {high:g}"
        warnings.add("out_of_range", what, rows[n].line)
    values[outside] = math.nan
    return values
