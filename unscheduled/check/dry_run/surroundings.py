"""What submitted code must leave as it was: environment, settings, workload, model."""

import functools
import os
from typing import Any

# What torch's compilers and its OpenMP set for themselves once they run.
_RUNTIMES = ("TORCHINDUCTOR_", "TRITON_", "KMP_")
# Set anew by init_model_fn, which submissions may call; given by the harness.
_MAY_CHANGE = ("_param_shapes", "_param_types", "metrics_logger")


def environment() -> dict[str, str]:
    """The environment variables that are nobody's but the benchmark's."""
    return {k: v for k, v in os.environ.items() if not k.startswith(_RUNTIMES)}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names that are new, gone or have another value.

    Example:
      >>> changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
      ['b', 'c']
    """
    missing = object()
    return sorted(
        name
        for name in before.keys() | after.keys()
        if not _same(before.get(name, missing), after.get(name, missing))
    )


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    simple = (int, float, str, bytes, tuple, type(None))
    return isinstance(a, simple) and isinstance(b, simple) and a == b


def parts_of(workload: Any) -> dict[str, Any]:
    """The attributes of a workload and of its classes, but not what they cache."""
    parts = {}
    cached = set()
    for cls in type(workload).__mro__[:-1]:
        for name, value in vars(cls).items():
            if isinstance(value, functools.cached_property):
                cached.add(name)
            parts[f"{cls.__name__}.{name}"] = value
    own = {n: v for n, v in vars(workload).items() if n not in (*cached, *_MAY_CHANGE)}
    return {"class": type(workload), **parts, **own}
