"""What echoing gives where batches are waited for: the flagship, clocked.

docs/evidence/echoing.md. Two suites of runs, which are resumed where they are there.
"""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from scripts.evidence.miniature import spread
from scripts.evidence.pages import ROOT, publish
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.times import Hit, study_results
from workloads_ext.registry import WORKLOADS

flags.DEFINE_string("experiment_dir", "runs/echoing", "Where runs are written.")

ENTRY = "refined_schedule_free"
FETCH = 2.5  # steps that a fetch takes
STUDIES = 3
FETCHES = {"without waiting": 0.0, "with fetches": FETCH}


def train(name: str) -> Path:
    """A suite of runs with these fetches; returns its folder."""
    folder = Path(flags.FLAGS.experiment_dir) / name.replace(" ", "_")
    command = [sys.executable, str(ROOT / "scripts" / "suite.py"), "--clock=steps"]
    options = {"entries": ENTRY, "fetch": FETCHES[name], "experiment_dir": folder}
    options |= {"studies": STUDIES, "data_dir": flags.FLAGS.data_dir}
    command += [f"--{option}={value}" for option, value in options.items()]
    subprocess.run(command, check=True)
    return folder


def hits(folder: Path) -> dict[tuple[str, str], Hit]:
    """By workload and study, where the target was reached."""
    trials = read_logs([folder]).trials
    studies = study_results(trials, load_benchmark(BENCHMARKS["ext"]))
    return {(study.workload, study.study): study.hit for study in studies}


def table(found: dict[str, dict[tuple[str, str], Hit]]) -> str:
    """A row a workload: time to target with echoes over that without, by fetches."""
    alone, waiting = (found[name] for name in FETCHES)
    rows, logs = [], []
    for workload in WORKLOADS:
        keys = sorted(key for key in alone if key[0] == workload)
        steps = (spread([each[k].steps for k in keys]) for each in found.values())
        # Without echoes every step waits for its batch.
        ratios = [waiting[k].time_sec / (FETCH * alone[k].time_sec) for k in keys]
        logs.append(np.log(ratios))
        rows.append((workload, *steps, f"{math.exp(np.mean(logs[-1])):.2f}"))
    of_studies = np.exp(np.mean(logs, axis=0))
    mean = math.exp(np.mean(logs))
    summary = f"{mean:.2f} ({min(of_studies):.2f} to {max(of_studies):.2f})"
    rows.append(("geometric mean", "", "", summary))
    names = ("workload", *(f"steps, {name}" for name in FETCHES), "time to target")
    return markdown_table(names, rows)


def main(_) -> None:
    found = {name: hits(train(name)) for name in FETCHES}
    publish("echoing", {"clocked": table(found)})


if __name__ == "__main__":
    app.run(main)
