"""A submission's hyperparameters: its own defaults, overridden by name."""

import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints


def resolve(defaults: Any, given: Any) -> Any:
    """The defaults with the given values in place.

    Args:
      defaults: a NamedTuple class whose every field has a default.
      given: None (self-tuning), a mapping, or an object with `_asdict` (the trial's
        point of the tuning search space); other names keep their default.

    Returns:
      An instance of `defaults`.

    Raises:
      ValueError: for a name that `defaults` does not have, or a value that is not a
        finite number (or None, where the field's type allows it).

    Example:
      >>> from typing import NamedTuple
      >>> class Hyperparameters(NamedTuple):
      ...     learning_rate: float = 0.1
      >>> resolve(Hyperparameters, {"learning_rate": 0.2})
      Hyperparameters(learning_rate=0.2)
    """
    given = {} if given is None else given
    values = given if isinstance(given, Mapping) else given._asdict()
    types = get_type_hints(defaults)
    for name, value in values.items():
        if name not in defaults._fields:
            raise ValueError(
                f"unknown hyperparameter {name!r}; "
                f"this submission has {', '.join(defaults._fields)}."
            )
        optional = type(None) in get_args(types[name])
        if not (_is_number(value) or (optional and value is None)):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
    return defaults(**values)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
