"""What the runner needs of a framework; `pytorch.py` and `jax.py` each give it.

Only the module of the framework in use is ever imported.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from unscheduled.benchmark.errors import UserError


class TrainingState(NamedTuple):
    """What training carries from step to step, as the submission returns it."""

    optimizer_state: Any
    model_params: Any
    model_state: Any


class Ranks:
    """The processes that train together: here one, which waits for nobody.

    All ranks must call `latest`, `from_first` and `leave` in the same order.
    """

    count = 1
    is_first = True  # the one that writes files and prints

    def latest(self, seconds: float) -> float:
        """The latest of the ranks' times, the same on all of them."""
        return seconds

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` returns on the first rank, the only one that calls it."""
        return make()

    def leave(self) -> None:
        """Waits for all ranks, then takes the group down."""

    def fail(self, text: str, status: int) -> int:
        """Says why the run fails; among others, the first alone, and ends at once."""
        print(text, file=sys.stderr)
        return status


ALONE = Ranks()


class Backend(Protocol):
    """A framework, as the runner sees it."""

    random: Any  # makes keys: key(seed), split(key, num), fold_in(key, data)

    def join_ranks(self) -> Ranks:
        """Joins the processes that torchrun has started with this one."""
        ...

    def start_trial(self, seed: int) -> None:
        """Seeds the framework's global generator and frees unused device memory."""

    def compile_model(self, model_params: Any, wanted: bool | None) -> Any:
        """The model, compiled where wanted (None: where a GPU is in use)."""
        return model_params

    def synchronize(self) -> None:
        """Waits for the devices, as the official clock does at each step."""

    def wait_for(self, state: TrainingState) -> None:
        """Waits until the state is computed."""

    def fault(self, state: TrainingState, before: TrainingState) -> str | None:
        """What is wrong with a state that a submission made of the one before."""

    def generator_state(self) -> Any:
        """The state of the framework's global generators."""

    def restore_generators(self, state: Any) -> None:
        """Sets them back to what `generator_state` returned."""

    def save(self, path: Path, state: TrainingState, record: dict[str, Any]) -> None:
        """Writes a checkpoint, a zip file or a folder; `record` has plain values."""

    def restore(
        self, path: Path, state: TrainingState
    ) -> tuple[TrainingState, dict[str, Any]]:
        """Reads a checkpoint over a freshly initialised state: (state, record)."""
        ...

    def device_count(self) -> int:
        """Devices that a global batch is divided over."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions and devices, for the meta data."""
        ...

    def trace(self, folder: Path) -> AbstractContextManager[Any]:
        """A context in which JAX's profiler writes a trace into the folder."""
        raise UserError("--capture_jax_trace needs --framework=jax.")


def load_backend(framework: str) -> Backend:
    """The backend of a framework, importing that framework alone."""
    module = importlib.import_module(f"unscheduled.runner.{framework}")
    return module.BACKEND
