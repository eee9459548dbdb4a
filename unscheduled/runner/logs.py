"""What a run tells: CSV files, TensorBoard events, wandb, a status line, a profile."""

import collections
import contextlib
import csv
import io
import numbers
import reprlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from unscheduled import spec
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import whole

_MAX_BYTES = 1 << 30  # of a file that a run goes on from


class CsvTable:
    """A CSV file that grows by a row at a time, after `keep_rows` rows that are there.

    It is written anew, from the rows in memory, for a new column, and where it is not
    as it was left: removed, cut off, half a row on a disk that was full.
    """

    def __init__(self, path: Path, keep_rows: int = 0):
        self._path = path
        self._rows = self._read(keep_rows) if keep_rows else []
        self._columns = list(self._rows[0]) if self._rows else []
        self._left: tuple[int, ...] | None = None
        if self._rows:
            self._write()
        else:
            path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: dict[str, Any]) -> None:
        new = sorted(set(row) - set(self._columns))
        self._columns += new
        self._rows.append(row)
        if new or self._found() != self._left:
            self._write()
        else:
            with open(self._path, "a", newline="") as file:
                self._writer(file).writerow(row)
            self._left = self._found()

    def mend(self) -> None:
        if self._rows and self._found() != self._left:
            self._write()

    def _found(self) -> tuple[int, ...] | None:
        """What tells the file from another, or from one that was written to since."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _writer(self, file: TextIO) -> csv.DictWriter:
        return csv.DictWriter(file, self._columns, lineterminator="\n")

    def _read(self, count: int) -> list[dict[str, Any]]:
        text = read_text(self._path, _MAX_BYTES) if self._path.exists() else ""
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))[:count]
        except csv.Error:
            rows = []
        # None stands for fields that are too many, or too few.
        rows = [row for row in rows if None not in (*row, *row.values())]
        if len(rows) < count:
            raise UserError(
                f"{self._path} has {len(rows)} whole rows where its checkpoint counts "
                f"{count}; put it back, or start anew with --overwrite."
            )
        return rows

    def _write(self) -> None:
        with whole(self._path) as temporary, open(temporary, "w", newline="") as f:
            writer = self._writer(f)
            writer.writeheader()
            writer.writerows(self._rows)
        self._left = self._found()


def as_numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics as Python numbers; ValueError for one that is no number."""
    values = {k: v.item() if hasattr(v, "item") else v for k, v in metrics.items()}
    for name, value in values.items():
        if not isinstance(value, numbers.Real):
            raise ValueError(f"{name} must be a number, got {reprlib.repr(value)}.")
    return values


class MetricsLogger:
    """The `workload.metrics_logger` of a run, with the official one's interface."""

    def __init__(
        self,
        directory: TrialDirectory,
        kept_rows: tuple[int, ...] = (0, 0),  # of measurements.csv and the other
        wandb_run: Any = None,
    ):
        self._path = directory.path
        self._measurements = CsvTable(directory.measurements, kept_rows[0])
        self._evaluations = CsvTable(directory.eval_measurements, kept_rows[1])
        self._events = EventFileWriter(str(directory.path))
        self._wandb_run = wandb_run
        self.last: dict[str, float] = {}  # the latest value of each metric

    @property
    def rows(self) -> tuple[int, ...]:  # as `kept_rows`
        return len(self._measurements), len(self._evaluations)

    def append_scalar_metrics(
        self,
        metrics: dict[str, Any],
        global_step: int,
        preemption_count: int | None = None,
        is_eval: bool = False,
    ) -> None:
        """Logs numbers of a step; in eval_measurements.csv too if `is_eval`."""
        metrics = as_numbers(metrics)
        row = {**metrics, "global_step": global_step}
        if preemption_count is not None:
            row["preemption_count"] = preemption_count
        self.last.update(metrics)
        values = [Summary.Value(tag=k, simple_value=float(v)) for k, v in row.items()]
        try:
            self._measurements.append(row)
            if is_eval:
                self._evaluations.append(row)
            self._evaluations.mend()
            event = Event(step=global_step, summary=Summary(value=values))
            self._events.add_event(event)
            self._events.flush()
        except OSError as error:
            raise UserError(f"{self._path} can't be written: {error}.") from error
        if self._wandb_run is not None:
            self._wandb_run.log(row)

    def finish(self) -> None:
        self._events.close()
        if self._wandb_run is not None:
            self._wandb_run.finish()


def start_wandb(directory: TrialDirectory, hyperparameters: Any) -> Any:
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise UserError("--use_wandb needs wandb: pip install wandb.") from error
    config = hyperparameters._asdict() if hyperparameters else {}
    return wandb.init(dir=str(directory.path), config=config)


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
        self._seconds: dict[str, list[float]] = collections.defaultdict(list)

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._enabled:
            self._seconds[name].append(time.perf_counter() - start)

    def summary(self) -> str:
        by_time = sorted(self._seconds.items(), key=lambda item: -sum(item[1]))
        return "\n".join(
            f"{name:<22} {len(calls):>8} calls {sum(calls):>10.3f} s"
            for name, calls in by_time
        )
