"""What echoing gives where batches are waited for: the flagship, clocked.

docs/evidence/echoing.md. Two suites of runs, which are resumed where they are there.
"""

import csv
import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from scripts.evidence.pages import ROOT, publish
from unscheduled.benchmark.tables import markdown_table
from workloads_ext.registry import WORKLOADS

flags.DEFINE_string("experiment_dir", "runs/echoing", "Where runs are written.")

ENTRY = "refined_schedule_free"
FETCH = 2.5  # steps that a fetch takes
FETCHES = {"without waiting": 0.0, "with fetches": FETCH}


def train(name: str) -> Path:
    """A suite of runs with these fetches; returns its folder."""
    folder = Path(flags.FLAGS.experiment_dir) / name.replace(" ", "_")
    command = [sys.executable, str(ROOT / "scripts" / "suite.py"), "--clock=steps"]
    options = {"entries": ENTRY, "fetch": FETCHES[name], "experiment_dir": folder}
    options["data_dir"] = flags.FLAGS.data_dir
    command += [f"--{option}={value}" for option, value in options.items()]
    subprocess.run(command, check=True)
    return folder


def results(folder: Path) -> dict[str, dict[str, str]]:
    """By workload, what scoring says of the runs in a folder."""
    command = [sys.executable, str(ROOT / "scripts" / "score.py"), str(folder)]
    text = subprocess.run(
        [*command, "--format=csv"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return {row["workload"]: row for row in csv.DictReader(io.StringIO(text))}


def table(found: dict[str, dict[str, dict[str, str]]]) -> str:
    """A row a workload: time to target with echoes over that without, by fetches."""
    rows, logs = [], []
    for workload in WORKLOADS:
        alone, waiting = (found[name][workload] for name in FETCHES)
        before = FETCH * _time_sec(alone)  # every step waits for its batch
        ratio = _time_sec(waiting) / before
        logs.append(math.log(ratio))
        steps = (each["steps"].removesuffix(".0") for each in (alone, waiting))
        rows.append((workload, *steps, f"{ratio:.2f}"))
    mean = f"{math.exp(np.mean(logs)):.2f}"
    rows.append(("geometric mean", "", "", mean))
    names = ("workload", *(f"steps, {name}" for name in FETCHES), "time to target")
    return markdown_table(names, rows)


def _time_sec(result: dict[str, str]) -> float:
    return float(result["time_sec"] or math.inf)  # empty for a miss


def main(_) -> None:
    found = {name: results(train(name)) for name in FETCHES}
    publish("echoing", {"clocked": table(found)})


if __name__ == "__main__":
    app.run(main)
