"""`scripts/run.py` as a user meets it: what it prints, writes and refuses."""

import importlib
import importlib.util
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags

from tests import warm
from tests.runner import fakes
from unscheduled.benchmark.errors import UserError
from unscheduled.runner import main
from unscheduled.runner.official import give_batch_size
from unscheduled.runner.submission import global_batch_sizes
from workloads_ext.registry import ALL

WORKLOAD = "flights_dlrm"  # its steps take least, and what JAX compiles
REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SEC = 300


def arguments(tmp_path, data_dir, framework="pytorch", **flags):
    """Flags of a run of a few steps, changed or added to."""
    entry = f"submissions/schedule_free_adamw_{framework}/submission.py"
    values = {
        "workload": WORKLOAD,
        "framework": framework,
        "submission_path": entry,
        "tuning_ruleset": "self",
        "data_dir": data_dir,
        "experiment_dir": tmp_path,
        "experiment_name": "test",
        "clock": "steps:0.25",
        "max_global_steps": 2,
        "rng_seed": 0,
        **flags,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def run(*flags):
    return warm.run(["scripts/run.py", *flags], TIMEOUT_SEC)


def assert_one_sentence(result, *parts):
    """One line on standard error that says what is wrong, and a status of failure."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (
            {"workload": "imagenet_resnet"},
            [f"{', '.join(ALL)}, got 'imagenet_resnet'", "--harness=official"],
        ),
        ({"submission_path": "no/such.py"}, ["--submission_path", "'no/such.py'"]),
        ({"submission_path": "README.md"}, ["must be a Python file", "'README.md'"]),
        ({"submission_path": "unscheduled/spec.py"}, ["lacks init_optimizer_state"]),
        ({"clock": "step:1"}, ["--clock", "steps:SECONDS", "'step:1'"]),
        ({"tuning_ruleset": "external"}, ["needs --tuning_search_space"]),
        ({"tuning_search_space": "x.json"}, ["needs --tuning_ruleset=external"]),
        ({"num_tuning_trials": 2}, ["needs --tuning_ruleset=external"]),
        ({"hparam_start_index": 0}, ["needs --tuning_ruleset=external"]),
        ({"submission_path": "~no_such_user/x.py"}, ["~no_such_user/x.py: "]),
        ({"experiment_dir": "~no_such_user/x"}, ["~no_such_user/x: "]),
        ({"data_dir": "~no_such_user/x"}, ["~no_such_user/x: "]),
        ({"experiment_dir": "/proc/none"}, ["/proc/none"]),
        ({"data_dir": "/proc/none"}, ["/proc/none"]),
        ({"capture_jax_trace": True}, ["needs --framework=jax"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_each_mistake_has_one_sentence(tmp_path, data_dir, flags, parts):
    """A mistake that is a traceback, or that is passed over."""
    flags = {"data_dir": data_dir, **flags}
    assert_one_sentence(run(*arguments(tmp_path, **flags)), *parts)


@pytest.mark.parametrize(
    ("start", "end"),
    [(-1, None), (3, None), (5, None), (2, 2), (2, 1), (0, 4), (None, 0), (None, -1)],
)
def test_indices_that_select_no_trial_are_refused(tmp_path, start, end):
    """A run of no trial, or of another one than asked for, that ends at status 0."""
    values = flags.FlagValues()
    space = tmp_path / "space.json"
    space.write_text(json.dumps([{"lr": 1}, {"lr": 2}, {"lr": 3}]))
    flags.DEFINE_string("tuning_ruleset", "external", "", flag_values=values)
    flags.DEFINE_string("tuning_search_space", str(space), "", flag_values=values)
    flags.DEFINE_integer("num_tuning_trials", 3, "", flag_values=values)
    flags.DEFINE_integer("hparam_start_index", None, "", flag_values=values)
    flags.DEFINE_integer("hparam_end_index", None, "", flag_values=values)
    values.mark_as_parsed()
    assert main._trials(values)[1] == range(3)
    values.hparam_start_index, values.hparam_end_index = 1, 2
    assert main._trials(values)[1] == range(1, 2)
    values.hparam_start_index, values.hparam_end_index = start, end
    with pytest.raises(UserError, match="must be from 0 to 3, the number of trials"):
        main._trials(values)


ENTRY = """
from submissions.schedule_free_adamw_{framework} import submission
from submissions.schedule_free_adamw_{framework}.submission import *
import os, sys, time

def update_params(**arguments):
    {mishap}
    return submission.update_params(**arguments)
{at_import}
"""


def entry(tmp_path, mishap="pass", at_import="", framework="pytorch"):
    """A submission's file, which does something more."""
    path = tmp_path / "entry.py"
    path.write_text(
        ENTRY.format(mishap=mishap, at_import=at_import, framework=framework)
    )
    return path


@pytest.mark.parametrize(
    ("mishaps", "parts"),
    [
        ({"mishap": "os._exit(0)"}, ["ended before the run had", "os._exit(0)"]),
        ({"mishap": "sys.exit(0)"}, ["entry.py: update_params called sys.exit(0)"]),
        ({"at_import": "sys.exit()"}, ["entry.py: the import called sys.exit(None)"]),
        (
            {"at_import": "get_batch_size = lambda name: 500000"},
            [
                "entry.py: The training batch size must be between 1 and 260000",
                "500000",
            ],
        ),
    ],
    ids=lambda value: "".join(value.values()) if isinstance(value, dict) else "",
)
def test_what_a_submission_does_wrong_is_no_success(tmp_path, data_dir, mishaps, parts):
    """Status 0 without an outcome, or a traceback that does not name the submission."""
    flags = {"submission_path": entry(tmp_path, **mishaps)}
    assert_one_sentence(run(*arguments(tmp_path, data_dir, **flags)), *parts)
    assert not list(tmp_path.rglob("outcome.json"))


@pytest.mark.parametrize(
    "size", [0, -1, 2.0, "64", None, True, [64], 2**31, 10**400], ids=str
)
def test_a_batch_size_that_is_none_has_a_sentence(size):
    """A size that becomes an error somewhere inside, or an endless epoch of nothing."""
    submission = fakes.FakeSubmission(None).as_submission()
    for name in ("get_batch_size", "get_eval_batch_size"):
        wrong = submission._replace(**{name: lambda _: size})
        with pytest.raises(UserError, match=f"fake: {name} must return a whole number"):
            global_batch_sizes(wrong, "digits_resnet", 4, 1)


def test_an_embedded_workload_brings_its_batch_size(tmp_path, monkeypatch):
    """An entry that knows the official workloads only would not run on ours."""
    text = "def get_batch_size(name):\n    raise ValueError(name)\n"
    (tmp_path / "knows_none.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("knows_none")
    sizes = dict.fromkeys(
        ("get_batch_size", "get_eval_batch_size"), module.get_batch_size
    )
    submission = fakes.FakeSubmission(None).as_submission()._replace(**sizes)
    assert global_batch_sizes(submission, "digits_resnet", 4, 1) == (64, 4)
    give_batch_size("knows_none.py", "stdlib_lm")
    assert module.get_batch_size("stdlib_lm") == 16
    with pytest.raises(ValueError, match="mnist"):
        module.get_batch_size("mnist")


def test_what_a_submission_raises_is_shown_with_its_name(tmp_path, data_dir):
    """A traceback without the file and the function, or a name without a traceback."""
    flags = {"submission_path": entry(tmp_path, mishap="1 / 0")}
    result = run(*arguments(tmp_path, data_dir, **flags))
    assert result.returncode == 1
    *trace, last = result.stderr.splitlines()
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ZeroDivisionError: division by zero"
    assert last.startswith("Error: ")
    assert last.endswith(
        "entry.py: update_params failed with the ZeroDivisionError above."
    )


def test_a_clock_that_is_set_back_changes_no_time(tmp_path, data_dir):
    """A score an hour too small, and below zero, where the time of day was set."""
    mishap = "time.time = lambda: 0.0 if arguments['global_step'] else 1e9"
    flags = {"submission_path": entry(tmp_path, mishap), "clock": "wall"}
    result = run(*arguments(tmp_path, data_dir, max_global_steps=4, **flags))
    assert result.returncode == 0, result.stderr
    outcome = json.loads(next(tmp_path.rglob("outcome.json")).read_text())
    assert 0 < outcome["submission_time_sec"] < TIMEOUT_SEC


def test_ctrl_c_while_jax_compiles_ends_a_run_in_a_sentence(
    tmp_path, data_dir, monkeypatch
):
    """A crash, as the interpreter ends with JAX's threads still at work."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")  # so that it does compile
    process = subprocess.Popen(
        [sys.executable, "scripts/run.py", *arguments(tmp_path, data_dir, "jax")],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("test/*/trial_1")):  # the first step compiles next
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=TIMEOUT_SEC)
    assert (process.returncode, text) == (
        130,
        "Interrupted; go on with --resume_last_run.\n",
    )


def test_an_unknown_framework_is_refused(tmp_path, data_dir):
    """A framework that does not exist and that is a traceback."""
    result = run(*arguments(tmp_path, data_dir, framework="tf"))
    assert result.returncode == 1
    assert "--framework=tf: value should be one of <jax|pytorch>" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_key_in_a_search_space_is_refused(tmp_path, data_dir):
    """A misspelt hyperparameter that is silently left at its default."""
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"learning_rat": {"feasible_points": [0.1]}}))
    flags = {"tuning_ruleset": "external", "tuning_search_space": space}
    result = run(*arguments(tmp_path, data_dir, **flags))
    assert_one_sentence(result, "'learning_rat'", "learning_rate, one_minus_beta1")


@pytest.mark.skipif(
    importlib.util.find_spec("algoperf") is not None,
    reason="algoperf.spec imports both frameworks",
)
@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_only_the_framework_in_use_is_imported(tmp_path, data_dir, framework):
    """A run in one framework that loads, or needs, another."""
    code = """
import sys
from tests.runner import several_runs
several_runs.main([sys.argv[1:]])
print("imported:", *sorted({"torch", "jax", "tensorflow"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments(tmp_path, data_dir, framework)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=True,
    )
    name = {"pytorch": "torch", "jax": "jax"}[framework]
    assert result.stdout.splitlines()[-1] == f"imported: {name}"
    trial = tmp_path / "test" / f"{WORKLOAD}_{framework}" / "trial_1"
    files = {p.name.partition(".tfevents")[0] for p in trial.iterdir()}
    assert files == {
        "checkpoint_1",
        "checkpoint_2",
        "eval_measurements.csv",
        "events.out",
        "flags_0.json",
        "measurements.csv",
        "meta_data_0.json",
        "outcome.json",
    }
    meta = json.loads((trial / "meta_data_0.json").read_text())
    assert meta["workload.validation_target_value"] > 0
    flags = json.loads((trial / "flags_0.json").read_text())
    assert flags["max_global_steps"] == 2


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_a_truncated_checkpoint_has_one_sentence(tmp_path, data_dir, framework):
    """A broken checkpoint that is a traceback, or from which training starts anew."""
    flags = arguments(tmp_path, data_dir, framework)
    assert run(*flags).returncode == 0
    trial = tmp_path / "test" / f"{WORKLOAD}_{framework}" / "trial_1"
    (trial / "outcome.json").unlink()  # as if it had been killed at the very end
    checkpoint = trial / "checkpoint_2"
    if framework == "pytorch":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        for path in (checkpoint / "arrays").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:10])
    result = run(*flags, "--resume_last_run")
    assert_one_sentence(result, "checkpoint_2 is damaged", "remove it to go on")


def test_a_run_that_is_there_is_not_overwritten_by_accident(tmp_path, data_dir):
    """A second run that asks on a terminal that is not there, or takes the folder."""
    flags = arguments(tmp_path, data_dir)
    assert run(*flags).returncode == 0
    assert_one_sentence(run(*flags), "--resume_last_run", "--overwrite")
    assert run(*flags, "--overwrite").returncode == 0


def test_trials_take_the_points_of_the_search_space(tmp_path, data_dir):
    """External tuning whose trials all train alike, or do not tell with what."""
    space = tmp_path / "space.json"
    space.write_text(
        json.dumps({"learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"}})
    )
    flags = {
        "tuning_ruleset": "external",
        "tuning_search_space": space,
        "num_tuning_trials": 2,
        "profile": True,
        "save_checkpoints": False,
    }
    result = run(*arguments(tmp_path, data_dir, **flags))
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "test" / f"{WORKLOAD}_pytorch"
    rates = [
        json.loads((folder / f"trial_{n}" / "hparams.json").read_text())[
            "learning_rate"
        ]
        for n in (1, 2)
    ]
    assert rates[0] != rates[1]
    assert "trial 2: training complete at step 2" in result.stdout
    assert "Update parameters" in result.stdout  # --profile


def test_a_terminal_gets_a_line_that_moves(tmp_path, data_dir):
    """No sign of life for a user who waits, or control characters when piped."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "scripts/run.py", *arguments(tmp_path, data_dir)],
        cwd=REPOSITORY,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(slave)
    output = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the process has closed its end
            break
        output += chunk
    os.close(master)
    assert process.wait(timeout=TIMEOUT_SEC) == 0
    text = output.decode()
    assert "\x1b[" in text
    assert "loss" in text
    assert "s left" in text
    assert "validation target missed" in text


def test_compiled_models_run(tmp_path, data_dir):
    """--torch_compile that breaks the run or its checkpoints."""
    flags = arguments(tmp_path, data_dir, max_global_steps=1)
    result = run(*flags, "--torch_compile")
    assert result.returncode == 0, result.stderr
    trial = tmp_path / "test" / f"{WORKLOAD}_pytorch" / "trial_1"
    (trial / "outcome.json").unlink()  # so that the checkpoint is read
    resumed = run(*flags, "--resume_last_run")  # without: the checkpoint fits both
    assert resumed.returncode == 0, resumed.stderr
    assert "training complete at step 1" in resumed.stdout


def test_a_jax_trace_is_written(tmp_path, data_dir):
    """--capture_jax_trace that captures nothing."""
    flags = arguments(tmp_path, data_dir, "jax", max_global_steps=1)
    result = run(*flags, "--capture_jax_trace")
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "test").rglob("traces/**/*.xplane.pb"))


def test_wandb_has_to_be_there(tmp_path, data_dir):
    """--use_wandb that silently logs nothing where wandb is not installed."""
    try:
        import wandb  # noqa: F401
    except ModuleNotFoundError:
        result = run(*arguments(tmp_path, data_dir), "--use_wandb")
        assert_one_sentence(result, "pip install wandb")
    else:
        pytest.skip("wandb is installed")
