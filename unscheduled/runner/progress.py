"""What a user sees of a run: a status line, and with --profile the time by section."""

import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from unscheduled import spec


class StatusLine:
    """Step, loss, metric against target and time left.

    On a terminal, a line that moves; elsewhere a line an evaluation and nothing else.
    """

    def __init__(self, workload: spec.Workload, budget_sec: float, console: Console):
        self._metric = f"validation/{workload.target_metric_name}"
        self._target = workload.validation_target_value
        self._budget_sec = budget_sec
        self._console = console
        self._status = console.status("starting")

    def __enter__(self) -> "StatusLine":
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._status.stop()

    def update(
        self, global_step: int, elapsed_sec: float, last: dict[str, Any], keep: bool
    ) -> None:
        """Shows a step; `last` has the latest metrics, `keep` is to leave the line."""
        if not keep and not self._console.is_terminal:
            return
        parts = [f"step {global_step}", f"{elapsed_sec:.1f} s"]
        if "loss" in last:
            parts.append(f"loss {last['loss']:.4f}")
        if self._metric in last:
            value = f"{last[self._metric]:.4f}"
            parts.append(f"{self._metric} {value} (target {self._target:g})")
        left_sec = max(0.0, self._budget_sec - elapsed_sec)
        text = " | ".join([*parts, f"{left_sec:.0f} s left"])
        if keep:
            self._console.print(text, highlight=False, soft_wrap=True)
        else:
            self._status.update(text)


class Profiler:
    """Adds up the wall time of named sections, if enabled."""

    def __init__(self, enabled: bool):
        self._enabled = enabled
        self._seconds: dict[str, float] = collections.defaultdict(float)
        self._calls: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._enabled:
            self._seconds[name] += time.perf_counter() - start
            self._calls[name] += 1

    def summary(self) -> str:
        """A line a section, the longest first."""
        return "\n".join(
            f"{name:<22} {self._calls[name]:>8} calls {seconds:>10.3f} s"
            for name, seconds in sorted(self._seconds.items(), key=lambda i: -i[1])
        )
