"""The submissions of the table's algorithms."""

import importlib
from pathlib import Path

from tests import cases
from unscheduled.benchmark.frameworks import FRAMEWORKS

__all__ = ["ALGORITHMS", "FRAMEWORKS", "MOVED", "ROOT", "load", "rate"]

ROOT = Path(__file__).resolve().parents[2]
ALGORITHMS = sorted(a.name for a in cases.SUBMITTED)
MOVED = {a.name for a in cases.SUBMITTED if a.moves_for_evaluation}


def load(algorithm, framework):
    return importlib.import_module(f"submissions.{algorithm}_{framework}.submission")


def rate(algorithm):
    """A rate that trains the stub workload: the submission's own is for real ones."""
    return {"learning_rate": cases.by_name(algorithm).rates.submission}
