"""Scripts in processes that have imported the frameworks, which takes longest.

They are forked from a process that has done only that. What a script does, prints and
returns is the same as when a user starts it.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = ("torch._dynamo", "flax", "optax", "orbax.checkpoint", "tensorflow_datasets")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*IMPORTED])  # those that are installed


def start(command: list[str], output: Path) -> Any:
    """A script with its arguments, started; its output goes to files in a folder.

    Returns its process, as of `multiprocessing`.
    """
    process = _context.Process(
        target=_run, args=(command, dict(os.environ), str(output))
    )
    process.start()
    return process


def run(command: list[str], timeout_sec: float) -> subprocess.CompletedProcess[str]:
    """A script with its arguments, at its end."""
    with tempfile.TemporaryDirectory() as folder:
        process = start(command, Path(folder))
        process.join(timeout_sec)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, timeout_sec)
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _run(command: list[str], environment: dict[str, str], folder: str) -> None:
    for name, number in (("out", 1), ("err", 2)):
        with open(os.path.join(folder, name), "w") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = command
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
