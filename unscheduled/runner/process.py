"""A run in a process of its own, whose parent knows whether it came to its end.

Submitted code can end its process at status 0, at any time and with no exception. So
the child leaves a mark when its work is done, and the parent believes nothing else. To
stop, the parent kills the child: what is on disk is whole, and an exception in the
child may be lost in a callback.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

from rich.console import Console

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_STOPS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}
_DONE = b"done"


def die_with_parent() -> None:
    """From now on this process is killed when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def watched(work: Callable[[], int]) -> int:
    """What `work` returns, called in a child process, in which this returns 0.

    Where a signal ends the child, the parent ends by the same one. Under torchrun,
    signals to stop are handed on: there the ranks tell each other why they end. No
    framework may be imported yet, nor a thread started.
    """
    done, mark = os.pipe()
    # What the shell has set to be ignored, as for a job in the background, stays so.
    stops = [n for n in _STOPS if signal.getsignal(n) != signal.SIG_IGN]
    is_rank = "LOCAL_RANK" in os.environ
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # till there is a child to tell
    parent, child = os.getpid(), os.fork()
    if child == 0:
        die_with_parent()
        if os.getppid() != parent:  # it ended before that
            os._exit(1)
        if not is_rank:  # a terminal sends it to both
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        status = work()
        sys.stdout.flush()
        sys.stderr.flush()
        if status:
            os._exit(status)
        os.write(mark, _DONE)
        return 0
    os.close(mark)
    received: list[int] = []

    def tell(number: int, _) -> None:
        received.append(number)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number if is_rank else signal.SIGKILL)

    for number in stops:
        signal.signal(number, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    _, wait_status = os.waitpid(child, 0)
    os.set_blocking(done, False)
    with contextlib.suppress(BlockingIOError):  # where a grandchild holds its other end
        if os.read(done, len(_DONE)) == _DONE:
            return 0
    if received and not is_rank:
        console = Console()
        if console.is_terminal:  # where the child's status line was
            console.show_cursor()
            console.line()
        number = signal.Signals(received[0])
        print(f"{_STOPS[number]}; go on with --resume_last_run.", file=sys.stderr)
        return 128 + number
    status = os.waitstatus_to_exitcode(wait_status)
    if status > 0:
        return status
    if status == 0:
        print(
            "Error: the process of the run ended before the run had, at status 0, as "
            "by os._exit(0) in the submission.",
            file=sys.stderr,
        )
        return 1
    number = signal.Signals(-status)
    if number not in received:
        print(
            f"Error: the process of the run was ended by {number.name}; go on with "
            "--resume_last_run.",
            file=sys.stderr,
        )
    if number != signal.SIGKILL:  # which has no handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
