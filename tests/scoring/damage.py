"""Logs as the runners write them, ways to damage them, and the format by the book."""

import gzip
import json
import math
import random
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

NEEDED = ("score", "global_step")
COUNT, SAME = "preemption_count", "accumulated_submission_time"
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
        }
        line = [str(cells.get(name, round(rng.random(), 4))) for name in columns]
        lines.append(",".join("" if c == "nan" and step % 2 else c for c in line))
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
    damage_gzip,
]
CUTS_NUMBERS = [cut, join_lines, split_line, append_part]


def whole_rows(data: bytes, metric: str) -> Rows:
    """The rows of a log that is as a runner writes it; none where it is not.

    The format by the book, slowly: it has to take what the reader takes in silence.
    """
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
        header, *lines = [line for line in text.split("\n") if line.strip(" \r")]
        end = "\r" if header.endswith("\r") else ""
        names = header.removesuffix("\r").split(",")
        rows = []
        assert text.endswith("\n") or not text[text.rindex("\n") :].strip(" \r\n")
        for line in lines:
            assert line.endswith(end)
            cells = dict(zip(names, line.removesuffix(end).split(","), strict=True))
            seconds, step = (of_json(cells[name]) for name in NEEDED)
            count = of_json(cells[COUNT]) if names.count(COUNT) == 1 else 0
            assert step == int(step)
            assert count == int(count)
            assert names.count(SAME) != 1 or of_json(cells[SAME]) == seconds
            value = cells[f"validation/{metric}"]
            value = math.nan if value in ("", "nan") else of_json(value)
            rows.append((count, step, seconds, value))
    except (AssertionError, ValueError, KeyError, TypeError):
        return []
    in_order = all(
        row[:2] < later[:2] and (row[0] < later[0] or row[2] <= later[2])
        for row, later in pairwise(rows)
    )
    good = in_order and all(
        names.count(n) == 1 for n in [*NEEDED, f"validation/{metric}"]
    )
    return [(row[2], row[1], row[3]) for row in rows] if good else []


def of_json(cell: str) -> float:
    """A number as JSON has it."""
    assert cell == cell.strip()
    value = json.loads(cell, parse_constant=of_json)  # nan: as no number, raises
    assert type(value) in (int, float)
    assert 0 <= value < math.inf
    return float(value)
