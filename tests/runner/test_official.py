"""`--harness=official`: what it hands to the official runner, and what it refuses."""

import csv
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.test_command import assert_one_sentence
from unscheduled.benchmark.run_files import open_experiment
from workloads_ext.registry import ALL

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SEC = 600
ENTRY = "submissions/nadamw_pytorch/submission.py"

# A stand-in: the official code as far as ours touches it.
# pip's record of a package that is not there, as far as the check of versions reads it.
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
REQUIRES = """Requires-Dist: numpy
Requires-Dist: numpy==0.1; extra == "ogbg"
Requires-Dist: algoperf[wmt]; extra == "full"
Requires-Dist: torchvision==0.20.1; extra == "pytorch-cpu"
Requires-Dist: no_such_package==3; extra == "wmt"
Provides-Extra: wmt
Provides-Extra: ogbg
"""
STAND_IN = {
    "algoperf-0.6.0.dist-info/METADATA": METADATA.format("algoperf", "0.6.0")
    + REQUIRES,
    "torchvision-0.20.1.dist-info/METADATA": METADATA.format("torchvision", "0.20.1"),
    "importlib_resources-7.dist-info/METADATA": METADATA.format(
        "importlib_resources", "7"
    ),
    "tensorflow_metadata-1.17.2.dist-info/METADATA": METADATA.format(
        "tensorflow-metadata", "1.17.2"
    ),
    "algoperf/__init__.py": "",
    "algoperf/spec.py": "from unscheduled.benchmark.spec_mirror import *",
    "algoperf/workloads/__init__.py": "",
    "algoperf/workloads/workloads.py": "WORKLOADS = {'mnist': {}}",
    "submission_runner.py": """
import importlib.util, json, os, sys
from algoperf.workloads.workloads import WORKLOADS

if __name__ == "__main__":
    importlib.import_module("submissions.nadamw_pytorch")
    json.dump(
        {
            "flags": sys.argv[1:],
            "workloads": WORKLOADS,
            "folder": os.getcwd(),
            "found": importlib.util.find_spec(
                "algoperf.workloads.digits_resnet.digits_resnet_jax.workload"
            ).origin,
        },
        sys.stdout,
    )
""",
}


@pytest.fixture
def stand_in(tmp_path):
    """The folder of an official code that only tells what it was given."""
    folder = tmp_path / "official"
    for name, text in STAND_IN.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(*flags, path="", cwd=REPOSITORY, **environment):
    """`scripts/run.py` of this checkout, with a folder before it on the import path."""
    path = os.pathsep.join(filter(None, [str(path), str(REPOSITORY)]))
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "run.py"), *flags],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )


def arguments(tmp_path, **flags):
    values = {
        "harness": "official",
        "workload": "mnist",
        "framework": "pytorch",
        "submission_path": ENTRY,
        "experiment_dir": tmp_path / "runs",
        "experiment_name": "test",
        **flags,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_flags_that_are_given_are_passed_on_and_no_others(tmp_path, stand_in):
    """A default of ours that takes the place of an official one, or a lost flag."""
    more = ["--notorch_compile", "--max_global_steps=3", "--rng_seed=7", "--overwrite"]
    more += ["--data_dir=~/data", "--tuning_ruleset=self", "--verbosity=1"]
    result = run(*arguments(tmp_path), *more, path=stand_in)
    assert result.returncode == 0, result.stderr
    given = json.loads(result.stdout)
    expected = [flag for flag in arguments(tmp_path) if "harness" not in flag]
    assert sorted(given["flags"]) == sorted(expected + more)


def test_paths_are_those_of_the_folder_it_was_started_in(tmp_path, stand_in):
    """A submission or a folder that is looked for somewhere else."""
    flags = arguments(
        tmp_path, submission_path=REPOSITORY / ENTRY, experiment_dir="runs"
    )
    result = run(*flags, path=stand_in, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    given = json.loads(result.stdout)
    assert f"--submission_path={ENTRY}" in given["flags"]
    assert f"--experiment_dir={tmp_path / 'runs'}" in given["flags"]
    assert given["folder"] == str(tmp_path)


def test_the_embedded_workloads_are_in_the_official_registry(tmp_path, stand_in):
    """A workload of ours that the official runner does not know or does not find."""
    result = run(*arguments(tmp_path, workload="stdlib_lm"), path=stand_in)
    assert result.returncode == 0, result.stderr
    given = json.loads(result.stdout)
    assert given["workloads"]["mnist"] == {}
    assert given["workloads"]["digits_resnet"] == {
        "workload_path": "digits_resnet/digits_resnet",
        "workload_class_name": "DigitsResNetWorkload",
    }
    folder = REPOSITORY / "workloads_ext" / "digits_resnet" / "digits_resnet_jax"
    assert Path(given["found"]) == folder / "workload.py"


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"workload": "imagenet"}, [f"mnist, {', '.join(ALL)}", "'imagenet'"]),
        ({"clock": "wall"}, ["--clock needs --harness=embedded"]),
        ({"fetch_sec": "1"}, ["--fetch_sec needs --harness=embedded"]),
        ({"rng_seed": 0}, ["--rng_seed=0 asks the official runner for a random seed"]),
        ({"submission_path": "no/such.py"}, ["--submission_path", "'no/such.py'"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_each_mistake_has_one_sentence(tmp_path, stand_in, flags, parts):
    """A mistake that is an official traceback, or that is passed over."""
    result = run(*arguments(tmp_path, **flags), path=stand_in)
    assert_one_sentence(result, *parts)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_there_is_not_asked_about(tmp_path, stand_in):
    """A question on a terminal that is not there."""
    (tmp_path / "runs" / "test" / "mnist_pytorch").mkdir(parents=True)
    result = run(*arguments(tmp_path), path=stand_in)
    assert_one_sentence(result, "--resume_last_run", "--overwrite")
    for flag in ("--resume_last_run", "--overwrite", "--append_timestamp"):
        assert run(*arguments(tmp_path), flag, path=stand_in).returncode == 0


def test_a_folder_that_a_run_is_in_is_left_to_it(tmp_path, stand_in):
    """An official --overwrite that removes what an embedded run trains in."""
    path = tmp_path / "runs" / "test" / "mnist_pytorch"
    open_experiment(path, resume=False, overwrite=False)
    for flag in ("--resume_last_run", "--overwrite"):
        result = run(*arguments(tmp_path), flag, path=stand_in)
        assert_one_sentence(result, f"{path} is in use by process {os.getpid()} on")


def test_the_official_run_keeps_the_lock(tmp_path, stand_in):
    """An embedded run in a folder that an official run has taken."""
    path = tmp_path / "runs" / "test" / "mnist_pytorch"
    path.mkdir(parents=True)
    code = "from unscheduled.benchmark.run_files import lock_experiment, Path\n"
    code += f"lock_experiment(Path({str(path)!r}))"
    runner = stand_in / "submission_runner.py"
    runner.write_text(
        "import subprocess, sys\n"
        f"again = subprocess.run([sys.executable, '-c', {code!r}], stderr=-1)\n"
        "print(again.stderr.decode().splitlines()[-1])"
    )
    result = run(*arguments(tmp_path), "--overwrite", path=stand_in)
    assert f"{path} is in use by process" in result.stdout, result.stderr


def test_versions_that_are_not_upstream_s_are_told(tmp_path, stand_in):
    """Times that are compared with upstream's and were not taken with its versions."""
    result = run(*arguments(tmp_path, workload="ogbg_gelu"), path=stand_in)
    line, _ = result.stderr.splitlines()  # and that the stand-in has no such workload
    assert line.startswith("Not in upstream's versions: numpy==0.1 (here ")


@pytest.mark.parametrize(
    ("workload", "file", "version", "message"),
    [
        ("wmt", None, None, "needs no_such_package==3, which"),
        ("imagenet_vit", "torchvision-0.20.1", None, "needs torchvision==0.20.1, "),
        ("mnist", "importlib_resources-7", None, "needs importlib_resources, which"),
        (
            "mnist",
            "tensorflow_metadata-1.17.2",
            "1.21.0",
            "needs tensorflow-metadata<=1.17.2 (here 1.21.0), which",
        ),
    ],
)
def test_an_environment_that_is_not_whole_has_a_sentence(
    tmp_path, stand_in, workload, file, version, message
):
    """A traceback of some module of the official code, minutes after the start."""
    if file and version:
        path = stand_in / f"{file}.dist-info" / "METADATA"
        path.write_text(path.read_text().replace("1.17.2", version))
    elif file:
        shutil.rmtree(stand_in / f"{file}.dist-info")
    hidden = ("algoperf", "importlib_resources", "torchvision")
    installed = {d.name for d in importlib.metadata.distributions()}
    if installed & set(hidden):
        pytest.skip("what is to be missing is installed")
    result = run(*arguments(tmp_path, workload=workload), path=stand_in)
    assert_one_sentence(result, message, "make official ALGOPERF=/path/to/")


def test_make_official_needs_a_clone(tmp_path):
    """An environment that is made for minutes and has no official code in it."""
    for path in ("", tmp_path):
        command = ["make", "official", f"ALGOPERF={path}", f"OFFICIAL={tmp_path}/venv"]
        result = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert result.returncode == 2
        assert "Error: ALGOPERF must be a clone of https://" in result.stderr
        assert f"got '{path}'" in result.stderr
        assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("part", ["algoperf/__init__.py", "submission_runner.py"])
def test_missing_official_code_has_one_sentence(tmp_path, stand_in, part):
    """A traceback instead of how to install it."""
    (stand_in / part).unlink()
    if part == "algoperf/__init__.py":
        if importlib.util.find_spec("algoperf") is not None:
            pytest.skip("algoperf is installed")
        stand_in = ""
    result = run(*arguments(tmp_path), path=stand_in)
    assert_one_sentence(
        result,
        "git clone https://github.com/mlcommons/algorithmic-efficiency",
        "git checkout 2c90454",
        "make official ALGOPERF=/path/to/algorithmic-efficiency",
    )


def has_official_runner():
    spec = importlib.util.find_spec("algoperf")
    folders = (spec and spec.submodule_search_locations) or []
    return any((Path(f).parent / "submission_runner.py").exists() for f in folders)


@pytest.mark.skipif(
    not has_official_runner(), reason="needs algoperf and its submission_runner.py"
)
@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_both_harnesses_train_alike(tmp_path, data_dir, framework):
    """A workload that the official runner feeds or evaluates otherwise than ours."""
    values = {}
    for harness in ("official", "embedded"):
        flags = arguments(
            tmp_path,
            harness=harness,
            workload="digits_resnet",
            framework=framework,
            submission_path=f"submissions/nadamw_{framework}/submission.py",
            tuning_ruleset="self",
            data_dir=data_dir,
            experiment_name=harness,
            max_global_steps=100,
            torch_compile=False,
            rng_seed=1,
        )
        result = run(*flags)
        assert result.returncode == 0, result.stderr
        experiment = tmp_path / "runs" / harness / f"digits_resnet_{framework}"
        with open(experiment / "trial_1" / "eval_measurements.csv") as file:
            rows = [*csv.DictReader(file)]
        values[harness] = float(rows[-1]["validation/accuracy"])
        assert int(float(rows[-1]["global_step"])) == 100
    # Their seeds differ: three seeds of ours ended between 0.81 and 0.83.
    assert abs(values["official"] - values["embedded"]) < 0.1, values
    assert min(values.values()) > 0.7, values
