"""What a run measures: CSV files, TensorBoard events and, if asked for, wandb."""

import csv
import numbers
from pathlib import Path
from typing import Any, TextIO

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.write import whole
from unscheduled.runner.run_directory import TrialDirectory


class CsvTable:
    """A CSV file that grows by a row at a time, and by a column where one is new.

    A row is on disk when `append` returns; a new column rewrites the file as a whole.

    Args:
      path: the file.
      keep_rows: how many of its rows to keep, where it is there already: those up to
        the checkpoint that the run goes on from.
    """

    def __init__(self, path: Path, keep_rows: int = 0):
        self._path = path
        self._columns: list[str] = []
        self.rows = 0
        if keep_rows:
            self._keep(keep_rows)
        else:
            path.unlink(missing_ok=True)

    def append(self, row: dict[str, Any]) -> None:
        if not set(row) <= set(self._columns):
            self._widen(sorted(set(row) - set(self._columns)))
        with open(self._path, "a", newline="") as file:
            self._writer(file).writerow(row)
        self.rows += 1

    def _writer(self, file: TextIO) -> csv.DictWriter:
        return csv.DictWriter(file, self._columns, lineterminator="\n")

    def _widen(self, new_columns: list[str]) -> None:
        rows = self._read() if self.rows else []
        self._columns = self._columns + new_columns
        self._write(rows)

    def _keep(self, count: int) -> None:
        rows = self._read() if self._path.exists() else []
        if len(rows) < count:
            raise UserError(
                f"{self._path} has {len(rows)} rows where its checkpoint counts "
                f"{count}; put it back, or start anew with --overwrite."
            )
        self._columns, self.rows = list(rows[0]), count
        self._write(rows[:count])

    def _read(self) -> list[dict[str, str]]:
        with open(self._path, newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, rows: list[dict[str, str]]) -> None:
        with whole(self._path) as temporary, open(temporary, "w", newline="") as f:
            writer = self._writer(f)
            writer.writeheader()
            writer.writerows(rows)


def as_numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics as Python numbers: arrays of one element are read."""
    return {k: v.item() if hasattr(v, "item") else v for k, v in metrics.items()}


class NoLogger:
    """Logs nothing, on the ranks that write no files."""

    rows = (0, 0)

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def append_scalar_metrics(
        self,
        metrics: dict[str, Any],
        global_step: int,
        preemption_count: int | None = None,
        is_eval: bool = False,
    ) -> None:
        pass

    def finish(self) -> None:
        pass


class MetricsLogger:
    """The `workload.metrics_logger` of a run, with the official one's interface.

    Args:
      directory: the trial's.
      kept_rows: rows of (measurements.csv, eval_measurements.csv) to go on from.
      wandb_run: a wandb run, or None.
    """

    def __init__(
        self,
        directory: TrialDirectory,
        kept_rows: tuple[int, int] = (0, 0),
        wandb_run: Any = None,
    ):
        # Here and not above: scoring does not need them, and they take time.
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._measurements = CsvTable(directory.measurements, kept_rows[0])
        self._evaluations = CsvTable(directory.eval_measurements, kept_rows[1])
        self._events = EventFileWriter(str(directory.path))
        self._wandb_run = wandb_run
        self.last: dict[str, float] = {}

    @property
    def rows(self) -> tuple[int, int]:
        """Rows written so far: (measurements.csv, eval_measurements.csv)."""
        return self._measurements.rows, self._evaluations.rows

    def append_scalar_metrics(
        self,
        metrics: dict[str, Any],
        global_step: int,
        preemption_count: int | None = None,
        is_eval: bool = False,
    ) -> None:
        """Logs scalars of a step, everywhere.

        Args:
          metrics: numbers by name.
          is_eval: whether they belong in eval_measurements.csv too.
        """
        metrics = as_numbers(metrics)
        row = {**metrics, "global_step": global_step}
        if preemption_count is not None:
            row["preemption_count"] = preemption_count
        self.last.update(metrics)
        self._measurements.append(row)
        if is_eval:
            self._evaluations.append(row)
        self._write_events(row, global_step)
        if self._wandb_run is not None:
            self._wandb_run.log(row)

    def _write_events(self, row: dict[str, Any], global_step: int) -> None:
        values = [
            self._summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if isinstance(value, numbers.Real)
        ]
        summary = self._summary(value=values)
        self._events.add_event(self._event(step=global_step, summary=summary))
        self._events.flush()

    def finish(self) -> None:
        """Closes the files."""
        self._events.close()
        if self._wandb_run is not None:
            self._wandb_run.finish()


Logger = MetricsLogger | NoLogger
