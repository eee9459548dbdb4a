"""Checkpoints of a trial: everything that a resumed process needs to go on.

The framework's part is written by the backend; this is the runner's: bookkeeping,
position in the data, generators, clock, and how many rows of the CSV files count.
"""

import dataclasses
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.runner import rules, seeds
from unscheduled.runner.backend import Backend, TrainingState
from unscheduled.runner.clock import Clock
from unscheduled.runner.input_queue import CountedQueue
from unscheduled.runner.ranks import Ranks
from unscheduled.runner.run_directory import TrialDirectory, remove


@dataclasses.dataclass
class Bookkeeping:
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
            self._backend.save(path, state, record)
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
          UserError: where the newest checkpoint can't be read.
        """
        path = self._ranks.from_first(self._newest)
        if path is None:
            return state, Bookkeeping()
        try:
            state, record = self._backend.restore(path, state)
        except Exception as error:  # each format has its own
            raise UserError(
                f"{path} can't be read ({first_line(error)}): remove it to go on from "
                "the checkpoint before it, or start anew with --overwrite."
            ) from error
        self._queue.skip(record["batches_taken"])
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
        """The newest checkpoint that is whole; what is not is removed."""
        self._directory.remove_unfinished()
        checkpoints = self._directory.checkpoints()
        return checkpoints[-1] if checkpoints else None
