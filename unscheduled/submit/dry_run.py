"""Tries a submission out, in a process of its own: it may do anything there."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from unscheduled.submit.rules.findings import Finding

TIMEOUT_SEC = 900
WORKLOADS = ("digits_resnet", "stdlib_lm")
_ROOT = Path(__file__).resolve().parents[2]


def run(
    submission: Path,
    framework: str,
    data_dir: str | None = None,
    search_space: Path | None = None,
    workloads: tuple[str, ...] = WORKLOADS,
) -> list[Finding]:
    """Trains a few steps on the embedded workloads, beside AdamW.

    Args:
      submission: the Python file that has the functions of the API.
      framework: "jax" or "pytorch".
      data_dir: where the data sets are made; None for a folder that is gone after.
      search_space: whose first point are the hyperparameters; None in self-tuning.
      workloads: the embedded workloads to train on.

    Returns:
      What was found, in the order of what happened.
    """
    with tempfile.TemporaryDirectory() as temporary:
        task = {
            "submission": str(submission.resolve()),
            "framework": framework,
            "data_dir": data_dir and str(Path(data_dir).expanduser().resolve()),
            "search_space": search_space and str(search_space.resolve()),
            "workloads": workloads,
            "folder": temporary,
            "findings": str(Path(temporary, "findings.json")),
        }
        fault = _run_process(task)
        written = Path(task["findings"])
        rows = json.loads(written.read_text()) if written.is_file() else []
    findings = [Finding(**row) for row in rows]
    if fault:
        findings.append(Finding(str(submission), 1, "E601", fault))
    return findings


def _run_process(task: dict) -> str | None:
    """Runs the rehearsal; returns what went wrong with the process, or None."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        process = subprocess.run(
            [sys.executable, "-m", "unscheduled.submit.rehearsal", json.dumps(task)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=TIMEOUT_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the dry run was not done after {TIMEOUT_SEC} s."
    if process.returncode == 0:
        return None
    last = (process.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"the dry run ended with status {process.returncode}: {last}"
