"""A run in a process of its own: what its parent makes of how it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import atexit, os, signal, sys, time
from unscheduled.runner.process import watched

def work():
    {work}
    return 0

sys.exit(watched(work))
"""
WAITS = "print(os.getpid(), flush=True); time.sleep(60)"
TOO_EARLY = "ended before the run had, at status 0"


def start(work):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        ("pass", 0, ""),
        ("return 3", 3, ""),
        ("os._exit(7)", 7, ""),
        ("os._exit(0)", 1, TOO_EARLY),
        ("sys.exit(0)", 1, TOO_EARLY),
        ("sys.exit()", 1, TOO_EARLY),
        ("os.execv('/bin/true', ['true'])", 1, TOO_EARLY),
        ("os.fork() or time.sleep(2); os._exit(0)", 1, TOO_EARLY),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "was ended by SIGKILL; go on"),
        ("os.abort()", -6, "was ended by SIGABRT; go on"),
        ("atexit.register(os.abort)", 0, ""),  # its work was done
    ],
)
def test_the_end_of_a_run_is_known_by_its_mark(work, status, message):
    """A run that passes for done at status 0, or that fails after it is done."""
    process = start(work)
    error = process.stderr.readline()
    assert process.wait(timeout=60) == status
    assert message in error
    assert bool(message) == bool(error)
    for pipe in (process.stdout, process.stderr):
        pipe.close()


def is_running(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGINT, 130, "Interrupted; go on with --resume_last_run.\n"),
        (signal.SIGTERM, 143, "Terminated; go on with --resume_last_run.\n"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_a_run_ends_with_its_parent(number, status, message):
    """A run that goes on when it was told to stop, or that crashes then."""
    process = start(WAITS)
    child = int(process.stdout.readline())
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (status, message)
    for _ in range(100):
        if not is_running(child):
            return
        time.sleep(0.01)
    raise AssertionError("the child is still there")


def test_a_signal_that_is_to_be_ignored_is_ignored():
    """A job in the background that ends with what runs before it on the terminal."""
    signal_first = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    program = signal_first + PROGRAM.format(work="os.kill(os.getppid(), 2)")
    result = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert result.returncode == 0
