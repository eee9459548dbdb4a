"""The TFDS builders."""

import fcntl
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import base_class, read_all
from tests.workloads.tiny_data import Tiny
from unscheduled.benchmark.errors import UserError
from workloads_ext.common import source


def test_made_once(tmp_path, monkeypatch):
    """Every run would spend seconds on making its data again."""
    source.prepare(Tiny, tmp_path)
    monkeypatch.setattr(source, "_make", None)
    source.prepare(Tiny, tmp_path)


def test_nothing_is_printed(tmp_path, capfd):
    """Progress bars would break the one line that the runner shows."""
    source.prepare(Tiny, tmp_path)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_two_builds_are_equal(tmp_path, data_dir):
    """Two machines would train on data in different orders."""
    for split in ("train", "test"):
        first, second = (
            read_all("digits_resnet", split, d) for d in (data_dir, tmp_path)
        )
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])


PREPARE = """
import random, sys
import numpy as np
from tests.workloads.tiny_data import Tiny
from workloads_ext.common import source

random.seed(1)
np.random.seed(1)
source.prepare(Tiny, sys.argv[1])
print(random.random(), np.random.random())
"""


def test_several_processes_of_one_seed_make_it_once(tmp_path):
    """Of two runs that start together in a new data_dir, one would fail; and the run
    that made the data would draw other numbers than the one that found them."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 2, results
    random.seed(1)
    np.random.seed(1)
    assert {out for out, _ in results} == {f"{random.random()} {np.random.random()}\n"}
    waiting = "Waiting for another process that makes the data set 'tiny'.\n"
    assert {err for _, err in results} <= {"", waiting}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny", "tiny.lock"]


def test_one_waits_for_the_other_and_says_so(tmp_path, capfd):
    """A run that makes what another is about to finish, or that waits in silence."""
    lock = tmp_path / "tiny.lock"
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=source.prepare, args=(Tiny, tmp_path))
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive()
        assert not (tmp_path / "tiny").exists()
    thread.join(timeout=60)
    assert (tmp_path / "tiny").exists()
    assert "Waiting for another process that makes" in capfd.readouterr().err


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tiny-train.array_record-00000-of-00001", flip_a_bit),
        ("tiny-test.array_record-00000-of-00001", Path.unlink),
        ("tiny-validation.array_record-00000-of-00001", lambda p: os.truncate(p, 99)),
        ("dataset_info.json", lambda path: path.write_text("{")),
        ("features.json", flip_a_bit),
        ("SHA256SUMS", lambda path: path.write_bytes(b"")),
        ("SHA256SUMS", lambda path: path.write_bytes(b"\xff\n")),
        ("SHA256SUMS", Path.unlink),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_file_has_a_sentence(tmp_path, name, damage):
    """A run that trains on other data than it says, or a traceback of a reader."""
    source.prepare(Tiny, tmp_path)
    folder = tmp_path / "tiny" / "1.0.0"
    damage(folder / name)
    with pytest.raises(UserError, match="and run again, which makes the data set an"):
        source.prepare(Tiny, tmp_path)
    shutil.rmtree(folder)
    source.prepare(Tiny, tmp_path)


def test_examples_come_back_as_they_were_made(tmp_path):
    """Features would be of several examples, examples lost, or types changed."""
    builder = source.prepare(Tiny, tmp_path)
    for split, made in builder.arrays().items():
        examples = source.Source(builder, split)
        size = len(examples)
        numbers = examples.read(np.arange(size))["number"]
        np.testing.assert_array_equal(np.sort(numbers), np.arange(size))
        picked = np.array([size - 1, 0, 255, 256, 0])
        for name, array in examples.read(picked).items():
            assert array.dtype == made[name].dtype
            np.testing.assert_array_equal(array, made[name][numbers[picked]])


@pytest.mark.parametrize("name", workloads_ext.WORKLOADS)
def test_sizes(name, data_dir):
    """`num_*_examples` would not be the numbers of examples."""
    workload = base_class(name)
    assert {*workload.sizes} == {"train", "validation", "test"}
    for split, size in workload.sizes.items():
        arrays = read_all(name, split, data_dir)
        assert {len(array) for array in arrays.values()} == {size}


@pytest.mark.parametrize("name", ["", None])
def test_no_data_dir_raises(name):
    """Data would be written to wherever TFDS thinks fit."""
    with pytest.raises(ValueError, match="data_dir must be a folder, got"):
        source.prepare(Tiny, name)


def test_unwritable_data_dir_raises(tmp_path):
    """The user would see an error from deep inside, without the folder's name."""
    blocked = tmp_path / "a_file"
    blocked.touch()
    with pytest.raises(OSError, match=r"'tiny' in data_dir .*a_file"):
        source.prepare(Tiny, blocked)
