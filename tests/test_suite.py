"""The suite of embedded workloads, as one command."""

import pytest

from tests import warm

pytest.importorskip("jax")
pytestmark = pytest.mark.slow


def run(script, **flags):
    command = [f"scripts/{script}.py", *(f"--{k}={flags[k]}" for k in flags)]
    result = warm.run(command, 300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_runs_that_have_ended_are_scored_and_reported(tmp_path, data_dir):
    """A report whose baseline is in a framework that was not trained."""
    shared = {"framework": "jax", "data_dir": data_dir}
    run(
        "run",
        **shared,
        workload="flights_dlrm",
        submission_path="submissions/nadamw_jax/submission.py",
        tuning_ruleset="self",
        experiment_dir=tmp_path / "nadamw_jax",
        experiment_name="study_0",
        max_global_steps=2,
        rng_seed=0,
    )
    out = run(
        "suite",
        **shared,
        entries="nadamw",
        workloads="flights_dlrm",
        experiment_dir=tmp_path,
    )
    assert "1/1 nadamw_jax" not in out, "it was trained anew"
    assert "nadamw_jax" in out
    assert (tmp_path / "report.html").exists()
