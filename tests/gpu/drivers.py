"""An entry of this repository, ready to take steps on a workload."""

import contextlib
from pathlib import Path
from typing import Any

from unscheduled.runner.submission import Driver, load_submission

ROOT = Path(__file__).resolve().parents[2]


def driver_of(algorithm: str, framework: str, workload: Any, backend: Any) -> Driver:
    """A driver with seed 0, whose errors come as they are."""
    path = ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"
    return Driver(
        load_submission(str(path)),
        workload,
        backend.random,
        None,
        0,
        calling=lambda function: contextlib.nullcontext(),
        fault=backend.fault,
    )
