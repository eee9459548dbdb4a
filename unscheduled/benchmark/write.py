"""Files and folders that are written whole or not at all, by one process at a time."""

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ".tmp"  # ends the name of the folder that something is written in
_OLD = "old"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path whose file or folder replaces `path` when the block ends well.

    It is on disk before it gets its name, so a crash leaves the old one or the new one:
    a file at `path`, a folder there or where `recover` finds it.
    """
    recover(path)
    around = _around(path)
    around.mkdir()
    new = around / path.name
    try:
        yield new
        for inner in [*new.rglob("*"), new]:
            _sync(inner)
        if new.is_dir() and path.is_dir():  # which no rename replaces
            os.rename(path, around / _OLD)
        os.replace(new, path)
        _sync(path.parent)
    finally:
        recover(path)


@contextlib.contextmanager
def alone(path: str | os.PathLike[str], waiting: str) -> Iterator[None]:
    """Waits, and says so, until no other process is in a block with this lock file."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def recover(path: Path) -> None:
    """Undoes or completes a `whole` of `path` that was interrupted."""
    around = _around(path)
    if os.path.lexists(around / _OLD) and not os.path.lexists(path):
        os.rename(around / _OLD, path)
        _sync(path.parent)
    if os.path.lexists(around):
        remove(around)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_json(path: Path, value: Any) -> None:
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def _around(path: Path) -> Path:
    """The folder that `path` is written in, on the same disk."""
    return path.with_name(path.name + UNFINISHED)


def _sync(path: Path) -> None:
    """Waits until a file or a folder's list of names is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
