"""Measurements of a run: the bytes of its CSV -> columns of numbers.

Strict, because a damaged number that still reads as one would be scored. A row is one
line of CSV, in which everything prints, with as many cells as the header, and in each
column of numbers a number as Python and pandas write it: without spaces, underscores,
leading zeros or a bare point.
"""

import csv
import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from unscheduled.benchmark.errors import LogError
from unscheduled.benchmark.metrics import METRICS, Metric
from unscheduled.scoring.warnings import FileWarnings, LogWarning

VALIDATION = "validation/"

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
    metrics: tuple[float, ...]
    text: str
    line: int


def parse(data: bytes, path: Path) -> tuple[Measurements, list[LogWarning]]:
    r"""Columns of a CSV, and what is wrong with it; raises nothing.

    Args:
      data: the content of the file, gzip where `path` ends in `.gz`.

    >>> text = b"score,global_step,validation/wer\n1.5,9,0.25\n"
    >>> parse(text, Path("log.csv"))[0].validation["wer"]
    array([0.25])
    """
    warnings, measurements = FileWarnings(path), Measurements()
    try:
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        measurements = _measurements(data, warnings)
    except (OSError, EOFError, zlib.error) as error:
        warnings.add("unreadable", f"damaged gzip: {error}")
    except LogError as error:
        warnings.add("unreadable", str(error))
    return measurements, [*warnings.values()]


def _measurements(data: bytes, warnings: FileWarnings) -> Measurements:
    """Raises LogError where the log can't be used."""
    lines = data.decode("utf-8-sig", "surrogateescape").split("\n")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip(" \r")]
    if not numbered:
        warnings.add("no_evaluations", "empty")
        return Measurements()
    header = numbered[0][1]
    end = "\r" if header.endswith("\r") else ""
    names = _names(header.removesuffix(end))
    if len(numbered) > 1 and numbered[-1][0] == len(lines):  # without its line end
        warnings.add("cut_off", "cut off", len(lines))
        numbered.pop()
    rows = _in_order(_rows(numbered[1:], names, end, warnings), warnings)
    if not rows:
        warnings.add("no_evaluations", "no evaluation")
    columns = {
        name.removeprefix(VALIDATION): np.array([row.metrics[i] for row in rows])
        for i, name in enumerate(filter(_is_metric, names))
    }
    for name, values in columns.items():
        _remove_impossible(name, values, rows, warnings)
    scores, steps = ([row.score for row in rows], [row.step for row in rows])
    return Measurements(np.array(scores), np.array(steps), columns)


def _cells(line: str) -> list[str]:
    """The cells of a line; none where it is no line of CSV."""
    if '"' not in line:
        return line.split(",")  # the same, and six times faster
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _names(header: str) -> list[str]:
    """The names of the columns; raises LogError where it is not the header of a log."""
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


def _is_metric(name: str) -> bool:
    return name.startswith(VALIDATION)


def _rows(
    numbered: Sequence[tuple[int, str]],
    names: Sequence[str],
    end: str,
    warnings: FileWarnings,
) -> list[_Row]:
    """The rows that are whole, in the order of the file."""
    numeric = [*filter(_is_numeric, names)]
    rows: dict[int, _Row] = {}  # by their place among the lines that are not blank
    short = set()  # places of lines with too few cells
    for place, (number, line) in enumerate(numbered):
        text = line.removesuffix(end)
        cells = _cells(text)
        if _STEP in cells and cells != names:
            warnings.add("second_header", "another header", number)
            break
        if len(cells) < len(names):
            short.add(place)
        try:
            if not text.isprintable() or not line.endswith(end):
                raise LogError("a control byte, or another line end than the header's")
            if len(cells) != len(names):
                raise LogError(f"{len(cells)} cells where the header has {len(names)}")
            cell = dict(zip(names, cells, strict=True))
            rows[place] = _row(cell, numeric, text, number)
        except LogError as error:
            warnings.add("corrupt_row", str(error), number)
    for place in [place for place in rows if {place - 1, place + 1} & short]:
        what = "may go on in a line beside it, which has too few cells"
        warnings.add("corrupt_row", what, rows.pop(place).line)
    return [*rows.values()]


def _row(cell: Mapping[str, str], numeric: Sequence[str], text: str, line: int) -> _Row:
    """Raises LogError where a cell is not what it should be."""
    for name in numeric:
        if not _is_number(cell[name]):
            raise LogError(f"{name} is {cell[name][:40]!a}, not a number")
    score = _amount(_SCORE, cell[_SCORE])
    same = cell.get(_SAME, cell[_SCORE])
    if same != cell[_SCORE] and float(same or "nan") != score:
        raise LogError(f"score is {cell[_SCORE]}, but {_SAME} {same}")
    return _Row(
        _amount(_COUNT, cell.get(_COUNT, "0")),
        _amount(_STEP, cell[_STEP]),
        score,
        tuple([float(cell[name] or "nan") for name in numeric if _is_metric(name)]),
        text,
        line,
    )


def _amount(name: str, cell: str) -> float:
    """A number of seconds, or a whole number of steps or preemptions."""
    value = float(cell or "nan")
    if 0 <= value < math.inf and (name == _SCORE or not value % 1):
        return value
    kind = "number" if name == _SCORE else "whole number"
    raise LogError(f"{name} is {cell!r}, not a {kind} from 0 on")


def _in_order(rows: list[_Row], warnings: FileWarnings) -> list[_Row]:
    """Rows by preemption count and step, without those that contradict one another."""
    kept: list[_Row] = []
    by_place = sorted(rows, key=lambda row: row[:2])
    for _, (first, *others) in groupby(by_place, key=lambda row: row[:2]):
        if any(row.text != first.text for row in others):
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


def _remove_impossible(
    name: str, values: np.ndarray, rows: Sequence[_Row], warnings: FileWarnings
) -> None:
    """Make NaN of what is not finite, and of what the metric `name` cannot be."""
    values[np.isinf(values)] = math.nan
    _, low, high = METRICS.get(name, Metric(True))
    outside = (values < low - _ULPS) | (values > high + _ULPS)
    for n in np.flatnonzero(outside).tolist():
        what = f"{VALIDATION}{name} is {values[n]:g}, not from {low:g} to {high:g}"
        warnings.add("out_of_range", what, rows[n].line)
    values[outside] = math.nan
