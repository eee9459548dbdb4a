"""Files from outside: each reader turns what goes wrong into a sentence."""

import ast
import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from unscheduled.benchmark.errors import UserError, first_line

MAX_BYTES = 32 << 20
_PathLike = str | os.PathLike[str]


def expand(path: _PathLike) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: {first_line(error)}.") from error


@contextlib.contextmanager
def open_regular(path: _PathLike) -> Iterator[BinaryIO]:
    """A regular file, or a link to one, open for reading bytes."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UserError(f"{path} is not a regular file.")
            yield file
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error


def read_bytes(path: _PathLike, max_bytes: int = MAX_BYTES) -> bytes:
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError(f"{path} is too large: over {max_bytes:,} bytes.")
    return data


def read_text(path: _PathLike, max_bytes: int = MAX_BYTES) -> str:
    data = read_bytes(path, max_bytes)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}.") from error


def read_json(path: _PathLike) -> Any:
    """The value of a JSON file in which no object has a name twice."""
    text = read_text(path)
    return _parsed(path, "JSON", lambda: json.loads(text, object_pairs_hook=_unique))


def read_yaml(path: _PathLike) -> Any:
    """The value of a YAML file of plain types, without aliases."""
    text = read_text(path)
    return _parsed(path, "YAML", lambda: yaml.load(text, _PlainLoader))


def parse_python(text: str, path: _PathLike) -> ast.Module:
    return _parsed(path, "Python", lambda: ast.parse(text, str(path)))


class _PlainLoader(yaml.SafeLoader):
    def fetch_alias(self) -> None:
        raise ValueError("aliases are not supported: write the value out instead")


def _parsed(path: Any, kind: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except (RecursionError, MemoryError) as error:
        raise UserError(f"{path} is nested too deeply to be read as {kind}.") from error
    # Parsers raise more than they document: PyYAML any error of int() and date().
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is not a {kind} file: {reason}.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!r} is there twice in one object")
        values[name] = value
    return values
