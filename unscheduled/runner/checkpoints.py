"""Checkpoints of a trial: everything that a resumed process needs to go on.

The framework's part is written by the backend; this is the runner's: bookkeeping,
position in the data, generators, clock, and how many rows of the CSV files count.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import remove, whole
from unscheduled.runner import digests, seeds
from unscheduled.runner.backend import Backend, TrainingState
from unscheduled.runner.clock import Clock
from unscheduled.runner.input_queue import CountedQueue
from unscheduled.runner.ranks import Ranks
from unscheduled.runner.records import Bookkeeping, check_record


class Checkpoints:
    """Saves and restores one trial.

    Args:
      directory: the trial's.
      backend: writes and reads the framework's part.
      clock: of the run; goes on from where a restored trial stopped.
      queue: the training data; moved to where a restored trial stopped.
      ranks: of which the first writes, and all read.
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

    def save(self, state: TrainingState, books: Bookkeeping) -> None:
        """Writes `checkpoint_<step>`, whole or not at all.

        Raises:
          UserError: where it can't be written; the older ones are untouched.
        """
        record = {
            # Not dataclasses.asdict, which copies every evaluation deeply.
            **vars(books),
            "batches_taken": self._queue.taken,
            "clock_now": self._clock.now(),
            "global_generators": seeds.global_generator_states(),
            "framework_generators": self._backend.generator_state(),
        }
        if not self._ranks.is_first:
            return
        older = self._directory.checkpoints()
        path = self._directory.checkpoint(books.global_step)
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

    def restore(self, state: TrainingState) -> tuple[TrainingState, Bookkeeping]:
        """Goes on from the newest checkpoint, or from the start where there is none.

        Args:
          state: freshly initialised.

        Raises:
          UserError: where the newest checkpoint is damaged or does not fit.
        """
        path = self._ranks.from_first(self._newest)
        if path is None:
            return state, Bookkeeping()
        with _blaming(path, "is damaged"):
            digests.check(path)
        with _blaming(path, "can't be read"):
            state, record = self._backend.restore(path, state)
            check_record(record)
            if path != self._directory.checkpoint(record["global_step"]):
                raise ValueError(f"it is that of step {record['global_step']}")
        self._queue.skip(record["batches_taken"])  # may draw from the generators
        with _blaming(path, "can't be read"):
            seeds.restore_global_generators(record["global_generators"])
            self._backend.restore_generators(record["framework_generators"])
        books = Bookkeeping(
            train_state=dict(record["train_state"]),
            eval_results=[(step, dict(r)) for step, r in record["eval_results"]],
            global_step=record["global_step"],
            preemption_count=record["preemption_count"] + 1,
            csv_rows=tuple(record["csv_rows"]),
            finished=record["finished"],
        )
        shift = self._clock.resume(record["clock_now"])
        if books.train_state["last_eval_time"]:
            books.train_state["last_eval_time"] += shift
        return state, books

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
