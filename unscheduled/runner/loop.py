"""The training loop of one trial: steps and evaluations on the clock of the rules."""

import contextlib
import dataclasses
import functools
from typing import Any

from rich.console import Console

from unscheduled import spec
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import write_json
from unscheduled.runner import logs, machine, rules, seeds
from unscheduled.runner.backend import ALONE, Backend, Ranks
from unscheduled.runner.checkpoints import Checkpoints, CountedQueue
from unscheduled.runner.submission import Driver, Submission, calling


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is fixed for all trials of a run; the budget is of submission time."""

    workload: spec.Workload
    submission: Submission
    backend: Backend
    clock: rules.Clock
    profiler: logs.Profiler
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
    fetch_sec: float = 0.0
    use_wandb: bool = False
    ranks: Ranks = ALONE


@dataclasses.dataclass
class Trial:
    """One trial: its state, and how it steps, evaluates, saves and goes on."""

    settings: Settings
    directory: TrialDirectory
    hyperparameters: Any  # None in self-tuning, else a namedtuple
    seed: int

    def __post_init__(self):
        settings = self.settings
        self._logger: logs.MetricsLogger | None = None  # which the first rank has
        seeds.seed_global_generators(self.seed)
        settings.backend.start_trial(self.seed)
        self._driver = Driver(
            settings.submission,
            settings.workload,
            settings.backend.random,
            self.hyperparameters,
            self.seed,
            calling=functools.partial(calling, settings.submission.path),
            fault=settings.backend.fault,
        )
        profile = settings.profiler.section
        with profile("Initializing dataset"):
            queue = self._build_queue()
            self._queue = CountedQueue(queue, settings.clock, settings.fetch_sec)
        with profile("Initializing model"):
            model = settings.workload.init_model_fn(self._driver.model_rng)
            params = settings.backend.compile_model(model[0], settings.torch_compile)
        with profile("Initializing optimizer"):
            self._state = self._driver.init(params, model[1])
        self._checkpoints = Checkpoints(
            self.directory,
            settings.backend,
            settings.clock,
            self._queue,
            settings.ranks,
            keep_all=settings.save_intermediate_checkpoints,
        )
        self._state, self.progress = self._checkpoints.restore(self._state)

    def run(self, flags: dict[str, Any], console: Console) -> None:
        """Trains until a rule ends it; writes meta data, measurements, checkpoints.

        All ranks ask the clock and reduce their metrics at the same points, so that
        all decide the same.
        """
        settings, directory, progress = self.settings, self.directory, self.progress
        line = logs.StatusLine(settings.workload, settings.budget_sec, console)
        with contextlib.ExitStack() as stack:
            if settings.ranks.is_first:
                count, software = progress.preemption_count, settings.backend.describe()
                meta_data = machine.describe(settings.workload, self.seed, software)
                write_json(directory.meta_data(count), meta_data)
                write_json(directory.flags(count), flags)
                wandb_run = None
                if settings.use_wandb:
                    wandb_run = logs.start_wandb(directory, self.hyperparameters)
                rows = progress.csv_rows
                self._logger = logs.MetricsLogger(directory, rows, wandb_run)
                stack.callback(self._logger.finish)
                settings.workload.attach_metrics_logger(self._logger)
            self._train(stack.enter_context(line))

    def _train(self, line: logs.StatusLine) -> None:
        settings, train_state = self.settings, self.progress.train_state
        clock = settings.clock
        train_state["last_step_end_time"] = clock.now()
        while rules.keep_training(train_state):
            self._step()
            self._show(line, keep=False)
            if not settings.skip_evals and rules.evaluation_due(
                clock.now(),
                train_state["last_eval_time"],
                settings.workload.eval_period_time_sec,
                train_state["training_complete"],
            ):
                self._prepare_for_eval()
                if train_state["is_time_remaining"]:
                    results = self._evaluate()
                    start = clock.now()
                    self._log(results, is_eval=True)
                    self._save()
                    train_state["accumulated_logging_time"] += clock.now() - start
                    self._show(line, keep=True)
            train_state["last_step_end_time"] = clock.now()
        self._log({"score": self._submission_time})
        self.progress.finished = True
        self._save()

    def _show(self, line: logs.StatusLine, keep: bool) -> None:
        if self._logger is not None:
            step, seconds = self.progress.global_step, self._submission_time
            line.update(step, seconds, self._logger.last, keep)

    def _log(self, metrics: dict[str, Any], is_eval: bool = False) -> None:
        if self._logger is not None:
            counts = self.progress.global_step, self.progress.preemption_count
            self._logger.append_scalar_metrics(metrics, *counts, is_eval)
            self.progress.csv_rows = self._logger.rows

    @property
    def _submission_time(self) -> float:
        return self.progress.train_state["accumulated_submission_time"]

    def _build_queue(self) -> Any:
        settings = self.settings
        try:
            return settings.workload._build_input_queue(
                self._driver.data_rng,
                "train",
                data_dir=settings.data_dir,
                global_batch_size=settings.global_batch_size,
            )
        except ValueError as error:
            if isinstance(error, UserError):  # of the data, not the batch size
                raise
            raise UserError(f"{settings.submission.path}: {error}") from error

    def _step(self) -> None:
        settings, progress = self.settings, self.progress
        train_state, step = progress.train_state, progress.global_step
        profile = settings.profiler.section
        with profile("Data selection"):
            batch = self._driver.select(self._queue, self._state, step)
        with profile("Update parameters"):
            try:
                self._state = self._driver.update(
                    self._state, batch, step, progress.eval_results, train_state
                )
            except spec.TrainingCompleteError:
                train_state["training_complete"] = True
        progress.global_step += 1
        if rules.steps_exhausted(progress.global_step, settings.max_global_steps):
            train_state["training_complete"] = True
        settings.backend.synchronize()
        settings.clock.step_done()
        seconds = settings.clock.now() - train_state["last_step_end_time"]
        train_state["accumulated_submission_time"] += seconds

    def _prepare_for_eval(self) -> None:
        """Timed; then tells whether the budget still allows the evaluation."""
        settings, progress = self.settings, self.progress
        train_state, start = progress.train_state, settings.clock.now()
        with settings.profiler.section("Prepare for eval"):
            self._state = self._driver.prepare(
                self._state, progress.global_step, progress.eval_results
            )
        # What was only dispatched so far is the submission's time, not evaluation's.
        settings.backend.wait_for(self._state)
        train_state["accumulated_submission_time"] += settings.clock.now() - start
        train_state["is_time_remaining"] = rules.is_time_remaining(
            self._submission_time, settings.budget_sec
        )

    def _evaluate(self) -> dict[str, Any]:
        settings, progress = self.settings, self.progress
        workload, clock, step = settings.workload, settings.clock, progress.global_step
        train_state, start = progress.train_state, clock.now()
        with (
            settings.profiler.section("Evaluation"),
            calling(settings.submission.path, f"the evaluation at step {step}"),
        ):
            results = workload.eval_model(
                settings.global_eval_batch_size,
                self._state.model_params,
                self._state.model_state,
                self._driver.eval_rng(step),
                settings.data_dir,
                settings.imagenet_v2_data_dir,
                step,
            )
        results = logs.as_numbers(results)
        train_state["validation_goal_reached"] |= (
            workload.has_reached_validation_target(results)
        )
        train_state["test_goal_reached"] |= workload.has_reached_test_target(results)
        end = clock.now()
        train_state["last_eval_time"] = end
        train_state["accumulated_eval_time"] += end - start
        times = {k: v for k, v in train_state.items() if k.startswith("accumulated_")}
        total = sum(times.values())
        results |= {"score": self._submission_time, "total_duration": total, **times}
        progress.eval_results.append((step, results))
        return results

    def _save(self) -> None:
        if self.settings.save_checkpoints:
            self._checkpoints.save(self._state, self.progress)
