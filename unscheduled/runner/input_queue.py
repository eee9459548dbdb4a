"""The training queue of a run, which a resumed run goes on with where it was."""

from collections.abc import Iterator
from typing import Any


class CountedQueue:
    """Counts the batches that a submission takes.

    Args:
      queue: the workload's endless iterator of batches. One with a method `skip(n)`
        is moved on at once; any other is read over.
    """

    def __init__(self, queue: Iterator[dict[str, Any]]):
        self._queue = queue
        self.taken = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = next(self._queue)
        self.taken += 1
        return batch

    def skip(self, count: int) -> None:
        """Leaves out the next `count` batches."""
        skip = getattr(self._queue, "skip", None)
        if skip is not None:
            skip(count)
        else:
            for _ in range(count):
                next(self._queue)
        self.taken += count
