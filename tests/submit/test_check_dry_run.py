"""The dry run: what it finds in bad submissions, and that it lets good ones pass."""

import contextlib
import os
import re
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.submit.check_cases import BAD_SUBMISSIONS
from unscheduled.check.check import check_files
from unscheduled.check.dry_run import process, training
from unscheduled.check.dry_run.stages import dry_run
from unscheduled.check.dry_run.training import CannotGoOnError, Report
from unscheduled.check.findings import Finding

pytestmark = pytest.mark.slow

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


def tried(path, folder, data_dir):
    """The dry run in this process, which saves starting one."""
    told = []
    task = {
        "submission": str(path),
        "framework": "pytorch",
        "data_dir": data_dir,
        "search_space": None,
        "workloads": [TINY],
        "folder": str(folder),
    }
    with contextlib.suppress(CannotGoOnError):  # why is in what was told
        dry_run(task, Report(path, lambda *line: told.append(line)))
    return [Finding(*value) for kind, value in told if kind == process.FOUND]


def run_text(folder, text, data_dir=None, **changes):
    """The dry run of a submission that has this text."""
    submission = folder / "submission.py"
    submission.write_text(text)
    return process.run(submission, "pytorch", data_dir, workloads=(TINY,), **changes)


def plain_sgd(**bodies):
    """A good submission, with these lines before the body of a function."""
    text = (FOLDER / "plain_sgd.py").read_text()
    for name, line in bodies.items():
        head = re.search(rf"def {name}\([^)]*\)(?: -> [^:]*)?:\n", text)
        text = text[: head.end()] + f"    {line}\n" + text[head.end() :]
    return text


@pytest.mark.parametrize("name", BAD_SUBMISSIONS)
def test_bad_submissions(tmp_path, data_dir, bystanders, few_rounds, name):
    """A fault that only shows when it runs and that is not noticed, or an invention."""
    path = FOLDER / f"{name}.py"
    in_files, in_dry_run = BAD_SUBMISSIONS[name]
    no_info = "W502"
    assert {f.code for f in check_files(path)} == {no_info, *in_files}
    found = tried(path, tmp_path, data_dir)
    # Beside others on the same cores a step may take any time.
    uncertain = {"N602", "W603"} - {*in_dry_run}
    assert [f.code for f in found if f.code not in uncertain] == in_dry_run
    if name == "plain_sgd":
        costs, *_ = found
        assert "a step takes" in costs.message


def test_an_error_is_at_its_line(tmp_path, data_dir, bystanders):
    """A failure in a submission that is reported without a place to look."""
    path = FOLDER / "wants_hyperparameters.py"
    (found,) = tried(path, tmp_path, data_dir)
    assert (
        "hyperparameters.learning_rate" in path.read_text().splitlines()[found.line - 1]
    )
    assert found.message.startswith("init_optimizer_state fails with AttributeError")


def test_a_process_that_hangs_is_a_finding(tmp_path, data_dir, monkeypatch):
    """A submission that keeps the check waiting for ever."""
    monkeypatch.setattr(process, "TIMEOUT_SEC", 0.1)
    (found,) = run_text(tmp_path, "import time\n\ntime.sleep(1000)\n", data_dir)
    assert found.code == "E601"
    assert "not done after 0.1 s" in found.message


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_an_entry_is_clean(data_dir, monkeypatch, framework):
    """An entry of ours that breaks a rule when it runs, or a rule that is wrong."""
    monkeypatch.setenv("XLA_FLAGS", QUICK_COMPILER)
    entry = REPOSITORY / f"submissions/schedule_free_adamw_{framework}/submission.py"
    found = process.run(entry, framework, data_dir, workloads=(TINY,))
    # Beside others on the same cores a step may take any time.
    codes = [f.code for f in found if f.code != "W603"]
    assert codes == ["N602"], "\n".join(map(str, found))


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("place", ["", "get_batch_size", "update_params"])
def test_an_exit_is_at_its_line(tmp_path, data_dir, bystanders, place, kind):
    """A submission that exits with status 0, and that is said to have no errors."""
    line, path = f"raise {kind}(0)", tmp_path / f"ends_by_{kind}_in_{place}.py"
    text = plain_sgd(**{place: line}) if place else f"{line}\n{plain_sgd()}"
    path.write_text(text)
    (found,) = tried(path, tmp_path, data_dir)
    assert found.code == "E601"
    assert f"fails with {kind}: 0" in found.message
    assert line in text.splitlines()[found.line - 1]


def test_success_needs_completion(tmp_path, data_dir):
    """A process that ends with status 0 before it has trained, taken for a success."""
    text = plain_sgd(update_params="import os; os._exit(0)")
    found = run_text(tmp_path, text, data_dir)
    assert [f.code for f in found] == ["E601"]
    assert f"it came to step 1 on {TINY}: it ended with status 0" in found[0].message


FORGER = """
import contextlib, glob, json, os, sys, tempfile
done = '["done", null]\\n'
told = glob.glob(f"{tempfile.gettempdir()}/*/told")
assert told
for name in [*sys.argv[1:], *glob.glob(f"{sys.argv[-1]}/*"), *told]:
    os.path.isfile(name) and open(name, "a").write(done)
print(done)
print(done, file=sys.stderr, flush=True)
for fd in range(1, 64):
    with contextlib.suppress(OSError):
        os.write(fd, done.encode())
seen = [sys.stdin.read(), dict(os.environ), open("/proc/self/cmdline").read()]
json.dump(seen, open(SEEN, "w"))
os._exit(0)
"""


def test_success_is_not_forged_by_writing(tmp_path, data_dir, monkeypatch):
    """A submission that says by itself, wherever it can, that nothing was found."""
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)  # looks like a secret
    seen = tmp_path / "seen"
    text = FORGER.replace("SEEN", repr(str(seen)))
    (found,) = run_text(tmp_path, text, data_dir)
    assert found.code == "E601"
    assert "it came to its import: it ended with status 0" in found.message
    assert "unscheduled.check.dry_run" in seen.read_text()
    assert not re.search("[0-9a-f]{32}|told", seen.read_text())  # the secret, the file


BACKGROUND = """
import subprocess, threading, time
for detached in (False, True):
    child = subprocess.Popen(
        ["sleep", "60"], start_new_session=detached, close_fds=False
    )
    print(child.pid, file=open(PIDS, "a"))
threading.Thread(target=time.sleep, args=[60]).start()
"""


def test_what_a_submission_starts_is_not_waited_for(tmp_path, data_dir):
    """A program or a thread in the background that keeps the check waiting."""
    pids = tmp_path / "pids"
    start = time.monotonic()
    text = BACKGROUND.replace("PIDS", repr(str(pids)))
    (found,) = run_text(tmp_path, text, data_dir)
    assert time.monotonic() - start < 45  # of its own it takes a few
    assert found.code == "E601"
    assert "lacks init_optimizer_state" in found.message  # and the other functions
    own, detached = map(int, pids.read_text().split())
    assert not psutil.pid_exists(own) or is_dying(psutil.Process(own))
    psutil.Process(detached).kill()  # in a group of its own it is left alone


def is_dying(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE or process.wait(5) is None
    return True
