"""Tuning search spaces in the official format, and the points that trials get."""

import collections
import math
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, read_json


def read_search_space(path: str) -> list[dict[str, Any]] | dict[str, dict[str, Any]]:
    """Reads a search space: a list of points, or ranges and choices by name.

    A list holds one object a trial, values by name. An object has, by name, either
    {"min", "max", "scaling": "linear" | "log"} or {"feasible_points": [...]}.

    Raises:
      UserError: where the file is not of this format, naming what is wrong.
    """
    space = read_json(expand(path))
    if not isinstance(space, list | dict) or not space:
        raise UserError(f"{path} must hold a list of points or an object of ranges.")
    try:
        if isinstance(space, list):
            _check_points(space)
        else:
            as_hyperparameters(space)  # which checks the names
            for name, dimension in space.items():
                _check_dimension(name, dimension)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}.") from error
    return space


def read_point(path: Path) -> dict[str, Any]:
    """The hyperparameters in `hparams.json`: a point of a search space."""
    values = read_json(path)
    try:
        _check_points([values])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}: {error}; put it back, or start anew with --overwrite."
        ) from error
    return values


def _check_points(points: list[Any]) -> None:
    for number, point in enumerate(points, 1):
        if not isinstance(point, dict) or not point or set(point) != set(points[0]):
            raise ValueError("the points must all be objects with the same names")
        as_hyperparameters(point)  # which checks the names
        for name, value in point.items():
            if not _is_finite(value):
                raise ValueError(
                    f"{name} of point {number} must be finite, got {brief(value)}"
                )


def _check_dimension(name: str, dimension: Any) -> None:
    keys = set(dimension) if isinstance(dimension, dict) else set()
    if keys == {"feasible_points"}:
        points = dimension["feasible_points"]
        if not isinstance(points, list) or not points or not _is_finite(points):
            raise ValueError(
                f"{name} needs a list of finite feasible_points, got {brief(points)}"
            )
        return
    if keys != {"min", "max", "scaling"}:
        raise ValueError(
            f"{name} must have min, max and scaling, or feasible_points, got "
            f"{brief(dimension)}"
        )
    low, high, scaling = (dimension[key] for key in ("min", "max", "scaling"))
    got = f"got {brief(low)} and {brief(high)}"
    is_number = all(type(v) in (int, float) and _is_finite(v) for v in (low, high))
    if not is_number or low > high:
        raise ValueError(f"{name} needs finite numbers with min <= max, {got}")
    if scaling not in ("linear", "log"):
        raise ValueError(f"{name} must be scaled linear or log, got {brief(scaling)}")
    if scaling == "log" and low <= 0:
        raise ValueError(f"{name} needs a positive min for log scaling, {got}")
    if not _is_finite(high / low if scaling == "log" else high - low):
        raise ValueError(f"{name} has a range too wide for a float, {got}")


def _is_finite(value: Any) -> bool:
    """Whether a value of JSON has no NaN and no infinity in it."""
    if isinstance(value, list | dict):
        inner = value if isinstance(value, list) else value.values()
        return all(map(_is_finite, inner))
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


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

    rows = qmc.Halton(len(space), scramble=True, rng=0).random(num_trials)
    points = [map(_scale, space.values(), row.tolist()) for row in rows]
    return [as_hyperparameters(dict(zip(space, p, strict=True))) for p in points]


def _scale(dimension: dict[str, Any], u: float) -> Any:
    """The value of a dimension at u in [0, 1), a float where it is a range."""
    if "feasible_points" in dimension:
        points = dimension["feasible_points"]
        return points[int(u * len(points))]
    low, high = dimension["min"], dimension["max"]
    if dimension["scaling"] == "log":
        value = low * math.exp(u * math.log(high / low))
    else:
        value = low + u * (high - low)
    return min(max(value, low), high)  # rounding may carry it past an end


def as_hyperparameters(values: dict[str, Any]) -> Any:
    """A namedtuple of the values, as the official runner hands to submissions."""
    return collections.namedtuple("Hyperparameters", values)(**values)
