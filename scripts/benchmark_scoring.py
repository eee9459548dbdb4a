"""Time scripts/score.py: on real logs, beside the official tool, and as trees grow.

    python scripts/benchmark_scoring.py [--logs=DIR] [--official=CLONE]
        [--official_python=PYTHON] [--trials=10000,30000,100000] [--repeats=3]

Prints a table in Markdown. CPU time is user and system time of the process; of the
repeats, the least time and the largest memory count. The official tool runs in turns
with this one, so that both meet the same machine.
"""

import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import app, flags

from unscheduled.runner.machine import cpu_model_name

PROJECT = Path(__file__).resolve().parents[1]
WORKLOADS = {  # of the made-up trees: base workload of version 0.5 -> metric
    "criteo1tb": "loss",
    "fastmri": "ssim",
    "imagenet_resnet": "accuracy",
    "imagenet_vit": "accuracy",
    "librispeech_conformer": "wer",
    "librispeech_deepspeech": "wer",
    "ogbg": "mean_average_precision",
    "wmt": "bleu",
}
TRIALS_A_SUBMISSION = len(WORKLOADS) * 5 * 5
EVALUATIONS = 20
BESIDE = ("flags_0.json", "hparams.json", "measurements.csv", "meta_data_0.json")

_LOGS = flags.DEFINE_string("logs", None, "A folder of real logs of version 0.5.")
_OFFICIAL = flags.DEFINE_string(
    "official", None, "A clone of mlcommons/submissions_algorithms, to time its tool."
)
_OFFICIAL_PYTHON = flags.DEFINE_string(
    "official_python", sys.executable, "A Python that has what the official tool needs."
)
_TRIALS = flags.DEFINE_list(
    "trials", ["10000", "30000", "100000"], "Sizes of the made-up trees; may be empty."
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "How often each is timed.", lower_bound=1)
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Where the made-up trees are put.")


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_sec: float
    cpu_sec: float
    peak_mib: float


def main(argv: Sequence[str]) -> None:
    if argv[1:]:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    for size in _TRIALS.value:
        if not size.isdecimal() or not int(size) or int(size) % TRIALS_A_SUBMISSION:
            raise app.UsageError(
                f"--trials={size}: choose multiples of {TRIALS_A_SUBMISSION}, the "
                "trials of a submission"
            )
    lines = [_about_the_machine(), ""]
    if _LOGS.value:
        lines += _real_logs(Path(_LOGS.value))
    if _TRIALS.value:
        lines += _made_up_trees([int(size) for size in _TRIALS.value])
    print("\n".join(lines))


def measure(command: Sequence[str], cwd: Path, **variables: str) -> Cost:
    """Run a command to its end and say what it took.

    Raises:
      subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=output,
            stderr=output,
            env={**os.environ, **variables},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_sec = time.perf_counter() - start
        if process.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(
                process.returncode, command, output.read().decode()[-2000:]
            )
    return Cost(wall_sec, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(runs: Sequence[Callable[[], Cost]], repeats: int) -> list[Cost]:
    """The least times and the largest memory of each, over rounds of all of them."""
    rounds = [[run() for run in runs] for _ in range(repeats)]
    return [
        Cost(
            min(cost.wall_sec for cost in costs),
            min(cost.cpu_sec for cost in costs),
            max(cost.peak_mib for cost in costs),
        )
        for costs in zip(*rounds, strict=True)
    ]


def ours(logs: Path) -> Cost:
    script = PROJECT / "scripts" / "score.py"
    flags_of_it = ["--benchmark=0.5", "--ruleset=external"]
    return measure([sys.executable, str(script), str(logs), *flags_of_it], PROJECT)


def official(clone: Path, logs: Path) -> Cost:
    with tempfile.TemporaryDirectory() as out:
        command = [
            _OFFICIAL_PYTHON.value,
            "-m",
            "scoring.score_submissions",
            f"--submission_directory={logs}",
            f"--workload_targets={clone / 'scoring' / 'workload_targets_v05.json'}",
            "--compute_performance_profiles",
            f"--output_dir={out}",
        ]
        return measure(command, clone, MPLBACKEND="Agg")


def make_tree(root: Path, n_trials: int) -> None:
    """Write logs of `n_trials` trials, 200 a submission, as the official runner does.

    Args:
      n_trials: a multiple of `TRIALS_A_SUBMISSION`.
    """
    rng = random.Random(0)
    for submission in range(n_trials // TRIALS_A_SUBMISSION):
        for study in range(5):
            for workload, metric in WORKLOADS.items():
                folder = root / f"s{submission}" / f"study_{study}" / f"{workload}_jax"
                for trial in range(1, 6):
                    _write_trial(folder / f"trial_{trial}", metric, rng)


def _write_trial(folder: Path, metric: str, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    for name in BESIDE:
        (folder / name).touch()
    others = [f"{split}/{name}" for split in ("train", "test") for name in "abcd"]
    columns = ["accumulated_eval_time", "accumulated_submission_time", "global_step"]
    columns += ["preemption_count", "score", *others, f"validation/{metric}"]
    lines = [",".join(columns)]
    seconds = 0.0
    for evaluation in range(EVALUATIONS):
        seconds += rng.uniform(100, 300)
        row = [rng.random(), seconds, 500 * (evaluation + 1), 0, seconds]
        row += [rng.random() for _ in range(len(others) + 1)]
        lines.append(",".join(map(str, row)))
    text = "\n".join(lines) + "\n"
    (folder / "eval_measurements.csv").write_text(text)


def _real_logs(logs: Path) -> list[str]:
    files = sum(len(names) for _, _, names in os.walk(logs))
    runs = {"scripts/score.py": lambda: ours(logs)}
    clone = _OFFICIAL.value
    if clone:
        runs["official tool"] = lambda: official(Path(clone), logs)
    costs = in_turns(list(runs.values()), _REPEATS.value)
    lines = [
        f"Real logs, {files:,} files:",
        "",
        "| tool | wall (s) | CPU (s) | peak memory (MiB) |",
        "|---|--:|--:|--:|",
    ]
    for name, cost in zip(runs, costs, strict=True):
        times = f"{cost.wall_sec:.2f} | {cost.cpu_sec:.2f}"
        lines.append(f"| {name} | {times} | {cost.peak_mib:.0f} |")
    if clone:
        wall = costs[1].wall_sec / costs[0].wall_sec
        cpu = costs[1].cpu_sec / costs[0].cpu_sec
        lines += ["", f"Faster by {wall:.1f}x in wall time, {cpu:.1f}x in CPU time."]
    return [*lines, ""]


def _made_up_trees(sizes: Sequence[int]) -> list[str]:
    n_files = 1 + len(BESIDE)
    lines = [
        f"Made-up trees, {EVALUATIONS} evaluations and {n_files} files a trial:",
        "",
        "| trials | wall (s) | CPU (s) | CPU a trial (ms) | peak memory (MiB) |",
        "|--:|--:|--:|--:|--:|",
    ]
    for size in sizes:
        root = Path(tempfile.mkdtemp(prefix="trials_", dir=_WORK_DIR.value))
        try:
            make_tree(root, size)
            (cost,) = in_turns([lambda root=root: ours(root)], _REPEATS.value)
        finally:
            shutil.rmtree(root)
        lines.append(
            f"| {size:,} | {cost.wall_sec:.2f} | {cost.cpu_sec:.2f} "
            f"| {1000 * cost.cpu_sec / size:.3f} | {cost.peak_mib:.0f} |"
        )
    return lines


def _about_the_machine() -> str:
    cores = f"{os.cpu_count()} cores of {cpu_model_name()}"
    return f"{cores}, Python {platform.python_version()}, {_REPEATS.value} runs."


if __name__ == "__main__":
    app.run(main)
