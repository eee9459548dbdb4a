"""The valid values of each hyperparameter, for every optimizer of both frameworks."""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple


class _Range(NamedTuple):
    is_valid: Callable[[Any], bool]
    choices: str
    is_number: bool = True
    is_optional: bool = False


_AT_LEAST_0 = _Range(lambda value: 0 <= value < math.inf, "at least 0")
_MOMENTUM = _Range(lambda value: 0 <= value < 1, "in [0, 1)")
_FLAG = _Range(lambda value: value in (False, True), "True or False", is_number=False)
_OPTIONAL_FLAG = _FLAG._replace(choices="True, False or None", is_optional=True)

_RANGES = {
    "learning_rate": _AT_LEAST_0,
    "lr": _AT_LEAST_0,
    "interpolation": _Range(lambda value: 0 <= value <= 1, "in [0, 1]"),
    "b1": _MOMENTUM,
    "b2": _MOMENTUM,
    "eps": _AT_LEAST_0,
    "weight_decay": _AT_LEAST_0,
    "warmup_steps": _AT_LEAST_0,
    "r": _AT_LEAST_0,
    "weight_lr_power": _AT_LEAST_0,
    "decoupling_c": _Range(
        lambda value: 0 < value < math.inf, "above 0, or None", is_optional=True
    ),
    "threshold": _Range(lambda value: 4 <= value < math.inf, "at least 4"),
    "k": _Range(
        lambda value: 1 <= value < math.inf and value == int(value), "an integer from 1"
    ),
    "alpha": _Range(lambda value: 0 < value <= 1, "in (0, 1]"),
    "fisher_decay": _MOMENTUM,
    "slow_momentum": _Range(
        lambda value: value in ("keep", "reset", "pullback"),
        "one of 'keep', 'reset', 'pullback'",
        is_number=False,
    ),
    "muon_momentum": _MOMENTUM,
    "use_muon": _FLAG,
    "adaptive": _FLAG,
    "maximize": _FLAG,
    "silent_sgd_phase": _FLAG,
    "foreach": _OPTIONAL_FLAG,
    "fused": _OPTIONAL_FLAG,
}


def has(kind: str) -> bool:
    return kind in _RANGES


def check(kind: str, value: Any, name: str = "") -> None:
    """Raises a ValueError if `value` is not a valid hyperparameter of its kind.

    `name` is what the user calls it; an array of no dimension counts as its number.
    """
    is_valid, choices, is_number, is_optional = _RANGES[kind]
    if value is None and is_optional:
        return
    if value is not None and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, int) and value.bit_length() > 1000:
        got = "an integer of over 300 digits"
        raise ValueError(f"{name or kind} must be {choices}, got {got}.")
    if is_number and (not isinstance(value, numbers.Real) or isinstance(value, bool)):
        choices = "a number, or None" if is_optional else "a number"
    elif isinstance(value, (numbers.Real, str)) and is_valid(value):
        return
    raise ValueError(f"{name or kind} must be {choices}, got {value!r:.100}.")
