"""A run that is killed, with a real SIGKILL, goes on as if nothing had happened."""

import csv
import signal
import time

import numpy as np
import pytest

from tests import warm
from unscheduled.benchmark.targets import read_target

pytestmark = pytest.mark.slow

LAST_STEP = 24
TIMEOUT_SEC = 300


def command(data_dir, experiment_dir, workload, framework, entry):
    return [
        "scripts/run.py",
        f"--workload={workload}",
        f"--framework={framework}",
        f"--submission_path=submissions/{entry}_{framework}/submission.py",
        "--tuning_ruleset=self",
        f"--data_dir={data_dir}",
        f"--experiment_dir={experiment_dir}",
        "--experiment_name=test",
        f"--clock=steps:{read_target(workload).eval_period_time_sec / 8}",
        f"--max_global_steps={LAST_STEP}",
        "--rng_seed=0",
        "--resume_last_run",
    ]


def run_to_the_end(arguments):
    result = warm.run(arguments, TIMEOUT_SEC)
    assert result.returncode == 0, result.stderr


def kill_when(arguments, output, happened):
    """Starts the run and kills it at the moment that `happened()` is true."""
    process = warm.start(arguments, output)
    end = time.monotonic() + TIMEOUT_SEC
    try:
        while not happened():
            assert process.is_alive(), f"it ended: {(output / 'err').read_text()}"
            assert time.monotonic() < end, "the moment did not come"
            time.sleep(0.0005)  # a save of these models takes milliseconds
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL


def measurements(trial):
    with open(trial / "eval_measurements.csv") as file:
        rows = list(csv.DictReader(file))
    # It counts the kills, and so must differ.
    return [{k: v for k, v in row.items() if k != "preemption_count"} for row in rows]


def arrays(checkpoint, framework):
    """All arrays of a checkpoint, by path."""
    if framework == "pytorch":
        import torch

        saved = torch.load(checkpoint, weights_only=True)
        tree = {k: saved[k] for k in ("model_params", "optimizer_state")}
    else:
        import orbax.checkpoint as ocp

        tree = ocp.PyTreeCheckpointer().restore(
            checkpoint / "arrays",
            restore_args=None,
        )
    found = {}

    def collect(path, value):
        if isinstance(value, dict):
            for key, item in value.items():
                collect((*path, key), item)
        elif isinstance(value, list | tuple):
            for key, item in enumerate(value):
                collect((*path, key), item)
        elif value is not None:
            found[path] = np.asarray(value)

    collect((), tree)
    return found


@pytest.mark.parametrize(
    ("workload", "framework", "entry"),
    [
        # Batch norm, augmentation, x and y; dropout and torch's global generator.
        ("digits_resnet", "jax", "schedule_free_adamw"),
        ("digits_resnet", "pytorch", "schedule_free_adamw"),
        ("stdlib_lm", "pytorch", "nadamw"),
    ],
)
def test_killed_runs_end_bit_for_bit_like_whole_ones(
    tmp_path, data_dir, workload, framework, entry
):
    """A moment at which a kill changes parameters, metrics, data order or keys."""
    broken = tmp_path / "broken" / "test" / f"{workload}_{framework}" / "trial_1"
    whole = tmp_path / "whole" / "test" / f"{workload}_{framework}" / "trial_1"
    run_to_the_end(command(data_dir, tmp_path / "whole", workload, framework, entry))
    arguments = command(data_dir, tmp_path / "broken", workload, framework, entry)

    def whole_checkpoints():
        return [p for p in broken.glob("checkpoint_*") if ".tmp" not in p.name]

    for happened in (
        lambda: (broken / "flags_0.json").exists(),  # there is no checkpoint
        lambda: len(whole_checkpoints()) >= 2,  # between evaluations
        lambda: list(broken.glob("checkpoint_*.tmp*")),  # in a save
    ):
        kill_when(arguments, tmp_path, happened)
    run_to_the_end(arguments)

    assert measurements(broken) == measurements(whole)
    assert len(measurements(whole)) >= 4
    name = f"checkpoint_{LAST_STEP}"
    ours, theirs = (arrays(trial / name, framework) for trial in (broken, whole))
    assert ours.keys() == theirs.keys()
    for path, value in theirs.items():
        np.testing.assert_array_equal(ours[path], value, err_msg=str(path))
    assert sum(value.size for value in theirs.values()) > 1000
