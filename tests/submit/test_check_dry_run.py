"""The dry run: what it finds in bad submissions, and that it lets good ones pass."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.submit.check_cases import BAD_SUBMISSIONS
from unscheduled.submit import dry_run
from unscheduled.submit.check import check_files
from unscheduled.submit.rehearsal import training
from unscheduled.submit.rehearsal.__main__ import main
from unscheduled.submit.rules.findings import Finding

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "bad_submissions"
TINY = "stdlib_lm"  # its models compile sooner than the other's
QUICK_COMPILER = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


@pytest.fixture
def bystanders(monkeypatch):
    """Undoes what bad submissions do to this process."""
    torch = pytest.importorskip("torch")
    precision = torch.get_float32_matmul_precision()
    monkeypatch.setattr(sys, "path", [*sys.path])
    environment = dict(os.environ)
    yield
    torch.set_float32_matmul_precision(precision)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def few_rounds(monkeypatch):
    """Less timing: what the times are is not tested here."""
    monkeypatch.setattr(training, "ROUNDS", 3)


def rehearse(path, folder, data_dir):
    """The dry run in this process, which saves starting one."""
    found = folder / "findings.json"
    main(
        {
            "submission": str(path),
            "framework": "pytorch",
            "data_dir": data_dir,
            "search_space": None,
            "workloads": [TINY],
            "folder": str(folder),
            "findings": str(found),
        }
    )
    return [Finding(**row) for row in json.loads(found.read_text())]


@pytest.mark.parametrize("name", BAD_SUBMISSIONS)
def test_bad_submissions(tmp_path, data_dir, bystanders, few_rounds, name):
    """A fault that only shows when it runs and that is not noticed, or an invention."""
    path = FOLDER / f"{name}.py"
    in_files, in_dry_run = BAD_SUBMISSIONS[name]
    no_info = "W502"
    assert {f.code for f in check_files(path)} == {no_info, *in_files}
    found = rehearse(path, tmp_path, data_dir)
    assert [f.code for f in found if f.code != "N602"] == in_dry_run
    if name == "plain_sgd":
        (costs,) = found
        assert "a step takes" in costs.message


def test_an_error_is_at_its_line(tmp_path, data_dir, bystanders):
    """A failure in a submission that is reported without a place to look."""
    path = FOLDER / "wants_hyperparameters.py"
    (found,) = rehearse(path, tmp_path, data_dir)
    assert (
        "hyperparameters.learning_rate" in path.read_text().splitlines()[found.line - 1]
    )
    assert found.message.startswith("init_optimizer_state fails with AttributeError")


def test_a_process_that_dies_is_a_finding(tmp_path, data_dir):
    """A submission that ends the check itself."""
    submission = tmp_path / "ends.py"
    submission.write_text("import os\n\nprint('[]', flush=True)\nos._exit(3)\n")
    (found,) = dry_run.run(submission, "pytorch", data_dir)
    assert found.code == "E601"
    assert "ended with status 3" in found.message


def test_a_process_that_hangs_is_a_finding(tmp_path, data_dir, monkeypatch):
    """A submission that keeps the check waiting for ever."""
    monkeypatch.setattr(dry_run, "TIMEOUT_SEC", 0.1)
    submission = tmp_path / "hangs.py"
    submission.write_text("import time\n\ntime.sleep(1000)\n")
    (found,) = dry_run.run(submission, "pytorch", data_dir)
    assert found.code == "E601"
    assert "not done after 0.1 s" in found.message


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_an_entry_is_clean(data_dir, monkeypatch, framework):
    """An entry of ours that breaks a rule when it runs, or a rule that is wrong."""
    monkeypatch.setenv("XLA_FLAGS", QUICK_COMPILER)
    entry = REPOSITORY / f"submissions/schedule_free_adamw_{framework}/submission.py"
    found = dry_run.run(entry, framework, data_dir, workloads=(TINY,))
    # Beside others on the same cores a step may take any time.
    codes = [f.code for f in found if f.code != "W603"]
    assert codes == ["N602"], "\n".join(map(str, found))
