"""The table of runs: what is trained once, kept, and read again."""

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import run_table
from scripts.run_table import Evaluation, Result, Run, complete, point_of, read_table
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Target, read_target

ROOT = Path(__file__).resolve().parents[1]
RUN = Run(
    workload="digits_resnet",
    framework="pytorch",
    entry="nadamw",
    point=point_of({"learning_rate": 0.002, "dropout_rate": 0.0}),
    seed=0,
    steps=6,
    step_hint=10,
    every=3,
    until_target=False,
)


def result(*values, test=0.5):
    evaluations = (Evaluation(10 * i, v, test) for i, v in enumerate(values, 1))
    return Result(tuple(evaluations), 2.5)


def test_the_best_evaluation_and_the_first_that_reached():
    """A miss that counts, a NaN that is best, or the sign of a metric lost."""
    loss, accuracy = Target("loss", 0.3), Target("accuracy", 0.8)
    losses = result(0.9, math.nan, 0.3, 0.2, 0.4)
    assert losses.best(loss).step == 40
    assert losses.steps_to(loss) == 30
    assert losses.best(accuracy).step == 10
    assert losses.steps_to(accuracy) == 10
    assert result(0.5).steps_to(loss) == math.inf
    assert math.isnan(result(math.nan).best(loss).validation)


@pytest.mark.slow
def test_runs_are_trained_once(tmp_path, data_dir, monkeypatch):
    """A search that begins again where it was stopped, or that mixes up its runs."""
    pytest.importorskip("torch")
    path = tmp_path / "runs.csv"
    runs = [RUN, RUN._replace(seed=1), RUN]
    first = complete(path, runs, data_dir, jobs=2)
    assert first.keys() == {*runs}
    for run in runs:
        assert [e.step for e in first[run].evaluations] == [1, 4, 6]
        assert all(0 <= e.validation <= 1 and 0 <= e.test <= 1 for e in first[run][0])
    assert first[runs[0]][0] != first[runs[1]][0]
    assert len(path.read_text().splitlines()) == 1 + 2

    monkeypatch.setattr(
        run_table, "_trained", lambda runs, *_: iter([(r, r) for r in runs])
    )
    again = complete(path, runs, data_dir, jobs=2)
    assert again == read_table(path)
    for run in runs:
        for one, other in zip(first[run][0], again[run][0], strict=True):
            assert other == pytest.approx(one, rel=1e-5)


def test_a_run_to_the_target_ends_there(data_dir):
    """Time lost after the target, or an end that only looks like one."""
    pytest.importorskip("torch")
    easy = RUN._replace(until_target=True, steps=30)
    assert run_table.train(easy, data_dir).evaluations[-1].step == 30
    reached = dataclasses.replace(read_target("digits_resnet"), value=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_table, "read_target", lambda name: reached)
        (only,) = run_table.train(easy, data_dir).evaluations
    assert only.step == 1
    assert 0 <= only.test <= 1


@pytest.mark.parametrize(
    ("old", "new"), [(",6,", ",six,"), ("[[10,", "[[10"), ("nadamw,", "")]
)
def test_a_damaged_row_is_named(tmp_path, old, new):
    """A traceback, or a run that is silently another one."""
    path = tmp_path / "runs.csv"
    run_table._append(path, RUN, result(0.1, 0.2))
    assert read_table(path) == {RUN: result(0.1, 0.2)}
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match="A row of the table of runs is damaged"):
        read_table(path)


@pytest.mark.slow
def test_workers_end_with_the_command(tmp_path, data_dir):
    """Trainings that a killed command leaves behind, on all cores, for hours."""
    pytest.importorskip("torch")
    code = f"""
from pathlib import Path
from scripts.run_table import Run, complete
run = Run(**{RUN._replace(steps=10**6, every=10**6)._asdict()!r})
if __name__ == "__main__":
    complete(Path({str(tmp_path / "runs.csv")!r}), [run], {data_dir!r}, 1)
"""
    script = tmp_path / "search.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = subprocess.Popen([sys.executable, script], env=environment, cwd=ROOT)
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    try:
        end = time.monotonic() + 60
        while not (found := children.read_text().split()) and time.monotonic() < end:
            time.sleep(0.1)
        assert found
        time.sleep(3)  # to be past its first line
    finally:
        command.send_signal(signal.SIGKILL)
        command.wait()
    while any(is_running(pid) for pid in found):
        assert time.monotonic() < end, found
        time.sleep(0.1)


def is_running(pid: str) -> bool:
    try:
        return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
