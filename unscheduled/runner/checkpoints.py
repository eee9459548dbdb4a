"""Checkpoints of a trial: everything that a resumed process needs to go on."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.benchmark.read import open_regular, read_bytes
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import remove, whole
from unscheduled.runner import rules, seeds
from unscheduled.runner.backend import Backend, Ranks, TrainingState
from unscheduled.runner.rules import Clock
from unscheduled.runner.submission import EvalResults

SUMS = "SHA256SUMS"
_PREFIX = b"sha256:"
_COMMENT_SIZE = len(_PREFIX) + 64


@dataclass
class Progress:
    """What the runner carries from step to step."""

    train_state: dict[str, Any] = field(default_factory=rules.new_train_state)
    eval_results: EvalResults = field(default_factory=list)
    global_step: int = 0
    preemption_count: int = 0  # how often the trial was resumed
    csv_rows: tuple[int, ...] = (0, 0)  # of measurements.csv, eval_measurements.csv
    finished: bool = False  # has ended and written its last rows


class CountedQueue:
    """A workload's endless iterator of batches, counting those that are taken.

    Each takes `fetch_sec` on the clock to be made ready, while the submission goes on,
    from when the one before was taken: as from a slow disk, by a loader that holds one.
    """

    def __init__(self, queue: Any, clock: Clock, fetch_sec: float = 0.0):
        self._queue = queue  # an iterator
        self._clock, self._fetch_sec = clock, fetch_sec
        self.taken = 0
        # When the next one is, on the clock, which ranks read together.
        self.ready = clock.now() + fetch_sec if fetch_sec else 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._fetch_sec:
            self._clock.wait_until(self.ready)
        batch = next(self._queue)
        self.taken += 1
        if self._fetch_sec:
            self.ready = self._clock.now() + self._fetch_sec
        return batch

    def skip(self, count: int) -> None:
        """Leaves out the next `count` batches, at once where the queue can `skip`."""
        if hasattr(self._queue, "skip"):
            self._queue.skip(count)
        else:
            for _ in range(count):
                next(self._queue)
        self.taken += count


@dataclass
class Checkpoints:
    """Saves and restores one trial; the first rank writes, and all read."""

    directory: TrialDirectory
    backend: Backend
    clock: Clock  # it and the queue go on from where a restored trial stopped
    queue: CountedQueue
    ranks: Ranks
    keep_all: bool  # and not only the last that is whole

    def save(self, state: TrainingState, progress: Progress) -> None:
        """Writes `checkpoint_<step>`, whole or not at all."""
        record = {
            **vars(progress),
            "batches_taken": self.queue.taken,
            "batch_ready": self.queue.ready,
            "clock_now": self.clock.now(),
            "global_generators": seeds.global_generator_states(),
            "framework_generators": self.backend.generator_state(),
        }
        if not self.ranks.is_first:
            return
        older = self.directory.checkpoints()
        path = self.directory.checkpoint(progress.global_step)
        try:
            with whole(path) as temporary:
                self.backend.save(temporary, state, record)
                seal(temporary)
        except Exception as error:  # each format has its own
            raise UserError(
                f"{path} can't be written ({first_line(error)}): is the disk full? The "
                "checkpoints before it are whole: go on with --resume_last_run."
            ) from error
        for other in older:
            if not self.keep_all and other != path:
                remove(other)

    def restore(self, state: TrainingState) -> tuple[TrainingState, Progress]:
        """Goes on from the newest checkpoint, if any, over a fresh state."""
        self.ranks.from_first(self.directory.recover)
        paths = self.ranks.from_first(self.directory.checkpoints)
        if not paths:
            return state, Progress()
        path = paths[-1]
        with _blaming(path, "is damaged"):
            check_digest(path)
        with _blaming(path, "can't be read"):
            state, record = self.backend.restore(path, state)
            if path != self.directory.checkpoint(record["global_step"]):
                raise ValueError(f"it is that of step {record['global_step']}")
            progress = Progress(**{name: record[name] for name in vars(Progress())})
            progress.eval_results = [(n, dict(r)) for n, r in progress.eval_results]
            progress.csv_rows = tuple(progress.csv_rows)
            progress.preemption_count += 1
            batches_taken, clock_now = record["batches_taken"], record["clock_now"]
            batch_ready = record["batch_ready"]
        self.queue.skip(batches_taken)  # may draw from the generators
        with _blaming(path, "can't be read"):
            seeds.restore_global_generators(record["global_generators"])
            self.backend.restore_generators(record["framework_generators"])
        shift = self.clock.resume(clock_now)
        self.queue.ready = batch_ready + shift
        if progress.train_state["last_eval_time"]:
            progress.train_state["last_eval_time"] += shift
        return state, progress


@contextlib.contextmanager
def _blaming(path: Path, what: str) -> Iterator[None]:
    """Turns whatever goes wrong with a checkpoint into a sentence."""
    try:
        yield
    except Exception as error:  # each format has its own
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        reason = lacks + first_line(error).rstrip(".")
        raise UserError(
            f"{path} {what} ({reason}): remove it to go on from the checkpoint before "
            "it, or start anew with --overwrite."
        ) from error


def seal(path: Path) -> None:
    """Adds its digest to a checkpoint that has none yet, so that damage is found.

    A zip file, as `torch.save` writes it, has it as its zip comment; a folder, as orbax
    writes it, a list for `sha256sum --check`. Other tools still read both.
    """
    if path.is_dir():
        (path / SUMS).write_bytes(_sums(path))
        return
    with open(path, "r+b") as file:
        file.seek(-2, 2)  # a zip file ends with the size of its comment, and that
        file.write(_COMMENT_SIZE.to_bytes(2, "little"))
    comment = _PREFIX + _sha256(path).encode()
    with open(path, "ab") as file:
        file.write(comment)


def check_digest(path: Path) -> None:
    if path.is_dir():
        is_whole = read_bytes(path / SUMS) == _sums(path)
    else:
        size = path.stat().st_size - _COMMENT_SIZE
        with open_regular(path) as file:
            file.seek(max(size, 0))
            is_whole = file.read() == _PREFIX + _sha256(path, size).encode()
    if not is_whole:
        raise ValueError("it is not what was written, by its digest")


def _sums(folder: Path) -> bytes:
    files = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    names = sorted(str(p.relative_to(folder)) for p in files)
    lines = (f"{_sha256(folder / n)}  {n}\n" for n in names if n != SUMS)
    return "".join(lines).encode()


def _sha256(path: Path, size: float = float("inf")) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while size > 0 and (chunk := file.read(int(min(size, 1 << 20)))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
