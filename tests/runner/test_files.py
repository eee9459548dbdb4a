"""Files of a run: whole or not at all, and with the rows they should have."""

import csv
from collections import namedtuple

import numpy as np
import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.runner import run_directory, seeds
from unscheduled.runner.input_queue import CountedQueue
from unscheduled.runner.measurements import CsvTable, MetricsLogger


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    """A crash while writing that leaves half a file."""
    path = tmp_path / "file"
    path.write_text("old")

    def crash():
        with run_directory.whole_file(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert path.read_text() == "old"
    with run_directory.whole_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_the_old_one_or_the_new_one(tmp_path):
    """As for files, for the folders that JAX checkpoints are."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()

    def crash():
        with run_directory.whole_folder(path) as temporary:
            temporary.with_name("beside").mkdir()
            temporary.mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert [p.name for p in path.iterdir()] == ["old"]
    with run_directory.whole_folder(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_disk_that_is_too_full_is_told_before_writing(tmp_path, monkeypatch):
    """Half a checkpoint, and a message that does not say why."""
    free = namedtuple("usage", "free")(5_000_000)
    monkeypatch.setattr(run_directory.shutil, "disk_usage", lambda folder: free)
    run_directory.check_space(tmp_path, 3_000_000)
    with pytest.raises(OSError, match=r"No space left.*: 5\.8 MB needed, 5\.0 MB free"):
        run_directory.check_space(tmp_path, 4_000_000)


def test_checkpoints_are_in_order_of_steps_and_whole(tmp_path):
    """checkpoint_9 taken for newer than checkpoint_10, or a half one for a whole."""
    for name in ("checkpoint_9", "checkpoint_10", "checkpoint_11.tmp", "checkpoint_x"):
        (tmp_path / name).touch()
    directory = run_directory.TrialDirectory(tmp_path)
    assert [p.name for p in directory.checkpoints()] == [
        "checkpoint_9",
        "checkpoint_10",
    ]
    directory.remove_unfinished()
    assert not (tmp_path / "checkpoint_11.tmp").exists()
    assert (tmp_path / "checkpoint_9").exists()


def test_an_experiment_that_is_there_is_never_taken_silently(tmp_path):
    """A second run that mixes its files with the first one's."""
    path = tmp_path / "experiment"
    run_directory.open_experiment(path, resume=False, overwrite=False)
    (path / "file").touch()
    with pytest.raises(UserError, match="--resume_last_run to go on with it"):
        run_directory.open_experiment(path, resume=False, overwrite=False)
    run_directory.open_experiment(path, resume=True, overwrite=False)
    assert (path / "file").exists()
    run_directory.open_experiment(path, resume=False, overwrite=True)
    assert not (path / "file").exists()


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
    with pytest.raises(UserError, match="has 3 rows where its checkpoint counts 4"):
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
        ("a,b\n1\n2,3\n", "is damaged in row 1"),
        ("a,b\n1,2,3\n2,3\n", "is damaged in row 1"),
        ("a,b\n" + "1" * 200_000 + ",2\n2,3\n", r"is damaged \(field larger"),
        (b"a,b\n1,\xff\n2,3\n", "is not UTF-8"),
        ("", "has 0 rows"),
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
    directory = run_directory.TrialDirectory(tmp_path)
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
    logger = MetricsLogger(run_directory.TrialDirectory(tmp_path), wandb_run=run)
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
        counted = CountedQueue(queue)
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
