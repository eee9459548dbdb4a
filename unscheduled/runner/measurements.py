"""What a run measures: CSV files, TensorBoard events and, if asked for, wandb."""

import csv
import io
import numbers
import os
import reprlib
from pathlib import Path
from typing import Any, TextIO

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import whole

_MAX_BYTES = 1 << 30  # of a file that a run goes on from


class CsvTable:
    """A CSV file that grows by a row at a time, and by a column where one is new.

    A row is on disk when `append` returns. Where the file is no longer as this table
    left it (removed, cut off, half a row on a disk that was full), or a column is new,
    it is written anew from the rows in memory.

    Args:
      path: the file.
      keep_rows: how many of its rows to keep, where it is there already: those up to
        the checkpoint that the run goes on from.
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

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return len(self._rows)

    def append(self, row: dict[str, Any]) -> None:
        new = sorted(set(row) - set(self._columns))
        self._columns += new
        self._rows.append(row)
        if new or self._found() != self._left:
            self._write()
            return
        with open(self._path, "a", newline="") as file:
            self._writer(file).writerow(row)
        self._left = self._found()

    def mend(self) -> None:
        """Writes the file anew where it is no longer as this table left it."""
        if self._rows and self._found() != self._left:
            self._write()

    def _found(self) -> tuple[int, ...] | None:
        """What tells the file from another, or from one that was written to since."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _writer(self, file: TextIO) -> csv.DictWriter:
        return csv.DictWriter(file, self._columns, lineterminator="\n")

    def _read(self, count: int) -> list[dict[str, Any]]:
        text = read_text(self._path, _MAX_BYTES) if self._path.exists() else ""
        way_out = "put it back, or start anew with --overwrite."
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise UserError(f"{self._path} is damaged ({error}); {way_out}") from error
        if len(rows) < count:
            raise UserError(
                f"{self._path} has {len(rows)} rows where its checkpoint counts "
                f"{count}; {way_out}"
            )
        for number, row in enumerate(rows[:count], 1):
            if None in row or None in row.values():  # too many fields, or too few
                raise UserError(f"{self._path} is damaged in row {number}; {way_out}")
        return rows[:count]

    def _write(self) -> None:
        with whole(self._path) as temporary, open(temporary, "w", newline="") as f:
            writer = self._writer(f)
            writer.writeheader()
            writer.writerows(self._rows)
        self._left = self._found()


def as_numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics as Python numbers: arrays of one element are read.

    Raises:
      ValueError: for one that is no number.
    """
    values = {k: v.item() if hasattr(v, "item") else v for k, v in metrics.items()}
    for name, value in values.items():
        if not isinstance(value, numbers.Real):
            raise ValueError(f"{name} must be a number, got {reprlib.repr(value)}.")
    return values


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

        self._path = directory.path
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

        Raises:
          ValueError: for a metric that is no number.
          UserError: where a file can't be written.
        """
        metrics = as_numbers(metrics)
        row = {**metrics, "global_step": global_step}
        if preemption_count is not None:
            row["preemption_count"] = preemption_count
        self.last.update(metrics)
        try:
            self._measurements.append(row)
            if is_eval:
                self._evaluations.append(row)
            self._evaluations.mend()
            self._write_events(row, global_step)
        except OSError as error:
            raise UserError(f"{self._path} can't be written: {error}.") from error
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
