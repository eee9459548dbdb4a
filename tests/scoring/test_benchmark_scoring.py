"""The script that times the scorer: its made-up trees, and its tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from unscheduled.scoring.logs import read_logs

from .trees import write_log

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_scoring.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_made_up_tree(tmp_path):
    """Times would be those of broken logs, or of fewer than the table says."""
    code = (
        "import pathlib, runpy, sys\n"
        "script = runpy.run_path(sys.argv[1])\n"
        "script['make_tree'](pathlib.Path(sys.argv[2]), 2)"
    )
    command = [sys.executable, "-c", code, str(SCRIPT), str(tmp_path)]
    subprocess.run(command, check=True)
    reading = read_logs([tmp_path])
    summary = reading.summary()
    assert reading.warnings == []
    assert (summary.n_trials, summary.n_evaluations) == (400, 400 * 20)


def test_tables(tmp_path):
    """A tool or a size would be missing from the table, or the trees left behind."""
    header = "score,global_step,validation/ssim"
    write_log(tmp_path / "logs", "5,1,0.9", workload="fastmri_jax", header=header)
    (tmp_path / "trees").mkdir()
    done = run(
        f"--logs={tmp_path / 'logs'}",
        f"--work_dir={tmp_path / 'trees'}",
        "--trials=200",
        "--repeats=1",
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if "|" in line]
    (ours,) = (row for row in rows if row[0] == "| scripts/score.py")
    (made_up,) = (row for row in rows if row[0] == "| 200")
    assert 0.05 < float(ours[2]) < 60  # seconds of CPU
    assert 10 < float(made_up[3]) < 1000  # MiB
    assert "1 files" in done.stdout
    assert list((tmp_path / "trees").iterdir()) == []


@pytest.mark.parametrize("size", ["100", "x", "0", "-200"])
def test_sizes(size):
    """A tree of another size would be timed than the one asked for."""
    assert run(f"--trials={size}").returncode != 0


def test_failure_is_no_time(tmp_path):
    """A run that stopped with an error would be the fastest."""
    (tmp_path / "empty").mkdir()
    done = run(f"--logs={tmp_path / 'empty'}", "--trials=", "--repeats=1")
    assert done.returncode != 0
    assert "CalledProcessError" in done.stderr
