"""The program as a user meets it: tables in a pipe, and errors in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from .trees import write_log, write_text

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "score.py"
LONG_NAME = "a_submission_with_a_name_[bold]_" + 3 * "that_goes_on_and_on_"


def score(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Three submissions: one hits, one hits in one study of three, one ran little."""
    root = tmp_path_factory.mktemp("logs")
    for study in ("study_0", "study_1", "study_2"):
        write_log(root, "9.25,1,0.1", "12.25,700,1", submission="good", study=study)
        hit = 1 if study == "study_1" else 0.5
        write_log(root, f"3,1,{hit}", submission=LONG_NAME, study=study)
    text = "score,global_step,validation/loss\n5,10,0.5\n6,20,0."
    write_text(root, text, submission="other", workload="stdlib_lm_pytorch")
    return root


def cells(output, first):
    """The cells of every table row whose first cell is `first`."""
    rows = [line.split() for line in output.splitlines()]
    return [row[1:] for row in rows if row and row[0] == first]


def test_tables(logs):
    """Misses, missing workloads or scores would be shown as something else."""
    done = score(logs, "--benchmark=ext", "--baseline=good")
    assert (done.returncode, done.stderr) == (0, "")
    *workloads, final = cells(done.stdout, "good")
    assert workloads == [["12.25", "700", "3/3"], ["-", "-", "-"]]
    assert final == ["0.5000", "1/2", "1.0000"]
    *workloads, final = cells(done.stdout, LONG_NAME)
    assert workloads == [["missed", "missed", "1/3"], ["-", "-", "-"]]
    assert final == ["0.0000", "0/2", "n/a"]
    *workloads, final = cells(done.stdout, "other")
    assert workloads == [["-", "-", "-"], ["5.00", "10", "1/1"]]
    assert final == ["0.5000", "1/2", "n/a"]
    assert "2 of 2 base workloads have logs." in done.stdout
    assert "line 3: cut off (" in done.stdout
    assert "\x1b" not in done.stdout


def test_one_submission(logs):
    """A submission alone would need its siblings; missing workloads would be free."""
    done = score(logs / "good")
    assert done.returncode == 0
    assert cells(done.stdout, "good")[-1] == ["0.5000", "1/2"]
    assert "1 of 2 base workloads have logs." in done.stdout


def test_rule(tmp_path):
    """The choice between the two rules would have no effect."""
    write_log(tmp_path, "30,1,1", trial=1)
    write_log(tmp_path, "10,1,0", "20,2,1", trial=2)
    for rule, seconds in (("documented", "20.00"), ("official", "30.00")):
        output = score(tmp_path, f"--rule={rule}").stdout
        assert cells(output, "sub")[0][0] == seconds


def test_budget_factor(logs):
    """A baseline could not be compared where a target was missed."""
    done = score(logs, "--benchmark=ext", "--baseline=good", "--budget_factor=1.5")
    (ratio,) = (row[-1] for row in cells(done.stdout, LONG_NAME)[-1:])
    assert float(ratio) > 1


def test_workloads_outside_the_benchmark(tmp_path):
    """Logs that do not count would be dropped without a word."""
    header = "score,global_step,validation/ssim"
    write_log(tmp_path, "5,1,0.9", workload="fastmri_jax", header=header)
    write_log(tmp_path, "5,1,0.9", workload="mnist_jax")
    done = score(tmp_path, "--benchmark=0.6")
    assert "Not in this benchmark, and left out: mnist." in done.stdout
    assert "1 of 8 base workloads have logs." in done.stdout
    assert cells(done.stdout, "sub")[-1] == ["0.1250", "1/8"]


def test_held_out_without_logs(tmp_path):
    """Nobody would know that a version's filters were not applied."""
    header = "score,global_step,validation/ssim"
    write_log(tmp_path, "5,1,0.9", workload="fastmri_jax", header=header)
    done = score(tmp_path, "--benchmark=0.5")
    assert "0 of 6 held-out workloads have logs; the others disq" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No logs found in no folder at all"),
        (["nowhere"], "No such folder: nowhere."),
        (["empty"], "No logs found in empty"),
        (["good", "--benchmark=0.7"], "Unknown benchmark '0.7'"),
        (["good", "--benchmark=empty"], "Unknown benchmark 'empty'"),
        (["good", "--benchmark=bad.json"], "bad.json is not JSON"),
        (["good", "--benchmark=0.6"], "Benchmark 0.6 scores none of the workloads"),
        (["good", "--baseline=better"], "Unknown baseline 'better': choose from good."),
        (["unknown"], "Unknown workloads mnistt"),
        (["both"], "both ran digits_resnet in both frameworks"),
        (["letters"], "line 2: score is 'x', not a number."),
        (["binary"], "line 1: not text"),
        (["headless"], "line 1: no column score or global_step."),
        (["metric"], "no column validation/accuracy."),
        (["unreadable"], "Is a directory"),
    ],
)
def test_errors(tmp_path, arguments, message):
    """A user's slip would end in a traceback, a success, or a page of text."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{")
    write_log(tmp_path, "1,1,1", submission="good")
    write_log(tmp_path, "1,1,1", submission="unknown", workload="mnistt_jax")
    for framework in ("jax", "pytorch"):
        folder = f"digits_resnet_{framework}"
        write_log(tmp_path, "1,1,1", submission="both", workload=folder)
    write_log(tmp_path, "x,1,1", submission="letters")
    write_text(tmp_path, b"\x80\x04\x95pickle", submission="binary")
    write_text(tmp_path, "1,1,1\n2,2,2\n", submission="headless")
    write_log(
        tmp_path,
        "1,1,1",
        submission="metric",
        header="score,global_step,validation/loss",
    )
    log = write_log(tmp_path, submission="unreadable")
    log.unlink()
    log.mkdir()
    done = score(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("score.py: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_unknown_rule(logs):
    """A misspelt rule would be scored by another."""
    done = score(logs, "--rule=fastest")
    assert done.returncode != 0
    assert "<documented|official>" in done.stderr
    assert "Traceback" not in done.stderr


def test_imports_are_light():
    """The scorer would need a framework, or seconds to start."""
    code = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}, run_name='score')\n"
        "heavy = {'torch', 'jax', 'tensorflow', 'pandas', 'scipy', 'workloads_ext'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
