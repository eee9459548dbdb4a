"""Tuning search spaces in the official format, and the points that trials get."""

import collections
import keyword
import math
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, read_json

SCALINGS = ("linear", "log")


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
    fault = _fault_of_points(space) if isinstance(space, list) else _fault(space)
    if fault:
        raise UserError(f"{path}: {fault}.")
    return space


def _fault(space: dict[str, Any]) -> str | None:
    """What is wrong with an object of dimensions, or None."""
    for name, dimension in space.items():
        fault = _fault_of_name(name) or _fault_of_dimension(dimension)
        if fault:
            return f"{_label(name)} {fault}"
    return None


def _fault_of_points(points: list[Any]) -> str | None:
    """What is wrong with a list of points, or None."""
    names = [set(p) if isinstance(p, dict) else None for p in points]
    if not names[0] or any(n != names[0] for n in names):
        return "the points must all be objects with the same names"
    for number, point in enumerate(points, 1):
        for name, value in point.items():
            fault = _fault_of_name(name)
            if not fault and not _is_finite(value):
                fault = f"must be finite, got {brief(value)}"
            if fault:
                return f"{_label(name)} of point {number} {fault}"
    return None


def _fault_of_name(name: str) -> str | None:
    is_name = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
    if is_name and not name.startswith("_"):
        return None
    return "is no name for a hyperparameter: letters, digits and _, a letter first"


def _label(name: str) -> str:
    return brief(name) if _fault_of_name(name) else name


def _fault_of_dimension(dimension: Any) -> str | None:
    if not isinstance(dimension, dict):
        return f"must be an object, got {brief(dimension)}"
    if set(dimension) == {"feasible_points"}:
        points = dimension["feasible_points"]
        if not isinstance(points, list) or not points:
            return f"needs a list of feasible_points, got {brief(points)}"
        faulty = [p for p in points if not _is_finite(p)]
        return (
            f"needs finite feasible_points, got {brief(faulty[0])}" if faulty else None
        )
    unknown = set(dimension) - {"min", "max", "scaling"}
    if unknown:
        return (
            f"has the unknown key {brief(min(unknown))}; a dimension has min, max and "
            "scaling, or feasible_points"
        )
    missing = {"min", "max", "scaling"} - set(dimension)
    if missing:
        return f"lacks {min(missing)}"
    return _fault_of_range(**{f"{key}_": value for key, value in dimension.items()})


def _fault_of_range(min_: Any, max_: Any, scaling_: Any) -> str | None:
    is_number = all(type(v) in (int, float) and _is_finite(v) for v in (min_, max_))
    if not is_number or min_ > max_:
        return (
            f"needs finite numbers with min <= max, got {brief(min_)} and {brief(max_)}"
        )
    if scaling_ not in SCALINGS:
        return f"must have a scaling of {' or '.join(SCALINGS)}, got {brief(scaling_)}"
    if scaling_ == "log" and min_ <= 0:
        return f"needs a positive min for log scaling, got {brief(min_)}"
    width = max_ / min_ if scaling_ == "log" else max_ - min_
    if not _is_finite(width):
        return f"has a range too wide for a float, {brief(min_)} to {brief(max_)}"
    return None


def _is_finite(value: Any, depth: int = 16) -> bool:
    """Whether a value of JSON can be a hyperparameter: no NaN, no infinity.

    Lists in lists and the like end after `depth`, sooner than Python's stack.
    """
    if isinstance(value, list | dict):
        inner = value if isinstance(value, list) else value.values()
        return depth > 0 and all(_is_finite(item, depth - 1) for item in inner)
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


def read_point(path: Path) -> dict[str, Any]:
    """The hyperparameters in `hparams.json`: a point of a search space.

    Raises:
      UserError: for any other content.
    """
    values = read_json(path)
    fault = _fault_of_points([values])
    if fault:
        raise UserError(
            f"{path}: {fault}; put it back, or start anew with --overwrite."
        )
    return values
