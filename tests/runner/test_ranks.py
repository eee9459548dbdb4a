"""Two ranks, or two devices, train like one; a rank that fails ends them all."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import xla
from unscheduled.benchmark.targets import read_target

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SEC = 600
STEPS = 6
CASES = [("schedule_free_adamw", "digits_resnet"), ("nadamw", "flights_dlrm")]
TWO_RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
# Sums over the batch in another order: 1e-7 of a loss in a step, growing with steps.
TOLERANCE = 1e-5


def arguments(folder, data_dir, framework, entry, workload, **flags):
    """Flags of a run, its experiment named after its entry, changed or added to."""
    values = {
        "workload": workload,
        "framework": framework,
        "submission_path": f"submissions/{entry}_{framework}/submission.py",
        "tuning_ruleset": "self",
        "data_dir": data_dir,
        "experiment_dir": folder,
        "experiment_name": entry,
        "clock": f"steps:{read_target(workload).eval_period_time_sec / 2}",
        "max_global_steps": STEPS,
        "rng_seed": 0,
        **flags,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def launch(*command, **environment):
    """Runs Python from the repository; a hang is an error."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )


def train_all(folder, data_dir, framework, more=(), launcher=(), **environment):
    """All cases, and more runs after them; returns the losses by case."""
    space = folder.parent / "space.json"
    # Which units a dropout drops depends on how the batch is divided.
    space.write_text(json.dumps([{"dropout_rate": 0.0}]))
    flags = {"tuning_ruleset": "external", "tuning_search_space": space}
    runs = [arguments(folder, data_dir, framework, *case, **flags) for case in CASES]
    every = [*runs, *more]
    # A launch for each run under torchrun: a second process group in one process was
    # seen to wait for ever for the first one's addresses.
    several = [Path(__file__).with_name("several_runs.py"), json.dumps(every)]
    apart = [[*launcher, "scripts/run.py", *run] for run in every]
    for command in apart if launcher else [several]:
        result = launch(*command, **environment)
        assert result.returncode == 0, result.stderr
    return {case: losses(folder, framework, *case) for case in CASES}


def losses(folder, framework, entry, workload):
    """All losses that a run has written, by place: step, file's row, name."""
    trial = folder / entry / f"{workload}_{framework}" / "trial_1"
    with open(trial / "measurements.csv") as file:
        rows = [*csv.DictReader(file)]
    return {
        (row["global_step"], name): float(value)
        for row in rows
        for name, value in row.items()
        if name.endswith("loss") and value
    }


def assert_same_losses(ours, theirs):
    for case, expected in theirs.items():
        assert ours[case].keys() == expected.keys()
        names = {name for _, name in expected}
        assert names == {"loss", "train/loss", "validation/loss", "test/loss"}
        assert len(expected) >= 1 + 3 * 2, "the logged loss, and two evaluations"
        for place, value in expected.items():
            np.testing.assert_allclose(
                ours[case][place], value, atol=TOLERANCE, err_msg=f"{case} {place}"
            )


def test_two_ranks_train_like_one(tmp_path, data_dir):
    """A batch, a gradient, a statistic or a metric that is not that of all ranks.

    And a checkpoint of one process that two can't go on with.
    """
    pytest.importorskip("torch")
    one, two = tmp_path / "one", tmp_path / "two"
    case = ("schedule_free_adamw", "digits_resnet")
    grown = arguments(tmp_path, data_dir, "pytorch", *case, experiment_name="grown")
    whole = arguments(tmp_path, data_dir, "pytorch", *case, experiment_name="whole")
    alone = train_all(
        one, data_dir, "pytorch", more=[whole, [*grown, "--max_global_steps=4"]]
    )
    (trial,) = tmp_path.glob("grown/*/trial_1")
    for end in ("checkpoint_4", "outcome.json"):
        (trial / end).unlink()  # as if it had been killed after step 3
    together = train_all(
        two,
        data_dir,
        "pytorch",
        more=[[*grown, "--resume_last_run"]],
        launcher=TWO_RANKS,
    )
    assert_same_losses(together, alone)
    after = losses(tmp_path, "pytorch", "grown", case[1])
    expected = losses(tmp_path, "pytorch", "whole", case[1])
    assert after.keys() == expected.keys()
    for place, value in expected.items():
        np.testing.assert_allclose(after[place], value, atol=TOLERANCE)
    files = [sorted(p.name for p in f.glob("*/*/trial_1/*_*")) for f in (one, two)]
    assert files[0] == files[1], "one rank alone writes"


def test_two_devices_of_jax_train_like_one(tmp_path, data_dir):
    """A mean over the part of a batch that one device has."""
    pytest.importorskip("jax")
    # Most of the time goes into compiling, which need not be for speed.
    quickly = "--xla_backend_optimization_level=0"
    one, two = (
        train_all(tmp_path / str(count), data_dir, "jax", **xla.devices(count, quickly))
        for count in (1, 2)
    )
    assert_same_losses(two, one)


FAILS = """
import os
import signal

from submissions.nadamw_pytorch.submission import *
from submissions.nadamw_pytorch import submission


def update_params(**arguments):
    if arguments["global_step"] == 2 and os.environ["RANK"] == "1":
        {mishap}
    return submission.update_params(**arguments)
"""


@pytest.mark.parametrize(
    ("mishap", "message"),
    [
        # The other rank may see that this one is gone, or be ended before it does.
        ("os.kill(os.getpid(), signal.SIGKILL)", None),
        ("raise ZeroDivisionError('of rank 1')", "ZeroDivisionError: of rank 1"),
        ("signal.raise_signal(signal.SIGINT)", "Interrupted; go on with --resume_l"),
    ],
    ids=["killed", "raises", "interrupted"],
)
def test_a_rank_that_ends_ends_the_others(tmp_path, data_dir, mishap, message):
    """A rank that waits for one that is gone, or that hides why it went."""
    pytest.importorskip("torch")
    submission = tmp_path / "submission.py"
    submission.write_text(FAILS.format(mishap=mishap))
    flags = {"submission_path": submission, "max_global_steps": 100}
    run = arguments(tmp_path, data_dir, "pytorch", "nadamw", "digits_resnet", **flags)
    result = launch(*TWO_RANKS, "scripts/run.py", *run)
    assert result.returncode != 0
    ours = result.stderr.partition("torch/distributed/elastic")[0]  # torchrun's own
    if message is None:
        assert ours.count("Traceback") == ours.count("RuntimeError: ") <= 1
        assert "(SIGKILL)" in result.stderr
    else:
        assert ours.count(message) == 1, result.stderr
        assert ours.count("Traceback") == ("Error" in message)
    assert not list(tmp_path.glob("*/*/trial_1/outcome.json"))


@pytest.mark.parametrize(
    ("framework", "ranks", "message"),
    [
        ("pytorch", 3, "Error: the global batch size 64 does not divide over 3 dev"),
        ("jax", 1, "Error: torchrun needs --framework=pytorch"),
    ],
)
def test_what_does_not_divide_has_a_sentence(
    tmp_path, data_dir, framework, ranks, message
):
    """A traceback a rank, or ranks that each train on everything."""
    pytest.importorskip("torch")
    run = arguments(tmp_path, data_dir, framework, "nadamw", "digits_resnet")
    launcher = [*TWO_RANKS[:-1], f"--nproc_per_node={ranks}"]
    result = launch(*launcher, "scripts/run.py", *run)
    assert result.returncode != 0
    assert result.stderr.count(message) == 1, result.stderr


RANKS_THAT_ECHO = """
import torch.distributed as dist
from tests.entries.test_echoing import Machine, train
from unscheduled.entries.pytorch.distributed import largest_over_ranks

dist.init_process_group("gloo")
machine = Machine([0.0, 3.0][dist.get_rank()])
echoing = machine.echoing(agree=lambda numbers: largest_over_ranks(numbers, "cpu"))
train(machine, echoing, 60)
assert echoing.count == 2, echoing.count
dist.destroy_process_group()
"""


def test_ranks_echo_as_often_as_the_slowest_one(tmp_path):
    """Ranks that use batches another number of times, and then wait for ever."""
    pytest.importorskip("torch")
    script = tmp_path / "ranks.py"
    script.write_text(RANKS_THAT_ECHO)
    result = launch(*TWO_RANKS, script, PYTHONPATH=str(REPOSITORY))
    assert result.returncode == 0, result.stderr
