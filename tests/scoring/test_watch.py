"""Watching runs: what each is at, and what is printed when logs grow."""

import contextlib
import io
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, Benchmark, Target, load_benchmark
from unscheduled.scoring.logs import Reading
from unscheduled.scoring.scored import score_group
from unscheduled.scoring.watch import log_states, progress, watch

from .trees import HEADER, make_trial, write_log, write_text

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "score.py"
BENCHMARK = Benchmark(
    "test",
    ("digits_resnet",),
    {},
    {"digits_resnet": Target("accuracy", 0.8, max_allowed_runtime_sec=20.0)},
)
ONE_OF_ALL = f"{1 / len(load_benchmark(BENCHMARKS['ext']).base):.4f}".encode()


def score(reading):
    return score_group(reading, BENCHMARK, ruleset("self", "test"))


class Ended(Exception):  # noqa: N818 (it is how the tests end the watching)
    """The tests' Ctrl-C."""


class Actions:
    """Sleeps by doing the next thing to the logs; ends when there is none."""

    def __init__(self, *actions):
        self._actions = list(actions)
        self.slept = []

    def __call__(self, seconds):
        self.slept.append(seconds)
        if not self._actions:
            raise Ended
        self._actions.pop(0)()


def watched(root, *actions, now=time.time):
    """The lines that watching `root` appends, without their time of day."""
    file = io.StringIO()
    with pytest.raises(Ended):
        watch(file, [str(root)], score, 2.5, sleep=Actions(*actions), now=now)
    lines = file.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    return [line[9:] for line in lines]


def score_group_of(*trials):
    return score(Reading(list(trials), []))


def test_progress():
    """The last evaluation, the best one and the budget used would be mixed up."""
    trial = make_trial([(3, 10, 0.4), (6, 20, 0.6), (12, 40, 0.5)])
    (row,) = progress([trial], score_group_of(trial))
    assert row == (
        "sub study_0 digits_resnet_jax trial_1",
        *("12.00", "40", "0.5"),
        "best so far accuracy 0.6, 25.0% below 0.8",
        "40.0 %",  # of 1.5 times 20 s
    )


@pytest.mark.parametrize(
    ("rows", "metric", "words"),
    [
        ([(3, 10, math.nan)], "accuracy", "best so far nothing yet"),
        ([(3, 10, 0.5)], "loss", "best so far nothing yet"),
        ([(3, 10, 0.9), (4, 11, 0.1)], "accuracy", "target reached after 3.00 s"),
    ],
)
def test_progress_without_a_best(rows, metric, words):
    """A run without a finite metric yet would end the watching."""
    trial = make_trial(rows, metric=metric)
    (row,) = progress([trial], score_group_of(trial))
    assert row[4].startswith(words)


def test_no_progress():
    """A run before its first evaluation, or of another workload, would end it too."""
    some = make_trial([(1, 1, 0.1)])
    other = make_trial([(1, 1, 0.1)], workload="mnist")
    assert progress([make_trial([]), other], score_group_of(some)) == []


def test_unknown_budget():
    """A share of an unknown budget would be a number."""
    target = Target("accuracy", 0.8)
    benchmark = Benchmark("t", ("digits_resnet",), {}, {"digits_resnet": target})
    trial = make_trial([(1, 1, 0.1)])
    scored = score_group(Reading([trial], []), benchmark, ruleset("self", "t"))
    (row,) = progress([trial], scored)
    assert row[-1] == "unknown share"


def test_lines_when_logs_grow(tmp_path):
    """Lines would come without news, or news without lines, or for other runs."""

    def begin():
        write_log(tmp_path, "1,10,0.5", submission="a")
        write_log(tmp_path, "1,10,0.5", submission="b")

    def nothing():
        pass

    def half_a_row():
        write_text(tmp_path, f"{HEADER}\n1,10,0.5\n2,20,0.", submission="b")

    def hit():
        write_log(tmp_path, "1,10,0.5", "2,20,0.9", submission="b")

    lines = watched(tmp_path, begin, nothing, half_a_row, hit)
    run = "study_0 digits_resnet_jax trial_1:"
    assert lines[0] == "no logs yet"
    assert lines[1].startswith(f"a {run} 1.00 s, step 10, last 0.5, best so far")
    assert lines[2].startswith(f"b {run} 1.00 s, step 10")
    assert lines[3] == "scores: a 0.0000, b 0.0000"
    assert lines[4].startswith(f"b {run} 1.00 s, step 10")
    assert lines[6].startswith(f"b {run} 2.00 s, step 20, last 0.9, target reached a")
    assert lines[7] == "scores: b 1.0000, a 0.0000"
    assert len(lines) == 8


def test_ended_and_quiet_runs(tmp_path):
    """Runs that ended, or died long ago, would be shown as in progress."""
    ended = write_log(tmp_path, "1,10,0.5", submission="ended")
    (ended.parent / "outcome.json").write_text(json.dumps({"reason": "budget"}))
    write_log(tmp_path, "1,10,0.5", submission="going")
    lines = watched(tmp_path)
    assert [line.split()[0] for line in lines] == ["going", "scores:"]

    def last_row():
        write_log(tmp_path, "1,10,0.5", "2,20,0.9", submission="ended")

    lines = watched(tmp_path, last_row)
    assert [line.split()[0] for line in lines[2:]] == ["ended", "scores:"]
    assert "target reached" in lines[2]
    lines = watched(tmp_path, now=lambda: time.time() + 3601)
    assert [line.split()[0] for line in lines] == ["scores:"]


def test_waits_as_long_as_asked(tmp_path):
    """The number after --watch= would be ignored, and a disk searched all the time."""
    sleep = Actions()
    with pytest.raises(Ended):
        watch(io.StringIO(), [str(tmp_path)], score, 2.5, sleep=sleep)
    assert sleep.slept == [2.5]


def test_log_states(tmp_path):
    """A log reached by a link, or one that only grew, would not count as changed."""
    path = write_log(tmp_path / "x", "1,10,0.5")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "sub").symlink_to(tmp_path / "x" / "sub")
    before = log_states([str(tmp_path / "y")])
    assert len(before) == 1
    with open(path, "a") as file:
        file.write("2,20,0.6\n")
    after = log_states([str(tmp_path / "y")])
    assert before.keys() == after.keys()
    assert before != after


def lines_until(stream, text, seconds=30.0):
    """What `stream` prints up to the first time that it has printed `text`."""
    seen, end = b"", time.monotonic() + seconds
    while text not in seen:
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        assert ready, f"no {text!r} within {seconds} s, only {seen!r}"
        seen += os.read(stream, 65536)
    return seen


@contextlib.contextmanager
def start(root, stdout):
    # A shell starts what runs in its background, such as the tests, deaf to Ctrl-C.
    code = (
        "import runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    interpreter = [sys.executable, "-W", "error", "-c", code]
    command = [*interpreter, str(SCRIPT), str(root), "--watch=0.1"]
    with subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            yield program
        finally:
            program.kill()  # it would go on for ever where a test has failed


def test_in_a_pipe_until_ctrl_c(tmp_path):
    """Ctrl-C would end in a traceback, or lines would wait in a buffer."""
    write_log(tmp_path, "1,10,0.5")
    with start(tmp_path, subprocess.PIPE) as program:
        stream = program.stdout.fileno()
        lines_until(stream, b"scores: sub 0.0000")
        write_log(tmp_path, "1,10,0.5", "2,20,1.0")
        lines_until(stream, ONE_OF_ALL)
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=30) == 0
        assert program.stderr.read() == ""


def test_on_a_terminal_until_ctrl_c(tmp_path):
    """On a terminal the page would not be renewed, or would break on a narrow one."""
    write_log(tmp_path, "1,10,0.5")
    mine, its = pty.openpty()
    try:
        with start(tmp_path, its) as program:
            seen = lines_until(mine, b"AlgoPerf scores so far")
            assert b"Runs in progress" in seen
            write_log(tmp_path, "1,10,0.5", "2,20,1.0")
            lines_until(mine, ONE_OF_ALL)
            program.send_signal(signal.SIGINT)
            assert program.wait(timeout=30) == 0
            assert program.stderr.read() == ""
    finally:
        os.close(mine)
        os.close(its)
