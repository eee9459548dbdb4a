"""Reads the task, rehearses, and tells what happens, a line at a time."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unscheduled.check.dry_run.process import DONE, STOPPED
from unscheduled.check.dry_run.rehearsal import CannotGoOnError, rehearse
from unscheduled.check.dry_run.report import Report


def main(task: dict[str, Any]) -> None:
    tell = _teller(task.pop("pipe"), task.pop("secret"))
    try:
        rehearse(task, Report(Path(task["submission"]), tell))
    except CannotGoOnError:
        tell(STOPPED, None)
    else:
        tell(DONE, None)


def _teller(pipe: int, secret: str) -> Callable[[str, Any], None]:
    """What writes a line to the process that waits for it."""
    os.set_inheritable(pipe, False)

    def tell(kind: str, value: Any) -> None:
        line = f"{secret} {json.dumps([kind, value])}\n".encode()
        while line:
            line = line[os.write(pipe, line) :]

    return tell


if __name__ == "__main__":
    main(json.load(sys.stdin))
