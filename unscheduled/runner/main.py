"""From flags to a finished run, with one sentence where it can't be."""

import functools
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rich.console import Console

from unscheduled.benchmark import embedded
from unscheduled.benchmark.errors import UserError
from unscheduled.runner import official, rules, search_space
from unscheduled.runner.backend import load_backend
from unscheduled.runner.clock import parse_clock
from unscheduled.runner.loop import Settings
from unscheduled.runner.profiler import Profiler
from unscheduled.runner.ranks import ALONE, Ranks
from unscheduled.runner.run_directory import (
    TrialDirectory,
    experiment_path,
    open_experiment,
)
from unscheduled.runner.submission import global_batch_sizes, load_submission
from unscheduled.runner.trials import Outcome, run_trials

INTERRUPTED = 130


def run(flags: Any) -> int:
    """Runs what the flags of `scripts/run.py` ask for; returns the exit status.

    With `--harness=official` it does not return: the official runner takes over.

    A mistake of the user's, or a mishap with files, is one sentence on standard error
    and status 1. With `--verbosity=1` its traceback comes too. Where torchrun has
    started several processes, the first to fail says why, and none waits for another
    that has ended.
    """
    ranks: Ranks = ALONE
    try:
        if flags.harness == "official":
            official.run(flags)
        _check_workload(flags)
        ranks = _join_ranks(flags.framework)
        _run(flags, ranks)
        ranks.leave()
    except (UserError, OSError) as error:
        if flags.verbosity > 0:
            logging.exception("The run failed.")
        return _fail(ranks, f"Error: {_sentence(error)}", 1)
    except KeyboardInterrupt:
        interrupted = "Interrupted; go on with --resume_last_run."
        return _fail(ranks, interrupted, INTERRUPTED)
    except Exception:
        if ranks.count == 1:
            raise
        return _fail(ranks, traceback.format_exc(), 1)
    return 0


def _check_workload(flags: Any) -> None:
    known = embedded.registry().WORKLOADS
    if flags.workload not in known:
        raise UserError(
            f"--workload must be one of {', '.join(known)}, got "
            f"{flags.workload!r}; official workloads need --harness=official."
        )


def _join_ranks(framework: str) -> Ranks:
    started_by_torchrun = "LOCAL_RANK" in os.environ
    return load_backend(framework).join_ranks() if started_by_torchrun else ALONE


def _fail(ranks: Ranks, text: str, status: int) -> int:
    if ranks.is_first_to_fail():  # what the others say follows from it
        print(text, file=sys.stderr)
    ranks.abandon(status)
    return status


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _run(flags: Any, ranks: Ranks) -> None:
    settings = _settings(flags, ranks)
    points, indices = _trials(flags)
    experiment = ranks.from_first(functools.partial(_open_experiment, flags))
    if flags.capture_jax_trace:
        settings.backend.start_trace(TrialDirectory(experiment).traces)
    outcomes = run_trials(
        settings,
        experiment,
        points,
        indices,
        flags.rng_seed,
        flags.flag_values_dict(),
        _start_wandb if flags.use_wandb else None,
    )
    if flags.capture_jax_trace:
        settings.backend.stop_trace()
    if ranks.is_first:
        _summarize(flags.workload, outcomes, settings.profiler)


def _open_experiment(flags: Any) -> Path:
    experiment = experiment_path(
        flags.experiment_dir,
        flags.experiment_name,
        flags.workload,
        flags.framework,
        flags.append_timestamp,
    )
    open_experiment(experiment, flags.resume_last_run, flags.overwrite)
    return experiment


def _settings(flags: Any, ranks: Ranks) -> Settings:
    try:
        clock = parse_clock(flags.clock, lambda: ranks.latest(time.time()))
    except ValueError as error:
        raise UserError(str(error)) from error
    workload = _load_workload(flags)
    submission = load_submission(flags.submission_path)
    backend = load_backend(flags.framework)
    batch_size, eval_batch_size = global_batch_sizes(
        submission, flags.workload, workload.eval_batch_size, backend.device_count()
    )
    test_dir = flags.imagenet_v2_data_dir
    return Settings(
        workload=workload,
        submission=submission,
        backend=backend,
        clock=clock,
        profiler=Profiler(flags.profile),
        global_batch_size=batch_size,
        global_eval_batch_size=eval_batch_size,
        data_dir=str(Path(flags.data_dir).expanduser()),
        budget_sec=rules.budget_sec(
            workload.max_allowed_runtime_sec, flags.tuning_ruleset
        ),
        imagenet_v2_data_dir=test_dir and str(Path(test_dir).expanduser()),
        torch_compile=flags.torch_compile,
        max_global_steps=flags.max_global_steps,
        save_checkpoints=flags.save_checkpoints,
        save_intermediate_checkpoints=flags.save_intermediate_checkpoints,
        skip_evals=flags.skip_evals,
        ranks=ranks,
    )


def _load_workload(flags: Any) -> Any:
    vocabulary = flags.librispeech_tokenizer_vocab_path
    extra = {"tokenizer_vocab_path": vocabulary} if vocabulary else {}
    workload: Any = embedded.registry().load(flags.workload, flags.framework, **extra)
    if hasattr(workload, "eval_num_workers"):
        workload.eval_num_workers = flags.pytorch_eval_num_workers
    return workload


def _trials(flags: Any) -> tuple[list[Any], range]:
    """The hyperparameters of all trials, and the indices of those to run."""
    if flags.tuning_ruleset == "self":
        if flags.tuning_search_space is not None:
            raise UserError("--tuning_search_space needs --tuning_ruleset=external.")
        return [None], range(1)
    if flags.tuning_search_space is None:
        raise UserError("--tuning_ruleset=external needs --tuning_search_space.")
    space = search_space.read_search_space(flags.tuning_search_space)
    points = search_space.trial_points(space, flags.num_tuning_trials)
    indices = range(len(points))[flags.hparam_start_index : flags.hparam_end_index]
    return points, indices


def _start_wandb(directory: TrialDirectory, hyperparameters: Any) -> Any:
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise UserError(
            "--use_wandb needs the package wandb: pip install wandb."
        ) from (error)
    config = hyperparameters._asdict() if hyperparameters else {}
    return wandb.init(dir=str(directory.path), config=config)


def _summarize(workload: str, outcomes: list[Outcome], profiler: Profiler) -> None:
    times = [o.time_to_target_sec for o in outcomes if o.time_to_target_sec is not None]
    best = f"{min(times):.2f} s" if times else "missed"
    Console().print(
        f"{workload}: time to the validation target {best}",
        highlight=False,
        soft_wrap=True,
    )
    if profiler.summary():
        print(profiler.summary())
