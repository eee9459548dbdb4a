"""What a rehearsal finds, and where in the submission's files."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from unscheduled.benchmark.errors import first_line
from unscheduled.submit.rules.findings import Finding
from unscheduled.submit.sources import sources


class CannotGoOnError(Exception):
    """The rehearsal can't go on; why is in the report."""


class Report:
    """Collects findings.

    Args:
      submission: the Python file that has the functions of the API.
    """

    def __init__(self, submission: Path):
        self._submission = submission
        self._files = {str(path) for path in sources(submission).values()}
        self.findings: list[Finding] = []

    def add(self, code: str, message: str, line: int = 1) -> None:
        """Reports something about the submission's file."""
        finding = Finding(str(self._submission), line, code, message)
        if finding not in self.findings:
            self.findings.append(finding)

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Reports what a call of submitted code raises, then stops.

        Raises:
          CannotGoOnError: after that.
        """
        try:
            yield
        except ModuleNotFoundError as error:
            self._add_at(error, "N601", f"no dry run: {error.name} is not installed.")
            raise CannotGoOnError from error
        except Exception as error:
            kind = type(error).__name__
            message = f"{what} fails with {kind}: {first_line(error)}"
            self._add_at(error, "E601", message)
            raise CannotGoOnError from error

    def _add_at(self, error: Exception, code: str, message: str) -> None:
        """At the innermost line of the submission that led to the error."""
        path, line = str(self._submission), 1
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename in self._files:
                path, line = frame.filename, frame.lineno or 1
        self.findings.append(Finding(path, line, code, message))
