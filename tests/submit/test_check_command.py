"""`scripts/check.py` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.submit.check_cases import GOOD, INFO
from unscheduled.benchmark.errors import UserError
from unscheduled.check.check import check_files, framework_of, run

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRIES = sorted(
    path
    for framework in ("pytorch", "jax")
    for path in REPOSITORY.glob(f"submissions/*_{framework}/submission.py")
)


def check(*arguments):
    return subprocess.run(
        [sys.executable, "scripts/check.py", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.parent.name)
def test_entries_break_no_rule(entry):
    """An entry of ours that breaks a rule, or says another framework than it has."""
    errors = [f for f in check_files(entry) if f.severity == "error"]
    assert errors == [], "\n".join(map(str, errors))
    assert framework_of(entry) == entry.parent.name.rpartition("_")[2]


@pytest.mark.parametrize("ruleset", ["self-tuning", "external"])
def test_entries_have_good_search_spaces(ruleset):
    """A search space of ours that breaks a rule."""
    for space in REPOSITORY.glob("tuning_search_spaces/*.json"):
        entry = REPOSITORY / f"submissions/{space.stem}_jax/submission.py"
        found = check_files(entry, ruleset, space)
        assert not [f for f in found if f.severity == "error"], space


def test_a_bad_submission_fails_with_its_places(tmp_path):
    """Errors that a script can't tell from success, or a line without a place."""
    (tmp_path / "submission.py").write_text(f"{GOOD}\nimport os\nos.putenv('A', '')\n")
    (tmp_path / "submission_info.yml").write_text(INFO.replace("Somebody", '""'))
    result = check(tmp_path, "--dry_run=false")
    assert result.returncode == 1, result.stderr
    first, second, summary = result.stdout.splitlines()
    line = GOOD.count("\n") + 3
    assert first.startswith(f"{tmp_path}/submission.py:{line}: E301 writes environment")
    assert second.startswith(f"{tmp_path}/submission_info.yml:3: W502 authors is empty")
    assert summary == f"{tmp_path}: 1 error, 1 warning."


def test_json_has_everything(tmp_path):
    """A report for programs that lacks what the lines say, or that is not JSON."""
    (tmp_path / "submission.py").write_text(f"{GOOD}\nimport os\nos.putenv('A', '')\n")
    result = check(tmp_path, "--dry_run=false", "--format=json")
    assert result.returncode == 1, result.stderr
    report = json.loads(result.stdout)
    assert (report["errors"], report["warnings"], report["notes"]) == (1, 1, 0)
    error = next(f for f in report["findings"] if f["severity"] == "error")
    assert error["code"] == "E301"
    assert error["path"] == str(tmp_path / "submission.py")
    assert error["document"] == "DOCUMENTATION.md"
    assert error["section"] == "Environment Variables"
    assert error["line"] > 0
    assert "environment" in error["message"]


def test_warnings_do_not_fail(tmp_path):
    """A warning, for a human to judge, that fails a script."""
    (tmp_path / "submission.py").write_text(GOOD)
    result = check(tmp_path / "submission.py", "--dry_run=false")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("0 errors, 1 warning.\n")


@pytest.mark.parametrize(
    ("submission", "text"),
    [
        ("nowhere", "got 'nowhere'"),
        ("scripts", "a folder with a submission.py, or such a file, got 'scripts'"),
        ("submissions/nadamw_jax/submission_info.yml", "or such a file, got"),
    ],
)
def test_each_mistake_has_one_sentence(monkeypatch, capsys, submission, text):
    """A mistake that is a traceback."""
    monkeypatch.chdir(REPOSITORY)
    flags = SimpleNamespace(format="text")
    assert run(flags, submission) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("Error: ")
    assert text in line


def test_no_argument_is_told_how(tmp_path):
    """A call without arguments that does nothing and says nothing."""
    result = check()
    assert result.returncode == 1
    assert "give one SUBMISSION" in result.stdout + result.stderr


def test_the_framework_is_told_by_the_imports(tmp_path):
    """A submission without submission_info.yml that runs in the wrong framework."""
    path = tmp_path / "submission.py"
    path.write_text("import torch.nn as nn\n")
    assert framework_of(path) == "pytorch"
    path.write_text("def f():\n    from jax import numpy\n")
    assert framework_of(path) == "jax"
    path.write_text("import jax\nimport torch\n")
    with pytest.raises(UserError, match="--framework=jax or --framework=pytorch"):
        framework_of(path)
