"""Files of a run: whose they are, and with the rows they should have."""

import csv
import itertools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from unscheduled.benchmark import run_files
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.runner import seeds
from unscheduled.runner.checkpoints import CountedQueue
from unscheduled.runner.logs import CsvTable, MetricsLogger
from unscheduled.runner.rules import StepsClock


def test_checkpoints_are_in_order_of_steps_and_whole(tmp_path):
    """checkpoint_9 taken for newer than checkpoint_10, or a half one for a whole."""
    for name in ("checkpoint_9", "checkpoint_10", "checkpoint_x", "checkpoint_011"):
        (tmp_path / name).touch()
    (tmp_path / "checkpoint_11.tmp").mkdir()
    directory = TrialDirectory(tmp_path)
    for _ in range(2):
        assert [p.name for p in directory.checkpoints()] == [
            "checkpoint_9",
            "checkpoint_10",
        ]
        directory.recover()
    assert not (tmp_path / "checkpoint_11.tmp").exists()


def test_only_its_own_leftovers_are_removed(tmp_path):
    """A resume that deletes every file with .tmp in its name."""
    names = ["my.tmpl", "notes.tmp.txt", "checkpoint_x.tmp", "checkpoint_3.tmp.gz"]
    for name in names:
        (tmp_path / name).write_text("mine")
    for name in ("checkpoint_3.tmp", "checkpoint_10.tmp"):
        (tmp_path / name).mkdir()
    TrialDirectory(tmp_path).recover()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == dict.fromkeys(
        names, "mine"
    )


def test_an_interrupted_replacement_is_put_right(tmp_path):
    """The old checkpoint, moved aside for one of the same step, lost by a kill."""
    (tmp_path / "checkpoint_3.tmp" / "old").mkdir(parents=True)
    (tmp_path / "checkpoint_3.tmp" / "old" / "file").touch()
    (tmp_path / "checkpoint_3.tmp" / "checkpoint_3").mkdir()
    directory = TrialDirectory(tmp_path)
    directory.recover()
    assert [p.name for p in directory.checkpoints()] == ["checkpoint_3"]
    assert [p.name for p in tmp_path.rglob("*")] == ["checkpoint_3", "file"]


def test_an_experiment_that_is_there_is_never_taken_silently(tmp_path):
    """A second run that mixes its files with the first one's."""
    path = tmp_path / "experiment"
    run_files.open_experiment(path, resume=False, overwrite=False)
    (path / "file").touch()
    with pytest.raises(UserError, match="--resume_last_run to go on with it"):
        run_files.open_experiment(path, resume=False, overwrite=False)
    run_files.open_experiment(path, resume=True, overwrite=False)
    assert (path / "file").exists()
    run_files.open_experiment(path, resume=False, overwrite=True)
    assert not (path / "file").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".experiment.lock",
        "experiment",
    ]


HOLDER = """
import os, sys, time
from pathlib import Path
from unscheduled.benchmark.run_files import open_experiment

open_experiment(Path(sys.argv[1]), resume=False, overwrite=False)
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(600)
"""


def test_one_run_a_folder_as_long_as_its_process_lives(tmp_path):
    """Two runs that write the same files, one that removes what the other trains in, or
    a folder that a killed process, or a child of it that lives on, keeps for ever."""
    path = tmp_path / "it"
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        try:
            (path / "file").touch()
            who = (
                rf"{path} is in use by process {holder.pid} on [\w.-]+ since 20[\d-]+ "
            )
            for resume, overwrite in itertools.product([False, True], repeat=2):
                with pytest.raises(UserError, match=who):
                    run_files.open_experiment(path, resume, overwrite)
            assert (path / "file").exists()
            run_files.open_experiment(tmp_path / "other", False, False)
            holder.kill()
            holder.wait()
            run_files.open_experiment(path, resume=True, overwrite=False)
            os.kill(child, 0)  # it lives
        finally:
            holder.kill()
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_lock_file_that_is_none_has_one_sentence(tmp_path, kind):
    """A lock on something else, or a file of the user's emptied by way of a link."""
    lock, other = tmp_path / ".it.lock", tmp_path / "other"
    other.write_text("mine")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(other)
    with pytest.raises((UserError, OSError)) as error:
        run_files.open_experiment(tmp_path / "it", False, False)
    assert str(lock) in str(error.value)
    assert other.read_text() == "mine"


def test_a_home_that_is_not_there_has_one_sentence(tmp_path):
    """A traceback of pathlib's."""
    with pytest.raises(UserError, match="~nobody-of-that-name"):
        run_files.experiment_path("~nobody-of-that-name/x", "e", "w", "jax")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_csv_grows_by_rows_and_columns_and_keeps_every_bit(tmp_path):
    """A new column that loses rows, or a float that loses digits."""
    table = CsvTable(tmp_path / "t.csv")
    table.append({"a": 0.1 + 0.2})
    table.append({"b": 1, "a": 2})
    table.append({"a": 3})
    assert rows_of(tmp_path / "t.csv") == [
        {"a": "0.30000000000000004", "b": ""},
        {"a": "2", "b": "1"},
        {"a": "3", "b": ""},
    ]


def test_csv_goes_on_from_the_rows_that_a_checkpoint_knows(tmp_path):
    """Rows from after the checkpoint, or half a row, that stay in a resumed run."""
    path = tmp_path / "t.csv"
    table = CsvTable(path)
    for value in range(3):
        table.append({"a": value, "b": -value})
    with open(path, "a") as file:
        file.write("9")  # torn by a kill
    table = CsvTable(path, keep_rows=2)
    table.append({"b": 7})
    assert [r["b"] for r in rows_of(path)] == ["0", "-1", "7"]
    with pytest.raises(
        UserError, match="has 3 whole rows where its checkpoint counts 4"
    ):
        CsvTable(path, keep_rows=4)


@pytest.mark.parametrize(
    "mishap",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("9"),  # all of it, but for half a row
        lambda path: path.write_bytes(path.read_bytes()[:-2]),
        lambda path: path.write_bytes(path.read_bytes() + b"3,"),  # on a full disk
        lambda path: path.write_bytes(path.read_bytes()[::-1]),
    ],
    ids=["removed", "emptied", "cut", "half", "turned"],
)
def test_csv_is_written_anew_where_it_is_not_as_it_was_left(tmp_path, mishap):
    """Rows that are lost, or that are added to the half of another."""
    path = tmp_path / "t.csv"
    table = CsvTable(path)
    for value in range(3):
        table.append({"a": value, "b": -value})
    mishap(path)
    table.append({"a": 3, "b": -3})
    assert [(r["a"], r["b"]) for r in rows_of(path)] == [
        (str(value), str(-value)) for value in range(4)
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1\n2,3\n", "has 1 whole rows"),
        ("a,b\n1,2,3\n2,3\n", "has 1 whole rows"),
        ("a,b\n" + "1" * 200_000 + ",2\n2,3\n", "has 0 whole rows"),
        (b"a,b\n1,\xff\n2,3\n", "is not UTF-8"),
        ("", "has 0 whole rows"),
    ],
    ids=["short", "long", "large", "no text", "empty"],
)
def test_a_damaged_csv_has_a_sentence(tmp_path, text, fault):
    """A traceback, where a run is to go on from a file that something has damaged."""
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=fault):
        CsvTable(path, keep_rows=2)


def test_metrics_go_to_both_tables_and_tensorboard(tmp_path):
    """An evaluation that scoring never sees, or a submission's metric that it does."""
    directory = TrialDirectory(tmp_path)
    logger = MetricsLogger(directory)
    logger.append_scalar_metrics({"loss": np.float32(0.5)}, 1)
    logger.append_scalar_metrics({"score": 2.0}, 2, preemption_count=0, is_eval=True)
    logger.finish()
    assert logger.rows == (2, 1)
    assert [r["loss"] for r in rows_of(directory.measurements)] == ["0.5", ""]
    assert rows_of(directory.eval_measurements) == [
        {"global_step": "2", "preemption_count": "0", "score": "2.0"}
    ]
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"loss" in events.read_bytes()


def test_wandb_gets_the_same_rows(tmp_path):
    """--use_wandb that logs nothing, or never ends its run."""

    class FakeWandb(list):
        finished = False

        def log(self, row):
            self.append(row)

        def finish(self):
            self.finished = True

    run = FakeWandb()
    logger = MetricsLogger(TrialDirectory(tmp_path), wandb_run=run)
    logger.append_scalar_metrics({"loss": 0.5}, 1)
    logger.finish()
    assert run == [{"loss": 0.5, "global_step": 1}]
    assert run.finished


def test_queue_skips_with_and_without_the_workload_s_help():
    """A resumed run that sees other batches than the one that was not stopped."""

    class Seekable:
        def __init__(self):
            self.position = 0

        def __next__(self):
            self.position += 1
            return self.position

        def skip(self, count):
            self.position += count

    for queue in (Seekable(), iter(range(1, 100))):
        counted = CountedQueue(queue, StepsClock(1.0))
        assert next(counted) == 1
        counted.skip(5)
        assert next(counted) == 7
        assert counted.taken == 7


def test_numpy_keys_are_fixed_distinct_and_small_enough():
    """Keys that repeat, that change between runs, or that official code refuses."""
    source = seeds.NumpyRandom()
    key = source.key(0)
    keys = [key, *source.split(key, 3), source.fold_in(key, 0), source.fold_in(key, 1)]
    assert len({tuple(k) for k in keys}) == len(keys)
    assert all(0 <= value < 2**31 for k in keys for value in k)
    np.testing.assert_array_equal(source.split(key, 3), source.split(key, 3))
    assert key.tolist() == source.key(0).tolist() != source.key(1).tolist()


def test_trial_seeds_differ_by_run_and_by_trial():
    """Two trials, or two runs, that share a seed."""
    found = {seeds.trial_seed(seed, trial) for seed in range(20) for trial in range(20)}
    assert len(found) == 400
    assert seeds.trial_seed(0, 0) == seeds.trial_seed(0, 0)


def test_global_generators_go_on_where_they_were():
    """A submission that draws from NumPy's or Python's own generator and changes
    after a resume."""
    import random

    seeds.seed_global_generators(1)
    state = seeds.global_generator_states()
    drawn = random.random(), np.random.normal()
    seeds.restore_global_generators(state)
    assert (random.random(), np.random.normal()) == drawn
