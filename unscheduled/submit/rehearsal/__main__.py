"""Reads the task, rehearses, writes the findings."""

import json
import sys
from pathlib import Path

from unscheduled.submit.rehearsal.rehearsal import CannotGoOnError, rehearse
from unscheduled.submit.rehearsal.report import Report


def main(task: dict) -> None:
    report = Report(Path(task["submission"]))
    try:
        rehearse(task, report)
    except CannotGoOnError:
        pass  # what stopped it has been reported
    finally:
        rows = [vars(finding) for finding in report.findings]
        Path(task["findings"]).write_text(json.dumps(rows))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
