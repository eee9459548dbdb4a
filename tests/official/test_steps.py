"""Entries under the official code: two steps, both evaluations, fake batches.

Skipped without algoperf. All eight workloads: scripts/evidence/official.py.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("algoperf") is None:
    pytest.skip("algoperf is not installed", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
# In processes of their own, so that upstream's warnings are none of ours.
TIMEOUT = 1200  # seconds; ogbg compiles a step for each entry, 10 s each on one core


def run(arguments: list[str], folder: Path, python_path: str) -> str:
    """What a Python program prints."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
@pytest.mark.parametrize("workload", ["mnist", "ogbg"])
def test_every_entry_trains_and_evaluates(workload, framework, tmp_path):
    """An entry that the official calls, models or batches do not fit."""
    entries = ROOT.glob(f"submissions/*_{framework}/submission.py")
    algorithms = sorted(e.parent.name.removesuffix(f"_{framework}") for e in entries)
    assert algorithms
    script = ["-m", "scripts.evidence.official", workload, framework, *algorithms]
    run([*script, f"--results={tmp_path}/r.jsonl"], tmp_path, str(ROOT))
    lines = [json.loads(x) for x in (tmp_path / "r.jsonl").read_text().splitlines()]
    outcomes = {line["algorithm"]: line.get("error", line["status"]) for line in lines}
    assert outcomes == dict.fromkeys(algorithms, "ok")


# What an entry may do wrong, as the last lines of its submission, and what is said.
FAULTS = {
    "still": (
        "def update_params(optimizer_state, current_param_container, model_state, **_):"
        "\n    return optimizer_state, current_param_container, model_state",
        "AssertionError: none of the 4 parameters moved in 8 steps",
    ),
    "greedy": (
        "def data_selection(workload, queue, *_):\n"
        "    next(queue)\n    return next(queue)",
        "AssertionError: 4 batches, 2 steps",
    ),
    "nan": (
        "def prepare_for_eval(**given):\n"
        "    import jax\n"
        "    state, x, model_state = theirs.prepare_for_eval(**given)\n"
        "    return state, jax.tree.map(lambda x: x * float('nan'), x), model_state",
        "AssertionError: not finite: ['Dense_0']['bias'], ['Dense_0']['kernel'], "
        "['Dense_1']['bias']",
    ),
    "broken": (
        "def init_optimizer_state(*_):\n    raise RuntimeError('on purpose')",
        "RuntimeError: on purpose",
    ),
    "silent": (
        "def update_params(workload, **given):\n"
        "    workload.metrics_logger, kept = None, workload.metrics_logger\n"
        "    out = theirs.update_params(workload=workload, **given)\n"
        "    workload.metrics_logger = kept\n    return out",
        "AssertionError: no loss was logged",
    ),
    "sound": ("", None),
}


def test_what_an_entry_does_wrong_is_seen(tmp_path):
    """A check that passes whatever an entry does."""
    (tmp_path / "faulty").mkdir()
    entries = {}
    for name, (code, _) in FAULTS.items():
        entries[name] = tmp_path / "faulty" / f"{name}.py"
        entries[name].write_text(
            "import submissions.nadamw_jax.submission as theirs\n"
            f"from submissions.nadamw_jax.submission import *\n\n{code}\n"
        )
    results = tmp_path / "results.jsonl"
    program = (
        "from pathlib import Path, PosixPath; from scripts.evidence import official; "
        f"official.run('mnist', 'jax', {entries!r}, Path({str(results)!r}))"
    )
    run(["-c", program], tmp_path, f"{ROOT}:{tmp_path}")
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    said = {line["algorithm"]: line.get("error") for line in lines}
    assert said == {name: error for name, (_, error) in FAULTS.items()}
