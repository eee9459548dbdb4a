"""Logs as the runners write them, ways to damage them, and the format by the book."""

import csv
import gzip
import json
import math
import random
import re
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

NEEDED = ("score", "global_step")
COUNT, SAME = "preemption_count", "accumulated_submission_time"
OTHER_TIMES = ("accumulated_eval_time", "accumulated_logging_time", "total_duration")
NOTE = "note"  # a column of text
NOTES = ["", "ok", '"a, b"', '"say ""hi"""', "1_0", "\N{GREEK SMALL LETTER ALPHA}"]
# The metrics, and where each is as good as the target or better.
REACHED = {"accuracy": lambda value: value >= 0.5, "wer": lambda value: value <= 0.5}

Rows = list[tuple[float, float, float]]  # score, step, metric (NaN: none)


class IntactLog(NamedTuple):
    """An intact log and what is in it."""

    data: bytes
    metric: str
    rows: Rows
    preempted: bool

    def hits(self, rows: Rows) -> Rows:
        return [row for row in rows if REACHED[self.metric](row[2])]


@st.composite
def intact_logs(draw) -> IntactLog:
    """Logs as the runners write them: half of them miss, some were preempted."""
    seed = draw(st.integers(0, 2**32))
    rng = random.Random(seed)
    metric = rng.choice(list(REACHED))
    optional = [COUNT, SAME, "train/loss", "test/accuracy", "validation/num_examples"]
    optional += [OTHER_TIMES[0], NOTE]
    columns = [*NEEDED, f"validation/{metric}"]
    columns += rng.sample(optional, rng.randrange(len(optional) + 1))
    rng.shuffle(columns)
    reachable = rng.random() < 0.5
    seconds, step, count, rows, lines = 0.0, 0, 0, [], []
    for _ in range(draw(st.integers(1, 7))):
        if COUNT in columns and rows and rng.random() < 0.15:
            seconds, step, count = rows[-1][0] * 0.75, rows[-1][1] // 2, count + 1
        seconds = round(seconds + rng.uniform(0.1, 99), 4)
        step += rng.randrange(1, 500)
        value = rng.random() if reachable else rng.uniform(0.01, 0.49)
        value = 1 - value if metric == "wer" and not reachable else value
        value = float(f"{value:.4g}") if rng.random() < 0.9 else math.nan
        cells = {
            "score": seconds,
            SAME: seconds,
            "global_step": step,
            COUNT: count,
            f"validation/{metric}": value,
            NOTE: rng.choice(NOTES),
        }
        line = [str(cells.get(name, round(rng.random(), 4))) for name in columns]
        none = rng.choice(["", "nan", "NaN", "inf", "-Infinity"])
        lines.append(",".join(none if c == "nan" else c for c in line))
        rows.append((seconds, step, value))
    end = rng.choice(["\n", "\n", "\r\n"])
    text = "".join(line + end for line in [",".join(columns), *lines])
    bom = rng.choice([b"", b"", b"\xef\xbb\xbf"])
    return IntactLog(bom + text.encode(), metric, rows, count > 0)


# What leaves every number that can still be read as it was. A byte that turns one
# number into another is no reader's to see, and is done in `test_flipped_bytes`.
JUNK = b"\0\xff\x80 \t_x\"'\\;:#\r\x1b\x0b/A"


def cut(data, a, b):
    return data[: a % (len(data) + 1)]


def repeat_line(data, a, b):
    lines = data.splitlines(keepends=True)
    lines.insert(b % (len(lines) + 1), lines[a % len(lines)])
    return b"".join(lines)


def move_line(data, a, b):
    lines = data.splitlines(keepends=True)
    header, body = lines[:1], lines[1:]
    if body:
        body.insert(b % len(body), body.pop(a % len(body)))
    return b"".join(header + body)


def drop_line(data, a, b):
    lines = data.splitlines(keepends=True)
    del lines[a % len(lines)]
    return b"".join(lines)


def join_lines(data, a, b):
    ends = [i for i, byte in enumerate(data) if byte == 10]
    at = ends[a % len(ends)]
    return data[:at] + data[at + 1 :]


def split_line(data, a, b):
    at = a % (len(data) + 1)
    if b % 4 > 1:  # in the last number of a line, where the rest may pass for whole
        ends = [i for i, byte in enumerate(data) if byte == 10]
        at = ends[a % len(ends)] - 1 - b % 5
    return data[:at] + [b"\n", b"\r\n"][b % 2] + data[at:]


def insert_junk(data, a, b):
    at = a % (len(data) + 1)
    return data[:at] + bytes([JUNK[b % len(JUNK)]]) * (1 + b % 3) + data[at:]


def put_junk(data, a, b):
    at = a % len(data)
    return data[:at] + bytes([JUNK[b % len(JUNK)]]) + data[at + 1 :]


def append_part(data, a, b):
    """What a second writer adds: all of the file again, or a part of it."""
    return data + data[a % len(data) :]


def block(data, a, b):
    """A block that a file system gave back as zeros, often over the end of a row."""
    ends = [i for i, byte in enumerate(data) if byte == 10]
    at = max(0, ends[a % len(ends)] - a % 9) if b % 4 else a % len(data)
    length = min(1 + b % 60, len(data) - at)
    return data[:at] + bytes(length) + data[at + length :]


def widen(data, a, b):
    """A cell of absurd length in a row or in the header."""
    at = a % len(data)
    return data[:at] + b"9" * [400, 200_000][b % 50 == 0] + data[at:]


def replace_number(data, a, b):
    """A number that is too large, or as another program would write it."""
    at = [found.span() for found in re.finditer(rb"(?<=[,\n])[0-9.]+(?=[,\n\r])", data)]
    start, end = at[a % len(at)] if at else (0, 0)
    odd = [b"1" + 400 * b"0", b"1e400", b"0x1", b"1,5", b"1 000"]
    return data[:start] + odd[b % len(odd)] + data[end:]


def repeat_name(data, a, b):
    """A column of the header takes the name of another."""
    header, _, rest = data.partition(b"\n")
    names = header.removesuffix(b"\r").split(b",")
    names[a % len(names)] = names[b % len(names)]
    return b",".join(names) + b"\r" * header.endswith(b"\r") + b"\n" + rest


def quote(data, a, b):
    """Numbers and names in quotes, as some programs write CSV: the same log."""
    lines = data.split(b"\n")
    for i in range(a % 2, len(lines), 1 + b % 2):
        if b'"' not in lines[i] and lines[i].strip(b" \r"):
            text = lines[i].removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r")
            start = lines[i][: lines[i].index(text)]
            quoted = b",".join(b'"%b"' % cell for cell in text.split(b","))
            lines[i] = start + quoted + b"\r" * lines[i].endswith(b"\r")
    return b"\n".join(lines)


def damage_gzip(data, a, b):
    packed = bytearray(gzip.compress(data, mtime=0))
    at = a % len(packed)
    if b % 3 == 0:
        del packed[at:]
    elif b % 3 == 1:
        packed[at] ^= 1 << (b % 8)
    else:
        packed.insert(at, b % 256)
    return bytes(packed)


KEEPS_NUMBERS = [
    cut,
    repeat_line,
    move_line,
    drop_line,
    join_lines,
    split_line,
    insert_junk,
    put_junk,
    append_part,
    block,
    widen,
    replace_number,
    repeat_name,
    quote,
    damage_gzip,
]
CUTS_NUMBERS = [cut, join_lines, split_line, append_part]


def whole_rows(data: bytes, metric: str) -> Rows:
    """The rows of a log that is as a runner writes it; none where it is not.

    The format by the book, slowly: it has to take what the reader takes in silence.
    """
    try:
        text = data.decode("utf-8-sig")
        header, *lines = [line for line in text.split("\n") if line.strip(" \r")]
        end = "\r" if header.endswith("\r") else ""
        names = cells_of(header, end)
        rows = []
        assert text.endswith("\n") or not text[text.rindex("\n") :].strip(" \r\n")
        assert len(set(names)) == len(names)
        for line in lines:
            cells = dict(zip(names, cells_of(line, end), strict=True))
            numbers = {name: of_cell(cells[name]) for name in names if is_numeric(name)}
            seconds, step = (numbers[name] for name in NEEDED)
            count = numbers.get(COUNT, 0)
            assert 0 <= seconds < math.inf
            assert step == int(step) >= 0
            assert count == int(count) >= 0
            assert numbers.get(SAME, seconds) == seconds
            value = numbers[f"validation/{metric}"]
            value = value if math.isfinite(value) else math.nan
            assert not value < 0
            rows.append((count, step, seconds, value))
    except (AssertionError, ValueError, KeyError, TypeError, OverflowError, csv.Error):
        return []
    in_order = all(
        row[:2] < later[:2] and (row[0] < later[0] or row[2] <= later[2])
        for row, later in pairwise(rows)
    )
    return [(row[2], row[1], row[3]) for row in rows] if in_order else []


def cells_of(line: str, end: str) -> list[str]:
    assert line.endswith(end)
    line = line.removesuffix(end)
    assert line.isprintable()
    return next(csv.reader([line], strict=True))


def is_numeric(name: str) -> bool:
    times = (*NEEDED, COUNT, SAME, *OTHER_TIMES)
    return name in times or name.startswith(("train/", "validation/", "test/"))


def of_cell(cell: str) -> float:
    """A number as JSON has it, or what stands for none or an infinite one."""
    if cell.lower().lstrip("+-") in ("", "nan", "inf", "infinity"):
        assert cell not in ("+", "-")
        return float(cell or "nan")
    assert cell == cell.strip()
    assert len(cell) <= 64
    value = json.loads(cell, parse_constant=of_cell)
    assert type(value) in (int, float)
    return float(value)
