"""What a dry run finds, and where in the submission's files."""

import contextlib
import dataclasses
import importlib.util
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from unscheduled.benchmark.errors import first_line
from unscheduled.check.dry_run.process import FOUND, REACHED
from unscheduled.check.findings import Finding, finding
from unscheduled.check.sources import sources
from unscheduled.runner.submission import ReturnedError


class CannotGoOnError(Exception):
    """The dry run can't go on; why is in the report."""


class Report:
    """Tells of findings, each once, by a function of a kind of line and its value."""

    def __init__(self, submission: Path, tell: Callable[[str, Any], None]):
        self._submission = submission
        self._files = {str(code.path) for code in sources(submission).values()}
        self._tell = tell
        self._told: set[Finding] = set()

    def reach(self, stage: str) -> None:
        """Tells how far it has come."""
        self._tell(REACHED, stage)

    def add(self, code: str, *facts: object) -> None:
        """Reports something about the submission's file."""
        self._add((str(self._submission), 1), code, *facts)

    def stop(self, code: str, *facts: object) -> NoReturn:
        """Reports it, then raises `CannotGoOnError`."""
        self.add(code, *facts)
        raise CannotGoOnError

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Reports what a call of submitted code raises, an exit too, then stops."""
        try:
            yield
        except CannotGoOnError:
            raise
        except ReturnedError as error:
            self.stop("E601", error)
        except BaseException as error:
            said = f"{what} fails with {type(error).__name__}: {first_line(error)}"
            code, fact = "E601", said
            if isinstance(error, ModuleNotFoundError):
                package = str(error.name).partition(".")[0]
                if importlib.util.find_spec(package) is None:
                    code, fact = "N601", package
            self._add(self._place_of(error), code, fact)
            raise CannotGoOnError from error

    def _place_of(self, error: BaseException) -> tuple[str, int]:
        """The innermost line of the submission that led to the error."""
        frames = traceback.walk_tb(error.__traceback__)
        lines = [(frame.f_code.co_filename, line) for frame, line in frames]
        own = [(path, line) for path, line in lines if path in self._files]
        return [(str(self._submission), 1), *own][-1]

    def _add(self, place: tuple[str, int], code: str, *facts: object) -> None:
        found = finding(*place, code, *facts)
        if found not in self._told:
            self._told.add(found)
            self._tell(FOUND, dataclasses.astuple(found))


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names that are new, gone or have another value.

    >>> changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b', 'c']
    """

    def is_same(a: Any, b: Any) -> bool:
        simple = int | float | str | bytes | tuple
        return a is b or (isinstance(a, simple) and isinstance(b, simple) and a == b)

    names = before.keys() | after.keys()
    return sorted(n for n in names if not is_same(before.get(n), after.get(n)))
