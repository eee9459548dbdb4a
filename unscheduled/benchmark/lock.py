"""One process at a time, by a lock that a dead process cannot hold."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def alone(path: str | os.PathLike[str], waiting: str) -> Iterator[None]:
    """Waits until no other process is in such a block with the same lock file.

    Where there is one, it says `waiting` on standard error.
    """
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
