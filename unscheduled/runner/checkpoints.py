"""Checkpoints of a trial: everything that a resumed process needs to go on.

The backend writes the framework's part; this is the runner's: its progress, position
in the data, generators, clock, and how many rows of the CSV files count.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import remove, whole
from unscheduled.runner import digests, rules, seeds
from unscheduled.runner.backend import Backend, Ranks, TrainingState
from unscheduled.runner.clock import Clock


@dataclasses.dataclass
class Progress:
    """What the runner carries from step to step.

    train_state: as the rules have it, times in seconds.
    eval_results: (global step, metrics) of each evaluation.
    preemption_count: how often the trial was resumed.
    csv_rows: rows written to (measurements.csv, eval_measurements.csv).
    finished: whether the trial has ended and written its last rows.
    """

    train_state: dict[str, Any] = dataclasses.field(
        default_factory=rules.new_train_state
    )
    eval_results: list[tuple[int, dict[str, float]]] = dataclasses.field(
        default_factory=list
    )
    global_step: int = 0
    preemption_count: int = 0
    csv_rows: tuple[int, int] = (0, 0)
    finished: bool = False


class CountedQueue:
    """A workload's endless iterator of batches, counting those that are taken."""

    def __init__(self, queue: Iterator[dict[str, Any]]):
        self._queue = queue
        self.taken = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = next(self._queue)
        self.taken += 1
        return batch

    def skip(self, count: int) -> None:
        """Leaves out the next `count` batches, at once where the queue can `skip`."""
        skip = getattr(self._queue, "skip", None)
        if skip is not None:
            skip(count)
        else:
            for _ in range(count):
                next(self._queue)
        self.taken += count


class Checkpoints:
    """Saves and restores one trial; the first rank writes, and all read.

    Args:
      clock, queue: of the trial; they go on from where a restored one stopped.
      keep_all: whether to keep the older ones when a new one is whole.
    """

    def __init__(
        self,
        directory: TrialDirectory,
        backend: Backend,
        clock: Clock,
        queue: CountedQueue,
        ranks: Ranks,
        keep_all: bool,
    ):
        self._directory = directory
        self._backend = backend
        self._clock = clock
        self._queue = queue
        self._ranks = ranks
        self._keep_all = keep_all

    def save(self, state: TrainingState, progress: Progress) -> None:
        """Writes `checkpoint_<step>`, whole or not at all."""
        record = {
            # Not dataclasses.asdict, which copies every evaluation deeply.
            **vars(progress),
            "batches_taken": self._queue.taken,
            "clock_now": self._clock.now(),
            "global_generators": seeds.global_generator_states(),
            "framework_generators": self._backend.generator_state(),
        }
        if not self._ranks.is_first:
            return
        older = self._directory.checkpoints()
        path = self._directory.checkpoint(progress.global_step)
        try:
            with whole(path) as temporary:
                self._backend.save(temporary, state, record)
                digests.seal(temporary)
        except Exception as error:  # each format has its own
            raise UserError(
                f"{path} can't be written ({first_line(error)}); the checkpoints "
                "before it are whole: make room and go on with --resume_last_run."
            ) from error
        if not self._keep_all:
            for other in older:
                if other != path:
                    remove(other)

    def restore(self, state: TrainingState) -> tuple[TrainingState, Progress]:
        """Goes on from the newest checkpoint, or from the start where there is none.

        The state to restore over is freshly initialised.
        """
        path = self._ranks.from_first(self._newest)
        if path is None:
            return state, Progress()
        with _blaming(path, "is damaged"):
            digests.check(path)
        with _blaming(path, "can't be read"):
            state, record = self._backend.restore(path, state)
            if path != self._directory.checkpoint(record["global_step"]):
                raise ValueError(f"it is that of step {record['global_step']}")
            progress = Progress(
                train_state=dict(record["train_state"]),
                eval_results=[(step, dict(r)) for step, r in record["eval_results"]],
                global_step=record["global_step"],
                preemption_count=record["preemption_count"] + 1,
                csv_rows=tuple(record["csv_rows"]),
                finished=record["finished"],
            )
            batches_taken, clock_now = record["batches_taken"], record["clock_now"]
        self._queue.skip(batches_taken)  # may draw from the generators
        with _blaming(path, "can't be read"):
            seeds.restore_global_generators(record["global_generators"])
            self._backend.restore_generators(record["framework_generators"])
        shift = self._clock.resume(clock_now)
        if progress.train_state["last_eval_time"]:
            progress.train_state["last_eval_time"] += shift
        return state, progress

    def _newest(self) -> Path | None:
        """The newest checkpoint, once those half written are put right."""
        self._directory.recover()
        checkpoints = self._directory.checkpoints()
        return checkpoints[-1] if checkpoints else None


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
