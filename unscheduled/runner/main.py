"""From flags to a finished run, with one sentence where it can't be."""

import contextlib
import math
import os
import time
import traceback
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.run_files import experiment_path, open_experiment
from unscheduled.runner import embedded, logs, official, rules, search_space, submission
from unscheduled.runner.backend import ALONE, Ranks, load_backend
from unscheduled.runner.loop import Settings
from unscheduled.runner.trials import run_trials

_EXTERNAL_TUNING_ONLY = (
    "tuning_search_space",
    "num_tuning_trials",
    "hparam_start_index",
    "hparam_end_index",
)


def run(flags: Any) -> int:
    """Runs what the flags of `commands/run.py` ask for; returns the exit status.

    A mistake of the user's, or a mishap with files, is one sentence on standard error.
    With `--verbosity=1`, or where submitted code failed, its traceback comes too. Where
    torchrun has started several processes, the first to fail says why, and none waits
    for another that has ended.
    """
    ranks = ALONE
    try:
        if flags.harness == "official":
            official.run(flags)
        known = embedded.registry().ALL
        if flags.workload not in known:
            raise UserError(
                f"--workload must be one of {', '.join(known)}, got "
                f"{flags.workload!r}; official workloads need --harness=official."
            )
        if "LOCAL_RANK" in os.environ:  # started by torchrun
            ranks = load_backend(flags.framework).join_ranks()
        _run(flags, ranks)
        ranks.leave()
        return 0
    except (UserError, OSError) as error:
        trace = []
        if flags.verbosity > 0:
            trace = traceback.format_exception(error)
        elif isinstance(error, submission.SubmissionError):
            trace = traceback.format_exception(error.__cause__)
        return ranks.fail(f"{''.join(trace)}Error: {error}", 1)
    except KeyboardInterrupt:
        return ranks.fail("Interrupted; go on with --resume_last_run.", 130)
    except Exception:
        if ranks.count == 1:
            raise
        return ranks.fail(traceback.format_exc(), 1)


def _run(flags: Any, ranks: Ranks) -> None:
    points, indices = _trials(flags)
    settings = _settings(flags, ranks)
    path = experiment_path(
        flags.experiment_dir,
        flags.experiment_name,
        flags.workload,
        flags.framework,
        flags.append_timestamp,
    )
    experiment = ranks.from_first(
        lambda: open_experiment(path, flags.resume_last_run, flags.overwrite)
    )
    tracing = contextlib.nullcontext()
    if flags.capture_jax_trace:
        tracing = settings.backend.trace(experiment / "traces")
    with tracing:
        given = flags.flag_values_dict()
        run_trials(settings, experiment, points, indices, flags.rng_seed, given)
    if ranks.is_first and flags.profile:
        print(settings.profiler.summary())


def _settings(flags: Any, ranks: Ranks) -> Settings:
    # From here, where all ranks are at the same time: each machine has its own origin.
    start = time.monotonic()
    clock = rules.parse_clock(
        flags.clock, lambda: ranks.latest(time.monotonic() - start)
    )
    workload = embedded.registry().load(
        flags.workload, flags.framework, scale=flags.scale
    )
    with submission.calling(flags.submission_path, "the import"):
        entry = submission.load_submission(flags.submission_path)
    backend = load_backend(flags.framework)
    if not math.isfinite(flags.fetch_sec):
        raise UserError(f"--fetch_sec must be a finite number, got {flags.fetch_sec}.")
    batch_size, eval_batch_size = submission.global_batch_sizes(
        entry, flags.workload, workload.eval_batch_size, backend.device_count()
    )
    test_dir = flags.imagenet_v2_data_dir
    budget_sec = ruleset(flags.tuning_ruleset).budget_sec
    return Settings(
        workload=workload,
        submission=entry,
        backend=backend,
        clock=clock,
        profiler=logs.Profiler(flags.profile),
        global_batch_size=flags.scale * batch_size,
        global_eval_batch_size=eval_batch_size,
        data_dir=str(expand(flags.data_dir)),
        budget_sec=budget_sec(workload.max_allowed_runtime_sec),
        imagenet_v2_data_dir=test_dir and str(expand(test_dir)),
        ranks=ranks,
        torch_compile=flags.torch_compile,
        max_global_steps=flags.max_global_steps,
        save_checkpoints=flags.save_checkpoints,
        save_intermediate_checkpoints=flags.save_intermediate_checkpoints,
        skip_evals=flags.skip_evals,
        fetch_sec=flags.fetch_sec,
        use_wandb=flags.use_wandb,
    )


def _trials(flags: Any) -> tuple[list[Any], range]:
    if flags.tuning_ruleset == "self":
        for name in _EXTERNAL_TUNING_ONLY:
            if flags[name].value != flags[name].default:
                raise UserError(f"--{name} needs --tuning_ruleset=external.")
        return [None], range(1)
    if flags.tuning_search_space is None:
        raise UserError("--tuning_ruleset=external needs --tuning_search_space.")
    space = search_space.read_search_space(flags.tuning_search_space)
    points = search_space.trial_points(space, flags.num_tuning_trials)
    start, end = flags.hparam_start_index or 0, flags.hparam_end_index
    end = len(points) if end is None else end
    if not 0 <= start < end <= len(points):
        raise UserError(
            "--hparam_start_index and --hparam_end_index must be from 0 to "
            f"{len(points)}, the number of trials, with the start before the end, got "
            f"{start} and {end}."
        )
    return points, range(start, end)
