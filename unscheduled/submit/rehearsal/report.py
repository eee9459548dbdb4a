"""What a rehearsal finds, and where in the submission's files."""

import contextlib
import dataclasses
import importlib.util
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import first_line
from unscheduled.benchmark.text import printable
from unscheduled.runner.submission import ReturnedError
from unscheduled.submit.dry_run import FOUND, REACHED
from unscheduled.submit.rules.findings import Finding
from unscheduled.submit.sources import sources


class CannotGoOnError(Exception):
    """The rehearsal can't go on; why is in the report."""


_MESSAGE = 500  # characters; what submitted code raises may be long


class Report:
    """Tells of findings, each once.

    Args:
      submission: the Python file that has the functions of the API.
      tell: takes a kind of line, as of `dry_run`, and its value.
    """

    def __init__(self, submission: Path, tell: Callable[[str, Any], None]):
        self._submission = submission
        self._files = {str(path) for path in sources(submission).values()}
        self._tell = tell
        self._told: set[Finding] = set()

    def reach(self, stage: str) -> None:
        """Tells how far it has come."""
        self._tell(REACHED, stage)

    def add(self, code: str, message: str) -> None:
        """Reports something about the submission's file."""
        self._add(str(self._submission), 1, code, message)

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Reports what a call of submitted code raises, an exit too, then stops.

        Raises:
          CannotGoOnError: after that.
        """
        try:
            yield
        except CannotGoOnError:
            raise
        except ReturnedError as error:
            self.add("E601", str(error))
            raise CannotGoOnError from error
        except BaseException as error:
            kind = type(error).__name__
            code, message = "E601", f"{what} fails with {kind}: {first_line(error)}"
            if isinstance(error, ModuleNotFoundError) and _is_absent(error.name):
                code, message = "N601", f"no dry run: {error.name} is not installed."
            self._add_at(error, code, message)
            raise CannotGoOnError from error

    def _add_at(self, error: BaseException, code: str, message: str) -> None:
        """At the innermost line of the submission that led to the error."""
        path, line = str(self._submission), 1
        for frame, number in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in self._files:
                path, line = frame.f_code.co_filename, number
        self._add(path, line, code, message)

    def _add(self, path: str, line: int, code: str, message: str) -> None:
        finding = Finding(path, line, code, printable(message, _MESSAGE))
        if finding not in self._told:
            self._told.add(finding)
            self._tell(FOUND, dataclasses.astuple(finding))


def _is_absent(name: str | None) -> bool:
    """Whether a module that was looked for in vain is really not installed."""
    top = str(name).partition(".")[0]
    return importlib.util.find_spec(top) is None if top.isidentifier() else False
