"""The bytes of a log file: plain or gzip, of a bounded size, whatever lies there."""

import gzip
import io
import os
import stat
import zlib
from pathlib import Path

MAX_BYTES = 32 << 20  # 250 times the largest published log


class UnusableError(Exception):
    """Nothing of a log can be used: a rule of reading, what was seen, and a line."""


def read_bytes(path: str | Path, zipped: bool = False) -> tuple[bytes, bool]:
    """What a file holds, and whether it was written to while it was read.

    Raises:
      UnusableError: it can't be read, or is of absurd size.
    """
    try:
        # Without NONBLOCK, a pipe of that name would be waited for for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as file:
            before = os.fstat(file.fileno())
            if before.st_size > MAX_BYTES:
                raise _too_large()
            if not stat.S_ISREG(before.st_mode):
                raise UnusableError("unreadable", "not a file")
            data = file.readall()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise UnusableError("unreadable", f"can't be read: {error.strerror}") from None
    return contents(data, zipped), _version(before) != _version(after)


def contents(data: bytes, zipped: bool) -> bytes:
    """What `data` holds: itself, or what gzip packed; checksums are checked.

    Raises:
      UnusableError: it is damaged, or of absurd size.
    """
    if zipped:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnusableError("unreadable", f"damaged gzip: {error}") from None
    if len(data) > MAX_BYTES:
        raise _too_large()
    return data


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _too_large() -> UnusableError:
    return UnusableError("too_large", f"over {MAX_BYTES >> 20} MiB")
