"""Tuning search spaces in the official format, and the points that trials get."""

import collections
import math
import sys
from reprlib import repr as brief
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, read_json


def read_search_space(path: str) -> list[dict[str, Any]] | dict[str, dict[str, Any]]:
    """Reads a search space: a list of points, or ranges and choices by name.

    A list holds one object a trial, values by name. An object has, by name, either
    {"min", "max", "scaling": "linear" | "log"} or {"feasible_points": [...]}.
    """
    space = read_json(expand(path))
    if not isinstance(space, list | dict) or not space:
        raise UserError(f"{path} must hold a list of points or an object of ranges.")
    points = space if isinstance(space, list) else [space]
    try:
        for number, point in enumerate(points, 1):
            if not isinstance(point, dict) or not point or set(point) != set(points[0]):
                raise ValueError("the points must all be objects with the same names")
            as_hyperparameters(point)  # which checks the names
            for name, value in point.items():
                if isinstance(space, list) and not is_finite(value):
                    raise ValueError(
                        f"{name} of point {number} must be finite, got {brief(value)}"
                    )
                if isinstance(space, dict) and not _is_dimension(value):
                    raise ValueError(
                        f"{name} must have a finite min <= max and a scaling of linear "
                        "or log (with min above 0), or a list of finite "
                        f"feasible_points, got {brief(value)}"
                    )
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}.") from error
    return space


def _is_dimension(value: Any) -> bool:
    match value:
        case {"feasible_points": [_, *_] as points, **rest}:
            return not rest and is_finite(points)
        case {"min": low, "max": high, "scaling": "linear" | "log" as scaling, **rest}:
            is_number = all(type(end) in (int, float) for end in (low, high))
            if rest or not is_number or not is_finite([low, high]) or low > high:
                return False
            if scaling == "log":
                return low > 0 and is_finite(high / low)
            return is_finite(high - low)
    return False


def is_finite(value: Any, depth: int = 16) -> bool:
    """Whether a value of JSON has no NaN, no infinity and no more levels than that."""
    if isinstance(value, list | dict):
        inner = value if isinstance(value, list) else value.values()
        return depth > 0 and all(is_finite(item, depth - 1) for item in inner)
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


def trial_points(space: Any, num_trials: int) -> list[Any]:
    """The hyperparameters of each trial: a list's in order, or points of the ranges.

    Those are of a scrambled Halton sequence (scipy), the same in every run.
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
