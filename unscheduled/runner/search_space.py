"""Tuning search spaces in the official format, and the points that trials get."""

import collections
import json
import math
from pathlib import Path
from typing import Any

from unscheduled.runner.errors import UserError

SCALINGS = ("linear", "log")


def read_search_space(path: str) -> list[dict[str, Any]] | dict[str, dict[str, Any]]:
    """Reads a search space: a list of points, or ranges and choices by name.

    A list holds one object a trial, values by name. An object has, by name, either
    {"min", "max", "scaling": "linear" | "log"} or {"feasible_points": [...]}.

    Raises:
      UserError: where the file is not of this format, naming what is wrong.
    """
    try:
        space = json.loads(Path(path).expanduser().read_text())
    except ValueError as error:
        raise UserError(f"{path} is not a JSON file: {error}.") from error
    if isinstance(space, list):
        names = [set(p) if isinstance(p, dict) else None for p in space]
        if not space or names[0] is None or any(n != names[0] for n in names):
            raise UserError(f"{path}: the points must all have the same names.")
        return space
    if not isinstance(space, dict) or not space:
        raise UserError(f"{path} must hold a list of points or an object of ranges.")
    for name, dimension in space.items():
        fault = _fault(dimension)
        if fault:
            raise UserError(f"{path}: {name} {fault}.")
    return space


def _fault(dimension: Any) -> str | None:
    """What is wrong with one dimension, or None."""
    if not isinstance(dimension, dict):
        return f"must be an object, got {dimension!r}"
    if set(dimension) == {"feasible_points"}:
        points = dimension["feasible_points"]
        if not isinstance(points, list) or not points:
            return f"needs a list of feasible_points, got {points!r}"
        return None
    unknown = set(dimension) - {"min", "max", "scaling"}
    if unknown:
        return (
            f"has the unknown key {min(unknown)!r}; a dimension has min, max and "
            "scaling, or feasible_points"
        )
    missing = {"min", "max"} - set(dimension)
    if missing:
        return f"lacks {min(missing)}"
    low, high = dimension["min"], dimension["max"]
    numbers = all(type(v) in (int, float) and math.isfinite(v) for v in (low, high))
    if not numbers or low > high:
        return f"needs finite numbers with min <= max, got {low!r} and {high!r}"
    scaling = dimension.get("scaling", "linear")
    if scaling not in SCALINGS:
        return f"must have a scaling of {' or '.join(SCALINGS)}, got {scaling!r}"
    if scaling == "log" and low <= 0:
        return f"needs a positive min for log scaling, got {low!r}"
    return None


def trial_points(space: Any, num_trials: int) -> list[Any]:
    """The hyperparameters of each trial, as namedtuples.

    Points of a list are taken in order. Ranges are filled by a scrambled Halton
    sequence (scipy) with a fixed seed: the same points in every run.

    Args:
      space: what `read_search_space` gave.
      num_trials: how many.

    Raises:
      UserError: where a list is shorter.
    """
    if isinstance(space, list):
        if num_trials > len(space):
            raise UserError(
                f"--num_tuning_trials={num_trials}, but the search space lists "
                f"{len(space)} points."
            )
        return [as_hyperparameters(point) for point in space[:num_trials]]
    # Here and not above: it takes a second, which a self-tuning run need not wait for.
    from scipy.stats import qmc

    unit = qmc.Halton(len(space), scramble=True, rng=0).random(num_trials)
    return [
        as_hyperparameters(
            {
                name: _scale(dimension, float(u))
                for (name, dimension), u in zip(space.items(), row, strict=True)
            }
        )
        for row in unit
    ]


def _scale(dimension: dict[str, Any], u: float) -> Any:
    """The value of a dimension at u in [0, 1)."""
    if "feasible_points" in dimension:
        points = dimension["feasible_points"]
        return points[int(u * len(points))]
    low, high = dimension["min"], dimension["max"]
    if dimension.get("scaling", "linear") == "log":
        return low * math.exp(u * math.log(high / low))
    return low + u * (high - low)


def as_hyperparameters(values: dict[str, Any]) -> Any:
    """A namedtuple of the values, as the official runner hands to submissions."""
    return collections.namedtuple("Hyperparameters", values)(**values)
