"""The training loop of one trial: steps and evaluations on the clock of the rules."""

import dataclasses
from types import MappingProxyType
from typing import Any

from unscheduled import spec
from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.runner import rules, seeds
from unscheduled.runner.backend import Backend, TrainingState
from unscheduled.runner.checkpoints import Checkpoints
from unscheduled.runner.clock import Clock
from unscheduled.runner.input_queue import CountedQueue
from unscheduled.runner.measurements import Logger, as_numbers
from unscheduled.runner.profiler import Profiler
from unscheduled.runner.progress import ProgressLine
from unscheduled.runner.ranks import ALONE, Ranks
from unscheduled.runner.run_directory import TrialDirectory
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
        self._hyperparameters = hyperparameters
        self._random = settings.backend.random
        seeds.seed_global_generators(seed)
        settings.backend.start_trial(seed)
        data_rng, optimizer_rng, model_rng, self._rng = self._random.split(
            self._random.key(seed), 4
        )
        profile = settings.profiler.section
        with profile("Initializing dataset"):
            self._queue = CountedQueue(self._build_queue(data_rng))
        with profile("Initializing model"):
            params, model_state = settings.workload.init_model_fn(model_rng)
            params = settings.backend.compile_model(params, settings.torch_compile)
        with profile("Initializing optimizer"):
            self._state = self._init_state(params, model_state, optimizer_rng)
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
            prepare_rng, eval_rng = self._step()
            progress.step(books.global_step, self._submission_time, logger.last)
            if self._evaluation_due():
                self._prepare_for_eval(prepare_rng)
                if train_state["is_time_remaining"]:
                    self._evaluate(eval_rng)
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

    def _build_queue(self, rng: Any) -> Any:
        settings = self._settings
        try:
            return settings.workload._build_input_queue(
                rng,
                "train",
                data_dir=settings.data_dir,
                global_batch_size=settings.global_batch_size,
            )
        except ValueError as error:  # of the batch size
            raise UserError(f"{settings.submission.path}: {error}") from error

    def _init_state(self, params: Any, model_state: Any, rng: Any) -> TrainingState:
        function, submission = "init_optimizer_state", self._settings.submission
        with calling(submission.path, function):
            try:
                optimizer_state = submission.init_optimizer_state(
                    self._settings.workload,
                    params,
                    model_state,
                    self._hyperparameters,
                    rng,
                )
            except ValueError as error:
                raise UserError(f"{submission.path}: {error}") from error
        state = TrainingState(optimizer_state, params, model_state)
        fault = self._settings.backend.fault(state, state)
        if fault:
            raise self._wrong(function, fault, optimizer_state)
        return state

    def _step(self) -> tuple[Any, Any]:
        """One timed step; returns the keys of (prepare_for_eval, evaluation)."""
        settings, profile = self._settings, self._settings.profiler.section
        step_rng = self._random.fold_in(self._rng, self.books.global_step)
        select_rng, update_rng, prepare_rng, eval_rng = self._random.split(step_rng, 4)
        with profile("Data selection"):
            batch = self._select(select_rng)
        extra = {}
        if settings.submission.takes_train_state:
            extra["train_state"] = MappingProxyType(self.books.train_state)
        with (
            profile("Update parameters"),
            calling(settings.submission.path, "update_params"),
        ):
            try:
                returned = settings.submission.update_params(
                    **self._api_arguments(), batch=batch, rng=update_rng, **extra
                )
            except spec.TrainingCompleteError:
                self.books.train_state["training_complete"] = True
                returned = self._state
        self._state = self._taken("update_params", returned)
        self.books.global_step += 1
        if rules.steps_exhausted(self.books.global_step, settings.max_global_steps):
            self.books.train_state["training_complete"] = True
        settings.backend.synchronize()
        settings.clock.step_done()
        self._spend(settings.clock.now() - self.books.train_state["last_step_end_time"])
        return prepare_rng, eval_rng

    def _select(self, rng: Any) -> Any:
        function, submission = "data_selection", self._settings.submission
        with calling(submission.path, function):
            batch = submission.data_selection(
                self._settings.workload,
                self._queue,
                self._state.optimizer_state,
                self._state.model_params,
                self._state.model_state,
                self._hyperparameters,
                self.books.global_step,
                rng,
            )
        if not isinstance(batch, dict | tuple | list):
            raise self._wrong(function, "must return a batch", batch)
        return batch

    def _taken(self, function: str, returned: Any) -> TrainingState:
        """What update_params or prepare_for_eval returned, if it is a state."""
        if not isinstance(returned, tuple | list) or len(returned) != 3:
            expected = "must return (optimizer_state, model_params, model_state)"
            raise self._wrong(function, expected, returned)
        state = TrainingState(*returned)
        fault = self._settings.backend.fault(state, self._state)
        if fault:
            raise self._wrong(function, fault, returned)
        return state

    def _wrong(self, function: str, expected: str, returned: Any) -> UserError:
        path = self._settings.submission.path
        kind = type(returned).__name__
        if isinstance(returned, tuple | list):
            kind += f" of {', '.join(type(item).__name__ for item in returned)}"
        return UserError(f"{path}: {function} {expected}, got {kind}.")

    def _api_arguments(self) -> dict[str, Any]:
        """What update_params and prepare_for_eval both take."""
        workload = self._settings.workload
        return {
            "workload": workload,
            "current_param_container": self._state.model_params,
            "current_params_types": workload.model_params_types,
            "model_state": self._state.model_state,
            "hyperparameters": self._hyperparameters,
            "loss_type": workload.loss_type,
            "optimizer_state": self._state.optimizer_state,
            "eval_results": self.books.eval_results,
            "global_step": self.books.global_step,
        }

    def _spend(self, seconds: float) -> None:
        self.books.train_state["accumulated_submission_time"] += seconds

    def _evaluation_due(self) -> bool:
        return not self._settings.skip_evals and rules.evaluation_due(
            self._settings.clock.now(),
            self.books.train_state["last_eval_time"],
            self._settings.workload.eval_period_time_sec,
            self.books.train_state["training_complete"],
        )

    def _prepare_for_eval(self, rng: Any) -> None:
        """Timed; then tells whether the budget still allows the evaluation."""
        settings = self._settings
        start = settings.clock.now()
        if settings.submission.prepare_for_eval is not None:
            with (
                settings.profiler.section("Prepare for eval"),
                calling(settings.submission.path, "prepare_for_eval"),
            ):
                returned = settings.submission.prepare_for_eval(
                    **self._api_arguments(), rng=rng
                )
            self._state = self._taken("prepare_for_eval", returned)
        # What was only dispatched so far is the submission's time, not evaluation's.
        settings.backend.wait_for(self._state)
        self._spend(settings.clock.now() - start)
        self.books.train_state["is_time_remaining"] = rules.is_time_remaining(
            self._submission_time, settings.budget_sec
        )

    def _evaluate(self, rng: Any) -> None:
        """Untimed: metrics, targets, bookkeeping."""
        settings, clock = self._settings, self._settings.clock
        start, what = clock.now(), f"the evaluation at step {self.books.global_step}"
        with settings.profiler.section("Evaluation"):
            try:
                results = settings.workload.eval_model(
                    settings.global_eval_batch_size,
                    self._state.model_params,
                    self._state.model_state,
                    rng,
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
