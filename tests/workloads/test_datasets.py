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
from tests.workloads.helpers import base_class
from unscheduled.benchmark.errors import UserError
from workloads_ext.common import source
from workloads_ext.digits_resnet import workload as digits
from workloads_ext.stdlib_lm import workload as python_stdlib


@pytest.fixture(params=workloads_ext.WORKLOADS)
def builder_and_sizes(request, data_dir):
    workload = base_class(request.param)
    return source.prepare(workload.dataset, data_dir), workload.sizes


def read_all(builder, split):
    split_source = source.Source(builder, split, cache=False)
    return split_source.read(np.arange(len(split_source)))


def test_made_once(data_dir, monkeypatch):
    """Every run would spend seconds on making its data again."""
    source.prepare(digits.Digits, data_dir)
    monkeypatch.setattr(source, "_make", None)
    source.prepare(digits.Digits, data_dir)


def test_nothing_is_printed(tmp_path, capfd):
    """Progress bars would break the one line that the runner shows."""
    source.prepare(digits.Digits, tmp_path)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_two_builds_are_equal(tmp_path, data_dir):
    """Two machines would train on data in different orders."""
    first = read_all(source.prepare(digits.Digits, data_dir), "train")
    second = read_all(source.prepare(digits.Digits, tmp_path), "train")
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


PREPARE = """
import random, sys
import numpy as np
from workloads_ext.common import source
from workloads_ext.digits_resnet import workload as digits

random.seed(1)
np.random.seed(1)
source.prepare(digits.Digits, sys.argv[1])
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
    waiting = "Waiting for another process that makes the data set 'digits'.\n"
    assert {err for _, err in results} <= {"", waiting}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits", "digits.lock"]


def test_one_waits_for_the_other_and_says_so(tmp_path, capfd):
    """A run that makes what another is about to finish, or that waits in silence."""
    lock = tmp_path / "digits.lock"
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=source.prepare, args=(digits.Digits, tmp_path))
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive()
        assert not (tmp_path / "digits").exists()
    thread.join(timeout=60)
    assert (tmp_path / "digits").exists()
    assert "Waiting for another process that makes" in capfd.readouterr().err


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("digits-train.array_record-00000-of-00001", flip_a_bit),
        ("digits-test.array_record-00000-of-00001", Path.unlink),
        ("digits-validation.array_record-00000-of-00001", lambda p: os.truncate(p, 99)),
        ("dataset_info.json", lambda path: path.write_text("{")),
        ("features.json", flip_a_bit),
        ("SHA256SUMS", lambda path: path.write_bytes(b"")),
        ("SHA256SUMS", lambda path: path.write_bytes(b"\xff\n")),
        ("SHA256SUMS", Path.unlink),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_file_has_a_sentence(tmp_path, data_dir, name, damage):
    """A run that trains on other data than it says, or a traceback of a reader."""
    source.prepare(digits.Digits, data_dir)
    shutil.copytree(Path(data_dir, "digits"), tmp_path / "digits")
    folder = tmp_path / "digits" / "1.0.0"
    damage(folder / name)
    with pytest.raises(UserError, match="and run again, which makes the data set an"):
        source.prepare(digits.Digits, tmp_path)
    shutil.rmtree(folder)
    source.prepare(digits.Digits, tmp_path)


def test_sizes(builder_and_sizes):
    """`num_*_examples` would not be the numbers of examples."""
    builder, sizes = builder_and_sizes
    found = {s: len(source.Source(builder, s, cache=False)) for s in sizes}
    assert found == sizes


def test_cache_reads_the_same(builder_and_sizes):
    """The cached and the uncached split would hold different examples."""
    builder, sizes = builder_and_sizes
    indices = np.array([3, 0, sizes["validation"] - 1])
    cached = source.Source(builder, "validation", cache=True).read(indices)
    uncached = source.Source(builder, "validation", cache=False).read(indices)
    for name, array in cached.items():
        assert array.dtype == uncached[name].dtype
        np.testing.assert_array_equal(array, uncached[name])


def test_digits_splits_are_disjoint_and_stratified(data_dir):
    """Test images would be trained on, or a digit would be missing from a split."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    builder = source.prepare(digits.Digits, data_dir)
    splits = {split: read_all(builder, split) for split in digits.SIZES}
    labels = np.concatenate([split["label"] for split in splits.values()])
    images = np.concatenate([split["image"] for split in splits.values()])
    original = sklearn_datasets.load_digits()

    def rows(images, labels):
        flat = images.reshape(len(images), -1).astype(int)
        return sorted(map(tuple, np.column_stack([flat, labels]).tolist()))

    assert rows(images, labels) == rows(original.images, original.target)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(np.bincount(splits[split]["label"]), [30] * 10)
    assert images.dtype == np.uint8


def test_modules_are_in_one_split_each():
    """Files would be cut over splits, and the model tested on what it has seen."""
    names = list(python_stdlib.module_paths())
    assert names == sorted(set(names))
    assert {python_stdlib.module_split(name) for name in names} == set(
        python_stdlib.SIZES
    )
    assert python_stdlib.module_split("enum.py") == "validation"
    assert python_stdlib.module_split("doctest.py") == "test"
    foreign = {"test", "tests", "site-packages"}
    assert not [name for name in names if foreign & set(name.split("/"))]


def test_windows_cover_a_module():
    """Bytes would be predicted twice or never."""
    content = bytes(range(256)) * 2
    windows = python_stdlib.module_windows(content)
    length = python_stdlib.SEQ_LEN
    assert windows.shape == ((len(content) - 1) // length, length + 1)
    predicted = windows[:, 1:].ravel()
    np.testing.assert_array_equal(
        predicted, np.frombuffer(content, np.uint8)[1 : 1 + len(predicted)]
    )
    assert len(python_stdlib.module_windows(b"short")) == 0


def test_splits_of_the_library_hold_its_text(data_dir):
    """The model would be trained on something else than source code."""
    builder = source.prepare(python_stdlib.PythonStdlib, data_dir)
    corpus = {}
    for name, path in python_stdlib.module_paths().items():
        split = python_stdlib.module_split(name)
        corpus[split] = corpus.get(split, b"") + path.read_bytes()
    for split in ("validation", "test"):
        texts = [row.tobytes() for row in read_all(builder, split)["text"]]
        assert all(text in corpus[split] for text in texts)


def test_library_data_belong_to_one_python(data_dir):
    """Data made by Python 3.11 would silently serve a run in 3.13."""
    builder = source.prepare(python_stdlib.PythonStdlib, data_dir)
    version = ".".join(map(str, sys.version_info[:3]))
    assert builder.data_path.parent.name == f"python{version}"


@pytest.mark.parametrize("name", ["", None])
def test_no_data_dir_raises(name):
    """Data would be written to wherever TFDS thinks fit."""
    with pytest.raises(ValueError, match="data_dir must be a folder, got"):
        source.prepare(digits.Digits, name)


def test_unwritable_data_dir_raises(tmp_path):
    """The user would see an error from deep inside, without the folder's name."""
    blocked = tmp_path / "a_file"
    blocked.touch()
    with pytest.raises(OSError, match=r"'digits' in data_dir .*a_file"):
        source.prepare(digits.Digits, blocked)


def test_a_library_without_sources_raises(tmp_path, monkeypatch):
    """A Python without its sources would give an empty data set."""
    monkeypatch.setattr(python_stdlib.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(OSError, match=r"fill only 0 of \d+ train examples"):
        python_stdlib._split_windows("train")
