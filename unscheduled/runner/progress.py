"""What a user sees of a run: a line that moves on a terminal, plain lines elsewhere."""

from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from unscheduled import spec


class ProgressLine:
    """Shows step, loss, metric against target and time left.

    On a terminal, a line that is renewed a few times a second; elsewhere nothing but
    a line an evaluation.

    Args:
      workload: for the metric and its target.
      budget_sec: the budget of submission time.
      console: where to print.
    """

    def __init__(self, workload: spec.Workload, budget_sec: float, console: Console):
        self._workload = workload
        self._budget_sec = budget_sec
        self._console = console
        self._metric = f"validation/{workload.target_metric_name}"
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> "ProgressLine":
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def step(self, global_step: int, elapsed_sec: float, last: dict[str, Any]) -> None:
        """After a step.

        Args:
          last: the latest value of each metric logged so far.
        """
        if self._console.is_terminal:
            text = self._line(global_step, elapsed_sec, last)
            self._progress.update(self._task, description=text)

    def evaluation(
        self, global_step: int, elapsed_sec: float, last: dict[str, Any]
    ) -> None:
        """After an evaluation."""
        text = self._line(global_step, elapsed_sec, last)
        self._console.print(text, highlight=False, soft_wrap=True)

    def _line(self, global_step: int, elapsed_sec: float, last: dict[str, Any]) -> str:
        left_sec = max(0.0, self._budget_sec - elapsed_sec)
        parts = [f"step {global_step}", f"{elapsed_sec:.1f} s"]
        if "loss" in last:
            parts.append(f"loss {last['loss']:.4f}")
        if self._metric in last:
            target = self._workload.validation_target_value
            parts.append(f"{self._metric} {last[self._metric]:.4f} (target {target:g})")
        return " | ".join([*parts, f"{left_sec:.0f} s left"])
