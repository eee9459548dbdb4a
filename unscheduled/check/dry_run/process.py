"""Tries a submission out, in a process of its own: it may do anything there.

The process writes what happens to a file that it opens for each line, and at the end a
secret that it read from its standard input: so nothing that a submission prints, or
writes to what is open, passes for success, and no exit does. This is no sandbox.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unscheduled.benchmark.read import expand
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.check.findings import Finding, finding
from unscheduled.check.sources import PROJECT

TIMEOUT_SEC = 900
DONE, REACHED, FOUND = "done", "reached", "found"  # kinds of lines


def run(
    submission: Path,
    framework: str,
    data_dir: str | None = None,
    search_space: Path | None = None,
    workloads: Sequence[str] | None = None,
) -> list[Finding]:
    """Trains a few steps on embedded workloads, by default all; returns findings.

    Data sets are made in `data_dir`, by default in a folder that is gone after. The
    first point of a search space are the hyperparameters.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        told, secret = Path(temporary, "told"), secrets.token_hex()
        told.touch()
        task = {
            "submission": str(submission.resolve()),
            "framework": framework,
            "data_dir": str(expand(data_dir or f"{temporary}/data").resolve()),
            "search_space": search_space and str(search_space.resolve()),
            "workloads": workloads or load_benchmark(BENCHMARKS["ext"]).base,
            "folder": temporary,
        }
        end = _run([task, str(told), secret], Path(temporary, "printed"))
        whole = told.read_text().rpartition("\n")[0]  # without a line cut short
        lines = [json.loads(line) for line in whole.splitlines()]
    findings = [Finding(*value) for kind, value in lines if kind == FOUND]
    reached = ["its start", *(value for kind, value in lines if kind == REACHED)][-1]
    if [DONE, secret] not in lines:
        message = f"the dry run is not complete, it came to {reached}: {end}."
        findings.append(finding(submission, 1, "E601", message))
    return findings


def _run(told: list[Any], printed: Path) -> str:
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unscheduled.check.dry_run.stages"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    try:
        process.communicate(json.dumps(told).encode(), timeout=TIMEOUT_SEC)
    except subprocess.TimeoutExpired:
        return f"it was not done after {TIMEOUT_SEC} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = printed.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"it ended with status {process.returncode}: {last}"
