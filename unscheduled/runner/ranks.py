"""The processes that train together: one, or the ranks of a distributed run."""

from collections.abc import Callable
from typing import Any, Protocol


class Ranks(Protocol):
    """The process group, as the runner sees it.

    `latest`, `from_first` and `leave` must be called by all ranks in the same order.
    """

    count: int
    is_first: bool  # the one that writes files and prints

    def latest(self, seconds: float) -> float:
        """The latest of the ranks' times, the same on all of them."""
        ...

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` returns on the first rank, where alone it is called."""
        ...

    def leave(self) -> None:
        """Waits for all ranks, then takes the group down."""
        ...

    def is_first_to_fail(self) -> bool:
        """Whether no other rank has asked this before; one that asks has failed."""
        ...

    def abandon(self, status: int) -> None:
        """Ends the process at once where others may be waiting for it."""
        ...


class OneProcess:
    """A run in one process, which waits for nobody."""

    count = 1
    is_first = True

    def latest(self, seconds: float) -> float:
        return seconds

    def from_first(self, make: Callable[[], Any]) -> Any:
        return make()

    def leave(self) -> None:
        pass

    def is_first_to_fail(self) -> bool:
        return True

    def abandon(self, status: int) -> None:
        pass


ALONE = OneProcess()
