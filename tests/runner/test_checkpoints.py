"""Checkpoints are trusted only where they are, to the bit, what was written."""

import contextlib
import os
import random
import shutil
import subprocess
import zipfile

import numpy as np
import pytest

from tests.runner.fakes import HandClock
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import whole
from unscheduled.runner import rules
from unscheduled.runner.backend import ALONE, TrainingState, load_backend
from unscheduled.runner.checkpoints import (
    Checkpoints,
    CountedQueue,
    Progress,
    check_digest,
    seal,
)

STEP = 30


def new_state(framework, size=3):
    """A small state: parameters, moments and, in JAX, statistics."""
    if framework == "pytorch":
        torch = pytest.importorskip("torch")
        model = torch.nn.Linear(size, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        model(torch.ones(size)).sum().backward()
        optimizer.step()
        return TrainingState({"optimizer": optimizer}, model, None)
    jax = pytest.importorskip("jax")
    values = jax.random.normal(jax.random.key(0), (size,))
    return TrainingState(({"mu": values}, None), {"w": values}, {"mean": values})


class Recording:
    """A backend that changes each record that it saves, and keeps it.

    Args:
      backend: the real one.
      change: of the record, in place.
    """

    def __init__(self, backend, change):
        self._backend, self._change = backend, change

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def save(self, path, state, record):
        self._change(record)
        self.record = record
        self._backend.save(path, state, record)


class Saved:
    """A trial with one checkpoint."""

    def __init__(self, folder, framework, change=lambda record: None):
        self.framework = framework
        self.path = folder / f"checkpoint_{STEP}"
        self.backend = Recording(load_backend(framework), change)
        self.checkpoints = Checkpoints(
            TrialDirectory(folder),
            self.backend,
            HandClock(),
            CountedQueue(iter(np.random.random, None), rules.StepsClock(1.0)),
            ALONE,
            keep_all=True,
        )
        train_state = {**rules.new_train_state(), "last_step_end_time": 2.5}
        results = [(STEP, {"score": 1.5, "validation/loss": float("nan")})]
        progress = Progress(train_state, results, STEP, 1, (2, 1))
        self.checkpoints.queue.skip(3)
        self.checkpoints.save(new_state(framework), progress)

    def files(self):
        return sorted(p for p in [self.path, *self.path.rglob("*")] if p.is_file())

    def restore(self, size=3):
        return self.checkpoints.restore(new_state(self.framework, size))

    def assert_refused(self, what, size=3):
        with pytest.raises(UserError) as caught:
            self.restore(size)
        sentence = str(caught.value)
        assert sentence.startswith(f"{self.path} {what}"), sentence
        assert "remove it to go on from the checkpoint before it" in sentence
        assert "\n" not in sentence


@pytest.fixture(params=["pytorch", "jax"])
def framework(request):
    return request.param


@pytest.fixture
def saved(tmp_path, framework):
    return Saved(tmp_path, framework)


@contextlib.contextmanager
def flipped(path, place, bit):
    """A file with one bit flipped, in place: a new file would wait for the disk."""
    with open(path, "r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, place)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
        yield
        os.pwrite(file.fileno(), bytes([byte]), place)


def test_a_flipped_bit_anywhere_is_found(saved):
    """A checkpoint with other numbers in it that loads without a word."""
    rng = random.Random(0)
    for path in saved.files():
        size = path.stat().st_size
        ends = [*range(0, min(30, size), 5), *range(max(0, size - 80), size, 5)]
        for place in [*ends, *(rng.randrange(size) for _ in range(20))]:
            with flipped(path, place, rng.randrange(8)):
                assert_found(saved.path)
        with flipped(path, size // 2, 0):
            saved.assert_refused("is damaged (")
    saved.restore()


def assert_found(path):
    with pytest.raises((ValueError, UserError)):
        check_digest(path)


def test_every_byte_of_a_file_counts(tmp_path):
    """A part of the zip file, such as a name or padding, that no digest covers."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "checkpoint"
    torch.save({"a": torch.ones(2)}, path)
    seal(path)
    check_digest(path)
    for place in range(path.stat().st_size):
        with flipped(path, place, place % 8):
            assert_found(path)
    check_digest(path)


def test_a_missing_end_or_file_is_found(saved):
    """A checkpoint cut off where a disk was full, or copied in part."""
    rng = random.Random(0)
    for path in saved.files():
        data = path.read_bytes()
        # The comment with the digest has 71 bytes: without it, the zip file is whole.
        sizes = {0, len(data) - 1, len(data) - 71, rng.randrange(max(1, len(data)))}
        for size in sizes - {len(data), *range(-71, 0)}:
            path.write_bytes(data[:size])
            saved.assert_refused("is damaged (")
        path.write_bytes(data + b"\0")
        saved.assert_refused("is damaged (")
        if path != saved.path:
            path.unlink()
            saved.assert_refused("is damaged (")
        path.write_bytes(data)
    saved.restore()


def test_swapped_pieces_are_found(tmp_path, framework):
    """A piece of one checkpoint that is read as part of another, or one for another."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = Saved(tmp_path / "one", framework)
    two = Saved(tmp_path / "two", framework, lambda record: record.update(clock_now=3))
    for path in one.files():
        other = two.path / path.relative_to(one.path)
        data = path.read_bytes()
        if framework == "pytorch":
            half = len(data) // 2
            path.write_bytes(data[:half] + other.read_bytes()[half:])
        elif other.exists() and other.read_bytes() != data:
            shutil.copy(other, path)
        else:
            path.rename(path.with_name("renamed"))
        one.assert_refused("is damaged (")
        path.with_name("renamed").unlink(missing_ok=True)
        path.write_bytes(data)
    one.restore()
    one.path.rename(one.path.with_name(f"checkpoint_{STEP + 1}"))
    one.path = one.path.with_name(f"checkpoint_{STEP + 1}")
    one.assert_refused(f"can't be read (it is that of step {STEP})")


@pytest.mark.parametrize("kind", ["pipe", "folder", "file", "dangling link", "device"])
def test_another_thing_in_its_place_has_one_sentence(saved, kind):
    """A run that waits for a pipe for ever, or a traceback."""
    for path in saved.files()[::5]:
        for place in {path, saved.path}:
            aside = place.rename(saved.path.parent / "aside")
            if kind == "pipe":
                os.mkfifo(place)
            elif kind == "folder":
                place.mkdir()
            elif kind == "file":
                place.touch()
            else:
                place.symlink_to({"device": "/dev/zero"}.get(kind, "nowhere"))
            saved.assert_refused("is damaged (")
            place.rmdir() if kind == "folder" else place.unlink()
            aside.rename(place)
    saved.restore()


def test_they_stay_what_other_tools_read(saved):
    """A digest that makes a checkpoint unreadable to torch, zip or orbax."""
    if saved.framework == "pytorch":
        import torch

        assert torch.load(saved.path, weights_only=True)["global_step"] == STEP
        torch.load(saved.path, weights_only=True, mmap=True)
        with zipfile.ZipFile(saved.path) as archive:
            assert archive.testzip() is None
            assert archive.comment.startswith(b"sha256:")
        return
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        assert [*checkpointer.restore(saved.path)] == ["arrays", "record"]
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=saved.path, check=True)


def rewrite(saved, change):
    """Saves the trial's checkpoint again, as another program might: with a digest."""
    Saved(saved.path.parent, saved.framework, change)


def test_a_record_without_a_key_has_one_sentence(saved):
    """A KeyError in mid-run, from a checkpoint of another version."""
    for name in [*saved.backend.record]:
        rewrite(saved, lambda record, name=name: record.pop(name))
        saved.assert_refused(f"can't be read (it lacks '{name}')")


def test_a_checkpoint_of_another_model_has_one_sentence(saved):
    """A submission changed between runs, and a page of errors."""
    saved.assert_refused("can't be read (", size=4)


@pytest.mark.parametrize("part", ["model_params", "optimizer_state", "model_state"])
def test_a_checkpoint_without_a_part_has_one_sentence(saved, part):
    """As for records, for what the framework's part is made of."""
    if saved.framework == "pytorch":
        import torch

        content = torch.load(saved.path, weights_only=True)
        content.pop(part)
        with whole(saved.path) as temporary:
            torch.save(content, temporary)
            seal(temporary)
        saved.assert_refused(f"can't be read (it lacks '{part}')")
        return
    state = new_state("jax")
    empty = ({}, None) if part == "optimizer_state" else {}
    with whole(saved.path) as temporary:
        saved.backend.save(
            temporary, state._replace(**{part: empty}), saved.backend.record
        )
        seal(temporary)
    saved.assert_refused("can't be read (")


def test_what_was_saved_comes_back(saved):
    """A check that changes what it guards, or generators that the data draws from."""
    drawn = np.random.random()
    state, progress = saved.restore()
    assert np.random.random() == drawn
    expected = new_state(saved.framework)
    assert progress.eval_results[0][0] == STEP
    assert np.isnan(progress.eval_results[0][1]["validation/loss"])
    assert (progress.preemption_count, progress.csv_rows) == (2, (2, 1))
    if saved.framework == "jax":
        np.testing.assert_array_equal(
            state.model_params["w"], expected.model_params["w"]
        )
