"""The language model of the standard library."""

import sys

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import EVAL, load, prepare, read_all, to_numpy
from workloads_ext.stdlib_lm import workload as python_stdlib


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_predicts_the_next_byte_from_those_before_it(framework, data_dir):
    """The model would see the byte that it has to predict, or predict another one."""
    lm = load("stdlib_lm", framework)
    batch = next(lm.queue("test", data_dir))
    inputs, targets = (to_numpy(batch[name]) for name in ("inputs", "targets"))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    before, _ = lm.model(batch, EVAL)
    for first in (1, 40, 63):

        def change(arrays, first=first):
            arrays["inputs"][:, first:] = (arrays["inputs"][:, first:] + 1) % 256

        after, _ = lm.model(lm.edited(batch, change), EVAL)
        np.testing.assert_allclose(before[:, :first], after[:, :first], atol=1e-5)
        assert (np.abs(before - after)[:, first:].max(-1) > 1e-3).all()


def test_perplexity_is_the_exponential_of_the_loss(data_dir):
    """The metric would not be what its name says."""
    results = load("stdlib_lm", "pytorch").evaluate_split("test", data_dir)
    assert results["ppl"] == pytest.approx(np.exp(results["loss"]))


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
    corpus = {}
    for name, path in python_stdlib.module_paths().items():
        split = python_stdlib.module_split(name)
        corpus[split] = corpus.get(split, b"") + path.read_bytes()
    for split in ("validation", "test"):
        texts = [
            row.tobytes() for row in read_all("stdlib_lm", split, data_dir)["text"]
        ]
        assert all(text in corpus[split] for text in texts)


def test_library_data_belong_to_one_python(data_dir):
    """Data made by Python 3.11 would silently serve a run in 3.13."""
    builder = prepare("stdlib_lm", data_dir)
    version = ".".join(map(str, sys.version_info[:3]))
    assert builder.data_path.parent.name == f"python{version}"


def test_a_library_without_sources_raises(tmp_path, monkeypatch):
    """A Python without its sources would give an empty data set."""
    monkeypatch.setattr(python_stdlib.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(OSError, match=r"fill only 0 of \d+ train examples"):
        python_stdlib._split_windows("train")
