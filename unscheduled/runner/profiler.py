"""Time by section of the loop, for --profile."""

import collections
import contextlib
import time
from collections.abc import Iterator


class Profiler:
    """Adds up the wall time of named sections.

    Args:
      enabled: whether to measure at all.
    """

    def __init__(self, enabled: bool):
        self._enabled = enabled
        self._seconds: dict[str, float] = collections.defaultdict(float)
        self._calls: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        if not self._enabled:
            yield
            return
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start
            self._calls[name] += 1

    def summary(self) -> str:
        """A line a section, the longest first."""
        return "\n".join(
            f"{name:<22} {self._calls[name]:>8} calls {seconds:>10.3f} s"
            for name, seconds in sorted(self._seconds.items(), key=lambda i: -i[1])
        )
