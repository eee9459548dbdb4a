"""The registry, the targets file and what gets imported."""

import importlib.util
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import PAIRS
from unscheduled.benchmark import targets
from unscheduled.benchmark.errors import UserError
from unscheduled.check.workload import workload_names
from workloads_ext import registry

ROOT = pathlib.Path(workloads_ext.__file__).parent


def test_official_layout():
    """The official loader would not find `<path>_<framework>/workload.py`."""
    folders = {path.parent.name for path in ROOT.glob("*/workload.py")} - {"common"}
    assert {"digits_resnet", "stdlib_lm"} <= set(workloads_ext.WORKLOADS) == folders
    for info in registry.ALL.values():
        assert set(info) == {"workload_path", "workload_class_name"}
        for framework in workloads_ext.FRAMEWORKS:
            path = ROOT / f"{info['workload_path']}_{framework}" / "workload.py"
            assert f"class {info['workload_class_name']}(" in path.read_text()


def test_the_rule_check_knows_every_workload(tmp_path, monkeypatch):
    """A submission could do as it likes on a workload that was added after it."""
    assert all(workload_names().fullmatch(name.upper()) for name in registry.ALL)
    facts = json.loads(targets.BENCHMARKS["ext"].read_text())
    facts |= {"base_workloads": ["cells_mlp"], "held_out_workloads": []}
    facts["workloads"]["cells_mlp"] = facts["workloads"]["stdlib_lm"]
    (tmp_path / "ext.json").write_text(json.dumps(facts))
    monkeypatch.setitem(targets.BENCHMARKS, "ext", tmp_path / "ext.json")
    assert workload_names().fullmatch("Cells_MLP")
    assert workload_names().search('{"learning_rate_cells_mlp": 1}')[1] == "cells_mlp"


def test_every_workload_has_targets():
    """A workload could be run but not scored, or scored but not run."""
    content = json.loads(targets.BENCHMARKS["ext"].read_text())
    assert set(content["workloads"]) == set(registry.ALL)
    assert content["base_workloads"] == [*registry.WORKLOADS]
    assert content["held_out_workloads"] == [*registry.VARIANTS]
    assert content["benchmark_version"] == "ext"


@pytest.mark.parametrize(
    ("name", "framework", "message"),
    [
        (
            "mnist",
            "jax",
            r"one of \[.*'digits_resnet', .*'stdlib_lm'.*\], got 'mnist'",
        ),
        ("stdlib_lm", "torch", r"one of \('jax', 'pytorch'\), got 'torch'"),
    ],
)
def test_unknown_names_raise(name, framework, message):
    """A misspelt workload or framework would fail without saying what there is."""
    with pytest.raises(ValueError, match=message):
        workloads_ext.load(name, framework)


@pytest.mark.parametrize(
    ("metric", "better"), [("accuracy", 0.9), ("loss", 0.7)], ids=["accuracy", "loss"]
)
def test_targets_are_inclusive(metric, better):
    """A run that meets its target exactly would not count as having met it."""
    target = targets.Target(metric, 0.8, test_value=0.8)
    worse = 1.6 - better
    for split in ("validation", "test"):
        assert target.reached(np.array(0.8), split)
        assert target.reached(np.array(better), split)
        assert not target.reached(np.array(worse), split)
        assert not target.reached(np.array(math.nan), split)


def test_bad_targets_raise(tmp_path):
    """A slip in the targets file would surface only at the end of a run."""
    path = tmp_path / "targets.json"
    facts = json.loads(targets.BENCHMARKS["ext"].read_text())
    facts["workloads"]["stdlib_lm"]["target_metric_name"] = "f"
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match="unknown metric 'f', choose from accuracy"):
        targets.read_target("stdlib_lm", path)
    facts["workloads"]["stdlib_lm"]["target_metric_name"] = "loss"
    del facts["run_settings"]["stdlib_lm"]["batch_size"]
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"does not say batch_size of stdlib_lm\."):
        targets.read_target("stdlib_lm", path)
    with pytest.raises(UserError, match=f"{', '.join(sorted(registry.ALL))}, not 'b'"):
        targets.read_target("b", path)


def test_the_official_scoring_can_read_the_targets():
    """A key that the official tool refuses in its dataclass of three fields."""
    facts = json.loads(targets.BENCHMARKS["ext"].read_text())
    assert set(facts["workloads"]) == set(registry.ALL)
    assert facts["base_workloads"] == sorted(workloads_ext.WORKLOADS)
    for entry in facts["workloads"].values():
        assert set(entry) == {
            "target_metric_name",
            "validation_target_value",
            "step_hint",
        }


@pytest.mark.skipif(
    importlib.util.find_spec("algoperf") is not None,
    reason="algoperf.spec imports both frameworks",
)
@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_only_the_framework_in_use_is_imported(framework, data_dir):
    """A machine with one framework could not run the workloads, or would run slower."""
    pytest.importorskip("torch" if framework == "pytorch" else "jax")
    code = f"""
import sys
import workloads_ext
assert not {{"torch", "jax"}} & set(sys.modules)
for name in workloads_ext.WORKLOADS:
    workload = workloads_ext.load(name, {framework!r})
    next(workload._build_input_queue([1, 2], "train", {data_dir!r}, 8))
heavy = {{"torch", "jax", "tensorflow", "sklearn"}} & set(sys.modules)
assert heavy == {{{"torch" if framework == "pytorch" else "jax"!r}}}, heavy
"""
    for name, pair_framework in PAIRS:  # made here, so that sklearn is not needed
        if pair_framework == framework:
            workload = workloads_ext.load(name, framework)
            workload._build_input_queue([1, 2], "test", data_dir, 8)
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, check=True, cwd=ROOT.parent)
