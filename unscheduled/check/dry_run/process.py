"""Tries a submission out, in a process of its own: it may do anything there.

What it tells comes over a pipe, each line with a secret that the process was given
before it imported the submission, and the last line says that all workloads were
trained on. So a submission that ends the process, writes to files or prints cannot
pass for one that trains. This is no sandbox: one that looks for the secret in the
memory of its own process can make it say anything, with the rights of the user.
"""

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from unscheduled.benchmark.read import expand
from unscheduled.check.findings import RULES, Finding

TIMEOUT_SEC = 900
WORKLOADS = ("digits_resnet", "stdlib_lm")
DONE, STOPPED, REACHED, FOUND = "done", "stopped", "reached", "found"  # kinds of lines
_ROOT = Path(__file__).resolve().parents[3]
_PIPE_BYTES = 1 << 20  # the most that a pipe holds
_TAIL_BYTES = 10_000  # of what it prints, for the last line of it
_LINE = 100_000  # bytes at most
_LOOK_SEC = 0.1  # between two looks whether it has ended


def run(
    submission: Path,
    framework: str,
    data_dir: str | None = None,
    search_space: Path | None = None,
    workloads: tuple[str, ...] = WORKLOADS,
) -> list[Finding]:
    """Trains a few steps on the embedded workloads, beside AdamW.

    The process and what it has started are killed once it is done, or after
    `TIMEOUT_SEC`.

    Args:
      submission: the Python file that has the functions of the API.
      framework: "jax" or "pytorch".
      data_dir: where the data sets are made; None for a folder that is gone after.
      search_space: whose first point are the hyperparameters; None in self-tuning.
      workloads: the embedded workloads to train on.

    Returns:
      What was found, in the order of what happened.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        task = {
            "submission": str(submission.resolve()),
            "framework": framework,
            "data_dir": data_dir and str(expand(data_dir).resolve()),
            "search_space": search_space and str(search_space.resolve()),
            "workloads": workloads,
            "folder": temporary,
        }
        rehearsal = _Rehearsal(task)
        fault = rehearsal.wait()
    if fault is None:
        return rehearsal.findings
    message = f"the dry run is not complete, it came to {rehearsal.reached}: {fault}."
    return [*rehearsal.findings, Finding(str(submission), 1, "E601", message)]


class _Rehearsal:
    """The process, and what it has told so far.

    Attributes:
      findings: what it has found.
      reached: how far it has come.
    """

    def __init__(self, task: dict[str, Any]):
        self.findings: list[Finding] = []
        self.reached = "its start"
        self._end: str | None = None  # DONE or STOPPED
        self._secret = secrets.token_hex(16)
        self._deadline = time.monotonic() + TIMEOUT_SEC
        self._told, told = os.pipe()
        self._printed, printed = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unscheduled.check.dry_run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=printed,
            pass_fds=[told],
            env=_environment(),
            start_new_session=True,
        )
        os.close(told)
        os.close(printed)
        assert self._process.stdin is not None
        self._read = {self._told: b"", self._printed: b""}
        whole_task = {**task, "secret": self._secret, "pipe": told}
        # Where it has ended already, that is noticed below.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(json.dumps(whole_task).encode())

    def wait(self) -> str | None:
        """Waits for its last word or its end; returns what went wrong, or None."""
        try:
            with selectors.DefaultSelector() as selector:
                for pipe in self._read:
                    selector.register(pipe, selectors.EVENT_READ)
                return self._wait(selector)
        finally:
            self._kill()
            for pipe in self._read:
                os.close(pipe)

    def _wait(self, selector: selectors.BaseSelector) -> str | None:
        while self._end is None:
            if time.monotonic() > self._deadline:
                return f"it was not done after {TIMEOUT_SEC} s"
            # Not when its pipes are closed: what it has started may keep them open.
            has_ended = self._has_ended()
            for key, _ in selector.select(_LOOK_SEC):
                data = os.read(key.fd, _PIPE_BYTES)
                self._read[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
            self._read[self._printed] = self._read[self._printed][-_TAIL_BYTES:]
            *lines, self._read[self._told] = self._read[self._told].split(b"\n")
            if not all(map(self._take, lines)) or len(self._read[self._told]) > _LINE:
                return "something else than the check wrote to its pipe"
            if has_ended and self._end is None:
                return self._how_it_ended()
        if self._end == STOPPED and not self.findings:
            return "it stopped without a finding"
        return None

    def _take(self, line: bytes) -> bool:
        """Takes in a line that it tells; whether that has the form it should have."""
        secret, _, text = line.partition(b" ")
        if secret != self._secret.encode():
            return False
        try:
            kind, value = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return False
        if kind == FOUND and _is_finding(value):
            self.findings.append(Finding(*value))
        elif kind == REACHED and isinstance(value, str):
            self.reached = value
        elif kind in (DONE, STOPPED):
            self._end = kind
        else:
            return False
        return True

    def _has_ended(self) -> bool:
        """Whether it has ended, leaving its id its own until it is waited for."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def _how_it_ended(self) -> str:
        self._kill()
        status = self._process.returncode
        said = self._read[self._printed].decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "it said nothing"
        return f"it ended with status {status}: {last}"

    def _kill(self) -> None:
        """Ends the process and what else is in its group."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _is_finding(row: Any) -> bool:
    kinds = [str, int, str, str]
    return isinstance(row, list) and [type(v) for v in row] == kinds and row[2] in RULES


def _environment() -> dict[str, str]:
    """That of this process, in which the library is found as it is here."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
