"""Files and folders that are written whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ".tmp"  # ends the name of the folder that something is written in
_OLD = "old"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path whose file or folder replaces `path` when the block ends well.

    All of it is on disk before it gets its name, so that a crash at any moment leaves
    the old one or the new one: a file at `path`, a folder there or where `recover`
    finds it. A folder is replaced by a folder only.
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


def recover(path: Path) -> None:
    """Undoes or completes a `whole` of `path` that was interrupted."""
    around = _around(path)
    if os.path.lexists(around / _OLD) and not os.path.lexists(path):
        os.rename(around / _OLD, path)
        _sync(path.parent)
    if os.path.lexists(around):
        remove(around)


def remove(path: Path) -> None:
    """Removes a file or a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
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
