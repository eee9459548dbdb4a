"""The entries there are, found by their folders."""

import importlib
from pathlib import Path

SUBMISSIONS = Path(__file__).resolve().parents[2] / "submissions"
FRAMEWORKS = ("pytorch", "jax")
ALGORITHMS = sorted(
    {
        path.parent.name.rpartition("_")[0]
        for path in SUBMISSIONS.glob("*_*/submission.py")
    }
)
# Rates that train the stub workload; the entries' own are for real ones.
RATES = {"nesterov": 1e-3, "heavy_ball": 1e-3, "schedule_free_radam": 0.2}


def load(algorithm, framework):
    return importlib.import_module(f"submissions.{algorithm}_{framework}.submission")


def rate(algorithm):
    return {"learning_rate": RATES.get(algorithm, 0.05)}


def is_evaluated_where_it_trains(algorithm):
    return not algorithm.startswith(("schedule_free", "lookahead"))
