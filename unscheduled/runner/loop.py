"""The training loop of one trial: steps and evaluations on the clock of the rules."""

import dataclasses
import functools
from typing import Any

from unscheduled import spec
from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.runner import rules, seeds
from unscheduled.runner.backend import Backend
from unscheduled.runner.checkpoints import Checkpoints
from unscheduled.runner.clock import Clock
from unscheduled.runner.driver import Driver
from unscheduled.runner.input_queue import CountedQueue
from unscheduled.runner.measurements import Logger, as_numbers
from unscheduled.runner.profiler import Profiler
from unscheduled.runner.progress import ProgressLine
from unscheduled.runner.ranks import ALONE, Ranks
from unscheduled.runner.submission import Submission, SubmissionError, calling


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is fixed for all trials of a run.

    data_dir and imagenet_v2_data_dir are folders, batch sizes global, the budget in
    seconds of submission time.
    """

    workload: spec.Workload
    submission: Submission
    backend: Backend
    clock: Clock
    profiler: Profiler
    global_batch_size: int
    global_eval_batch_size: int
    data_dir: str
    budget_sec: float
    imagenet_v2_data_dir: str | None = None
    torch_compile: bool | None = None
    max_global_steps: int | None = None
    save_checkpoints: bool = True
    save_intermediate_checkpoints: bool = True
    skip_evals: bool = False
    ranks: Ranks = ALONE


class Trial:
    """One trial: its state, and how it steps, evaluates, saves and goes on.

    Args:
      settings: the run's.
      directory: where the trial writes.
      hyperparameters: None in self-tuning, else a namedtuple.
      seed: the trial's own.

    Raises:
      UserError: where the submission refuses the hyperparameters or returns what is
        no optimizer state, or a checkpoint can't be read.
    """

    def __init__(
        self,
        settings: Settings,
        directory: TrialDirectory,
        hyperparameters: Any,
        seed: int,
    ):
        self._settings = settings
        seeds.seed_global_generators(seed)
        settings.backend.start_trial(seed)
        self._driver = Driver(
            settings.submission,
            settings.workload,
            settings.backend.random,
            hyperparameters,
            seed,
            calling=functools.partial(calling, settings.submission.path),
            fault=settings.backend.fault,
        )
        profile = settings.profiler.section
        with profile("Initializing dataset"):
            self._queue = CountedQueue(self._build_queue())
        with profile("Initializing model"):
            model = settings.workload.init_model_fn(self._driver.model_rng)
            params = settings.backend.compile_model(model[0], settings.torch_compile)
        with profile("Initializing optimizer"):
            self._state = self._driver.init(params, model[1])
        self._checkpoints = Checkpoints(
            directory,
            settings.backend,
            settings.clock,
            self._queue,
            settings.ranks,
            keep_all=settings.save_intermediate_checkpoints,
        )
        self._state, self.books = self._checkpoints.restore(self._state)

    def run(self, logger: Logger, progress: ProgressLine) -> None:
        """Trains until a rule ends it; writes measurements and checkpoints.

        All ranks ask the clock and reduce their metrics at the same points, so that
        all decide the same.
        """
        books, clock = self.books, self._settings.clock
        train_state = books.train_state
        if self._settings.ranks.is_first:
            self._settings.workload.attach_metrics_logger(logger)
        train_state["last_step_end_time"] = clock.now()
        while rules.keep_training(train_state):
            self._step()
            progress.step(books.global_step, self._submission_time, logger.last)
            if self._evaluation_due():
                self._prepare_for_eval()
                if train_state["is_time_remaining"]:
                    self._evaluate()
                    self._log_and_save(logger)
                    progress.evaluation(
                        books.global_step, self._submission_time, logger.last
                    )
            train_state["last_step_end_time"] = clock.now()
        logger.append_scalar_metrics(
            {"score": self._submission_time}, books.global_step, books.preemption_count
        )
        books.finished = True
        self._save(logger)

    @property
    def _submission_time(self) -> float:
        return self.books.train_state["accumulated_submission_time"]

    def _build_queue(self) -> Any:
        settings = self._settings
        try:
            return settings.workload._build_input_queue(
                self._driver.data_rng,
                "train",
                data_dir=settings.data_dir,
                global_batch_size=settings.global_batch_size,
            )
        except UserError:  # of the data
            raise
        except ValueError as error:  # of the batch size
            raise UserError(f"{settings.submission.path}: {error}") from error

    def _step(self) -> None:
        """One timed step."""
        settings, books = self._settings, self.books
        profile = settings.profiler.section
        with profile("Data selection"):
            batch = self._driver.select(self._queue, self._state, books.global_step)
        with profile("Update parameters"):
            try:
                self._state = self._driver.update(
                    self._state,
                    batch,
                    books.global_step,
                    books.eval_results,
                    books.train_state,
                )
            except spec.TrainingCompleteError:
                books.train_state["training_complete"] = True
        books.global_step += 1
        if rules.steps_exhausted(books.global_step, settings.max_global_steps):
            books.train_state["training_complete"] = True
        settings.backend.synchronize()
        settings.clock.step_done()
        self._spend(settings.clock.now() - books.train_state["last_step_end_time"])

    def _spend(self, seconds: float) -> None:
        self.books.train_state["accumulated_submission_time"] += seconds

    def _evaluation_due(self) -> bool:
        return not self._settings.skip_evals and rules.evaluation_due(
            self._settings.clock.now(),
            self.books.train_state["last_eval_time"],
            self._settings.workload.eval_period_time_sec,
            self.books.train_state["training_complete"],
        )

    def _prepare_for_eval(self) -> None:
        """Timed; then tells whether the budget still allows the evaluation."""
        settings = self._settings
        start = settings.clock.now()
        with settings.profiler.section("Prepare for eval"):
            self._state = self._driver.prepare(
                self._state, self.books.global_step, self.books.eval_results
            )
        # What was only dispatched so far is the submission's time, not evaluation's.
        settings.backend.wait_for(self._state)
        self._spend(settings.clock.now() - start)
        self.books.train_state["is_time_remaining"] = rules.is_time_remaining(
            self._submission_time, settings.budget_sec
        )

    def _evaluate(self) -> None:
        """Untimed: metrics, targets, bookkeeping."""
        settings, clock = self._settings, self._settings.clock
        start, what = clock.now(), f"the evaluation at step {self.books.global_step}"
        with settings.profiler.section("Evaluation"):
            try:
                results = settings.workload.eval_model(
                    settings.global_eval_batch_size,
                    self._state.model_params,
                    self._state.model_state,
                    self._driver.eval_rng(self.books.global_step),
                    settings.data_dir,
                    settings.imagenet_v2_data_dir,
                    self.books.global_step,
                )
            except (RuntimeError, MemoryError) as error:
                raise UserError(f"{what} failed: {first_line(error)}") from error
            except (UserError, OSError):
                raise
            except Exception as error:
                kind = type(error).__name__
                raise SubmissionError(
                    f"{settings.submission.path}: {what} failed with the {kind} above."
                ) from error
        results = as_numbers(results)
        state, workload = self.books.train_state, settings.workload
        state["validation_goal_reached"] |= workload.has_reached_validation_target(
            results
        )
        state["test_goal_reached"] |= workload.has_reached_test_target(results)
        end = clock.now()
        state["last_eval_time"] = end
        state["accumulated_eval_time"] += end - start
        results["score"] = self._submission_time
        results["total_duration"] = (
            self._submission_time
            + state["accumulated_eval_time"]
            + state["accumulated_logging_time"]
        )
        for name in ("submission", "eval", "logging"):
            results[f"accumulated_{name}_time"] = state[f"accumulated_{name}_time"]
        self.books.eval_results.append((self.books.global_step, results))

    def _log_and_save(self, logger: Logger) -> None:
        books, start = self.books, self._settings.clock.now()
        logger.append_scalar_metrics(
            books.eval_results[-1][1],
            books.global_step,
            books.preemption_count,
            is_eval=True,
        )
        self._save(logger)
        books.train_state["accumulated_logging_time"] += (
            self._settings.clock.now() - start
        )

    def _save(self, logger: Logger) -> None:
        self.books.csv_rows = logger.rows
        if self._settings.save_checkpoints:
            self._checkpoints.save(self._state, self.books)
