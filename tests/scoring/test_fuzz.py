"""Damaged logs by the ten thousand: no crash, and no wrong answer without a word.

Hypothesis draws a log and a list of ways to damage it; each is one input. Damage is
done to bytes in memory, and read by the functions that files are read by.
"""

import gzip
import math
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import LogError, UserError
from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS
from unscheduled.scoring.logs import Reading, Trial, read_logs, without_metric
from unscheduled.scoring.measurements import Measurements, parse
from unscheduled.scoring.warnings import RULES_OF_READING, unreadable

from .damage import CUTS_NUMBERS, KEEPS_NUMBERS, damage_gzip, intact_logs, whole_rows
from .trees import HEADER

N_LOGS, N_DAMAGES = 1_000, 20  # 20,000 inputs a test of damage
LOG = Path("sub/study_0/digits_resnet_jax/trial_1") / EVAL_MEASUREMENTS
number = st.integers(0, 2**16)
damages = st.lists(
    st.tuples(st.sampled_from(KEEPS_NUMBERS), number, number),
    min_size=N_DAMAGES,
    max_size=N_DAMAGES,
)


def read(data, metric, zipped=False):
    """Rows read, and warnings, as the scorer has them."""
    try:
        log, notes = parse(data, LOG.with_suffix(".csv.gz") if zipped else LOG)
    except LogError as error:
        log, notes = Measurements(), [unreadable("unreadable", LOG, error)]
    values = log.validation.get(metric, [math.nan] * len(log.score))
    names = ("sub", "study_0", "digits_resnet", "jax", 1)
    trial = Trial(LOG, *names, **vars(log))
    notes = [*notes, *without_metric([trial], {"digits_resnet": metric})]
    columns = (log.score.tolist(), log.global_step.tolist(), list(map(float, values)))
    return list(zip(*columns, strict=True)), notes


def plain(rows):
    """Rows that compare as equal where both have no metric."""
    return [tuple("none" if math.isnan(x) else x for x in row) for row in rows]


def judge(log, data, zipped=False):
    """What became of damaged bytes: `same`, `noted` or `shorter`; else it fails."""
    rows, notes = read(data, log.metric, zipped)
    assert all(str(note).isprintable() for note in notes)
    if plain(rows) == plain(log.rows):
        return rows, "same"
    if notes:
        return rows, "noted"
    # Nobody can see that whole lines are gone, or that a number became another.
    assert not zipped
    assert plain(rows) == plain(whole_rows(data, log.metric))
    return rows, "unseen"


def test_damaged_logs():
    """A damaged log would crash the reader, lose rows unseen, or turn into a hit."""
    seen = Counter()

    @settings(max_examples=N_LOGS, derandomize=True, deadline=None)
    @given(log=intact_logs(), damages=damages)
    def check(log, damages):
        rows, notes = read(log.data, log.metric)
        assert plain(rows) == plain(log.rows)
        assert notes == []
        for damage, a, b in damages:
            data = damage(log.data, a, b)
            rows, outcome = judge(log, data, zipped=damage is damage_gzip)
            check_hits(log, rows)
            seen["inputs"] += 1
            seen[outcome] += 1
            seen["of misses"] += not log.hits(log.rows)
            seen["lost hits"] += bool(log.hits(log.rows)) and not log.hits(rows)

    check()
    assert seen["inputs"] >= N_LOGS * N_DAMAGES
    for outcome in ("same", "noted", "unseen", "of misses", "lost hits"):
        assert seen[outcome] > seen["inputs"] // 50, seen


def test_logs_damaged_twice():
    """Two kinds of damage together would hide one another."""
    kinds = [kind for kind in KEEPS_NUMBERS if kind is not damage_gzip]

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(log=intact_logs(), damages=damages)
    def check(log, damages):
        for (first, *at), (second, *there) in pairwise(damages):
            if first not in kinds or second not in kinds:
                continue
            data = first(log.data, *at)
            if data.count(b"\n") < 2:
                continue
            rows, _ = judge(log, second(data, *there))
            # A number cut in two is another number once its rest is gone.
            if first not in CUTS_NUMBERS and second not in CUTS_NUMBERS:
                check_hits(log, rows)

    check()


def test_flipped_bytes():
    """Bytes at random would crash the reader, or become numbers that are not there."""
    seen = Counter()
    flip = st.tuples(number, st.sampled_from(b"0123456789.-e,\n") | st.integers(0, 255))

    @settings(max_examples=N_LOGS // 2, derandomize=True, deadline=None)
    @given(log=intact_logs(), flips=st.lists(flip, min_size=10, max_size=10))
    def check(log, flips):
        damaged = bytearray(log.data)
        for at, byte in flips:
            once = bytearray(log.data)
            once[at % len(once)] = damaged[at % len(once)] = byte
            for data in (once, damaged):
                seen[judge(log, bytes(data))[1]] += 1

    check()
    assert all(seen[outcome] > 100 for outcome in ("same", "noted", "unseen")), seen


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(data=st.binary(max_size=200), header=st.booleans(), zipped=st.booleans())
def test_any_bytes(data, header, zipped):
    """Bytes that were never a log would crash the reader, or be one."""
    text = f"{HEADER}\n".encode() * header + data
    rows, notes = read(gzip.compress(text, mtime=0) if zipped else text, "accuracy")
    assert notes or plain(rows) == plain(whole_rows(text, "accuracy"))
    read(data, "accuracy", zipped=True)


def check_hits(log, rows):
    """The target is reached at no time at which it was not, and not too soon."""
    before, after = (
        [(seconds, value) for seconds, _, value in log.hits(some)]
        for some in (log.rows, rows)
    )
    assert set(after) <= set(before)
    if after and not log.preempted:
        assert after[0] >= before[0]


name_parts = st.sampled_from(
    [
        b"a",
        b"b c",
        b"\n",
        b"\x1b[2J",
        b"\xff",
        b"\xc3\xa9",
        b"..",
        b"%s",
        b"trial_1",
        b"'",
    ]
)
odd_name = st.lists(name_parts, min_size=1, max_size=3).map(b"".join)
submission = odd_name.filter(lambda name: name != b"..")
workload = st.sampled_from([b"a_jax", b"b_pytorch", b"mnist", b"\n_jax", b"c_jax"])
trial_name = st.sampled_from([b"trial_1", b"trial_2", b"trial_x", b"trial_", b"x"])
log_name = st.sampled_from(
    [
        EVAL_MEASUREMENTS.encode(),
        f"{EVAL_MEASUREMENTS}.gz".encode(),
        b"measurements.csv",
        b"trial_1",
    ]
)
GOOD = f"{HEADER}\n1,1,0.5\n2,2,0.75\n".encode()
content = st.sampled_from([GOOD, gzip.compress(GOOD), b"", GOOD[:-3], b"\0" * 99])
branch = st.tuples(submission, odd_name, workload, trial_name, log_name).flatmap(
    lambda parts: st.sampled_from([parts, parts[1:], parts[2:], (b"x", *parts)])
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    files=st.lists(st.tuples(branch, content), max_size=6),
    links=st.lists(st.tuples(number, number, odd_name), max_size=3),
)
def test_any_tree(tmp_path_factory, files, links):
    """A tree would crash the search, hide a log, or break a line of the list."""
    root = os.fsencode(tmp_path_factory.mktemp("tree"))
    for parts, data in files:
        path = os.path.join(root, *parts)
        if not any(os.path.isfile(os.path.join(root, *parts[:n])) for n in range(7)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.isdir(path):
                Path(os.fsdecode(path)).write_bytes(data)
    folders = [folder for folder, _, _ in os.walk(root)]
    for a, b, name in links:
        place = os.path.join(folders[a % len(folders)], name)
        if not os.path.lexists(place):
            os.symlink(folders[b % len(folders)], place)
    try:
        reading, error = read_logs([os.fsdecode(root)]), ""
    except UserError as stopped:
        reading, error = Reading([], []), str(stopped)
    assert error.isprintable()
    if error:
        assert re.match("No logs found|.* claim to be the same trial", error)
        return
    notes = reading.warnings
    assert all(str(note).isprintable() for note in notes)
    assert {note.rule for note in notes} <= RULES_OF_READING.keys()
    for trial in reading.trials:
        assert "".join(map(str, trial.key)).isprintable()
        assert len(trial.score) in (0, 1, 2)
        if len(trial.score) < 2:
            assert any(note.path == trial.path for note in notes)
    accounted = {os.fspath(trial.path) for trial in reading.trials}
    accounted |= {os.fspath(note.path) for note in notes}
    for folder, _, names in os.walk(os.fsdecode(root)):
        for name in {EVAL_MEASUREMENTS, f"{EVAL_MEASUREMENTS}.gz"} & set(names):
            path = Path(folder, name)
            inside = any(re.fullmatch("trial_[0-9]+", p.name) for p in path.parents[1:])
            above = [os.fspath(p) for p in (path, *path.parents)]
            assert inside or accounted & set(above), path
