"""Time scripts/score.py: on real logs, beside the official tool, and as trees grow.

    python scripts/benchmark_scoring.py [--logs=DIR] [--official=CLONE]
        [--official_python=PYTHON] [--trials=10000,30000,100000] [--repeats=3]

Prints tables in Markdown. CPU time is the user and system time of the process; of the
repeats, the least time and the largest memory count. The official tool runs in turns
with this one, so that both meet the same machine.
"""

import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from absl import app, flags

from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.runner.machine import cpu_model_name

PROJECT = Path(__file__).resolve().parents[1]
BENCHMARK = load_benchmark(BENCHMARKS["0.5"])
STUDIES, TRIALS, EVALUATIONS = 5, 5, 20
TRIALS_A_SUBMISSION = len(BENCHMARK.base) * STUDIES * TRIALS
BESIDE = ("flags_0.json", "hparams.json", "measurements.csv", "meta_data_0.json")
COLUMNS = (
    *("accumulated_eval_time", "accumulated_submission_time", "global_step"),
    *("preemption_count", "score"),
    *(f"{split}/{name}" for split in ("train", "test") for name in "abcd"),
)
COSTS = ("wall (s)", "CPU (s)", "peak memory (MiB)")

_LOGS = flags.DEFINE_string("logs", None, "A folder of real logs of version 0.5.")
_OFFICIAL = flags.DEFINE_string(
    "official", None, "A clone of mlcommons/submissions_algorithms, to time its tool."
)
_OFFICIAL_PYTHON = flags.DEFINE_string(
    "official_python", sys.executable, "A Python that has what the official tool needs."
)
_SIZES = flags.DEFINE_list(
    "trials",
    ["10000", "30000", "100000"],
    f"Sizes of the made-up trees, {TRIALS_A_SUBMISSION} trials a submission.",
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "How often each is timed.", lower_bound=1)
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Where the made-up trees are put.")


def measure(command: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Seconds on the wall and of the CPU, and MiB at most, of a process."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall_sec = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            print(output.read().decode()[-2000:], file=sys.stderr)
            raise subprocess.CalledProcessError(process.returncode, command)
    return wall_sec, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def in_turns(commands: Sequence[tuple[Sequence[str], Path]]) -> list[list[float]]:
    """The least times and the largest memory of each, over rounds of all of them."""
    rounds = [[measure(*each) for each in commands] for _ in range(_REPEATS.value)]
    return [
        [costs[:, 0].min(), costs[:, 1].min(), costs[:, 2].max()]
        for costs in np.swapaxes(rounds, 0, 1)
    ]


def ours(logs: Path) -> tuple[list[str], Path]:
    options = ["--benchmark=0.5", "--ruleset=external"]
    script = PROJECT / "scripts" / "score.py"
    return [sys.executable, str(script), str(logs.resolve()), *options], PROJECT


def official(clone: Path, logs: Path, out: str) -> tuple[list[str], Path]:
    options = [
        f"--submission_directory={logs.resolve()}",
        "--workload_targets=scoring/workload_targets_v05.json",
        "--compute_performance_profiles",
        f"--output_dir={out}",
    ]
    python = ["env", "MPLBACKEND=Agg", _OFFICIAL_PYTHON.value]
    return [*python, "-m", "scoring.score_submissions", *options], clone


def make_tree(root: Path, n_submissions: int) -> None:
    rng = random.Random(0)
    places = (range(n_submissions), range(STUDIES), BENCHMARK.base, range(TRIALS))
    for submission, study, workload, trial in product(*places):
        study_folder = root / f"s{submission}" / f"study_{study}"
        folder = study_folder / f"{workload}_jax" / f"trial_{trial + 1}"
        folder.mkdir(parents=True)
        for name in BESIDE:
            (folder / name).touch()
        metric = BENCHMARK.targets[workload].metric
        lines = [",".join((*COLUMNS, f"validation/{metric}"))]
        seconds = 0.0
        for evaluation in range(1, EVALUATIONS + 1):
            seconds += rng.uniform(100, 300)
            row = [seconds, seconds, 500 * evaluation, 0, seconds]
            row += [rng.random() for _ in range(len(COLUMNS) + 1 - len(row))]
            lines.append(",".join(map(str, row)))
        (folder / "eval_measurements.csv").write_text("\n".join(lines) + "\n")


def time_real_logs(logs: Path) -> None:
    commands = {"scripts/score.py": ours(logs)}
    with tempfile.TemporaryDirectory() as out:
        if _OFFICIAL.value:
            clone = Path(_OFFICIAL.value).resolve()
            commands["official tool"] = official(clone, logs, out)
        costs = in_turns([*commands.values()])
    rows = [
        [name, *map("{:.2f}".format, cost)]
        for name, cost in zip(commands, costs, strict=True)
    ]
    files = sum(len(names) for _, _, names in os.walk(logs))
    table = markdown_table(("tool", *COSTS), rows)
    print(f"Real logs, {files:,} files:\n\n{table}\n", flush=True)


def time_made_up_trees(sizes: Sequence[int]) -> None:
    rows = []
    for size in sizes:
        n_submissions = size // TRIALS_A_SUBMISSION
        with tempfile.TemporaryDirectory(dir=_WORK_DIR.value) as root:
            make_tree(Path(root), n_submissions)
            (costs,) = in_turns([ours(Path(root))])
        n = n_submissions * TRIALS_A_SUBMISSION
        ms_a_trial = f"{1000 * costs[1] / n:.3f}"
        rows.append([f"{n:,}", *map("{:.2f}".format, costs), ms_a_trial])
    table = markdown_table(("trials", *COSTS, "CPU a trial (ms)"), rows)
    files = f"{EVALUATIONS} evaluations and {1 + len(BESIDE)} files a trial"
    print(f"Made-up trees, {files}:\n\n{table}")


def main(_) -> None:
    cores = f"{os.cpu_count()} cores of {cpu_model_name()}"
    print(f"{cores}, Python {platform.python_version()}, {_REPEATS.value} runs.\n")
    if _LOGS.value:
        time_real_logs(Path(_LOGS.value))
    if sizes := [int(size) for size in _SIZES.value if size]:
        time_made_up_trees(sizes)


if __name__ == "__main__":
    app.run(main)
