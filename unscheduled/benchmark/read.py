"""Files from outside, read with care: one reader for each format.

Each of them takes regular files only, of a bounded size, and turns whatever goes wrong
into a `UserError` that names the file. What the values mean is for the caller to check.
"""

import ast
import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import yaml

from unscheduled.benchmark.errors import UserError, first_line

MAX_BYTES = 32 << 20
_MAX_YAML_BYTES = 1 << 20  # PyYAML reads 100 kB a second
_MAX_YAML_DEPTH = 100
_YAML_OPENS = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
_YAML_CLOSES = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
_Parsed = TypeVar("_Parsed")


def expand(path: str | os.PathLike[str]) -> Path:
    """A path with its `~` replaced.

    Raises:
      UserError: for the home of a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: {first_line(error)}.") from error


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A regular file, open for reading bytes.

    Args:
      path: the file; a link to a regular file will do.

    Raises:
      UserError: where it is missing, unreadable or not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UserError(f"{path} is not a regular file.")
            yield file
    except UserError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{path} can't be read: {reason}.") from error


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Args:
      path: the file; a link to a regular file will do.
      max_bytes: the largest size that is read.

    Raises:
      UserError: as `open_regular`, and where it is too large.
    """
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError(f"{path} is too large: over {max_bytes:,} bytes.")
    return data


def read_text(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark.

    Raises:
      UserError: as `read_bytes`, and where it is not UTF-8.
    """
    data = read_bytes(path, max_bytes)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}.") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file.

    Raises:
      UserError: as `read_text`, and where it is not JSON or a name is there twice in
        one object.
    """
    text = read_text(path)
    return _parsed(
        path, "JSON", lambda: json.loads(text, object_pairs_hook=_without_repeats)
    )


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The value of a YAML file, made of plain types only.

    Raises:
      UserError: as `read_text`, and where it is not YAML or has aliases: with aliases
        of aliases, a short file stands for a value that fits no memory.
    """
    text = read_text(path, _MAX_YAML_BYTES)

    def parse() -> Any:
        depth = 0
        for token in yaml.scan(text, yaml.SafeLoader):
            depth += isinstance(token, _YAML_OPENS) - isinstance(token, _YAML_CLOSES)
            if depth > _MAX_YAML_DEPTH:  # each token takes the scanner a look at each
                raise RecursionError
            if isinstance(token, yaml.AliasToken):
                raise ValueError(f"alias *{token.value}: write the value out instead")
        return yaml.safe_load(text)

    return _parsed(path, "YAML", parse)


def parse_python(text: str, path: str | os.PathLike[str]) -> ast.Module:
    """The syntax tree of Python source.

    Args:
      text: the source.
      path: where it is from, for errors.

    Raises:
      UserError: where it is not Python.
    """
    return _parsed(path, "Python", lambda: ast.parse(text, str(path)))


def _parsed(path: Any, kind: str, parse: Callable[[], _Parsed]) -> _Parsed:
    """What `parse` returns; whatever it raises, in a sentence."""
    try:
        return parse()
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be read as {kind}.") from error
    except MemoryError as error:
        raise UserError(f"{path} is too complex to be read as {kind}.") from error
    # Parsers raise more than they document: PyYAML any error of int() and date().
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is not a {kind} file: {reason}.") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which readers silently keep the last of equal names."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!r} is there twice in one object")
        values[name] = value
    return values
