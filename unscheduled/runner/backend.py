"""What the runner needs of a framework; `pytorch.py` and `jax.py` each give it.

Only the module of the framework in use is ever imported.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from unscheduled.runner.ranks import Ranks
    from unscheduled.runner.seeds import RandomSource


class TrainingState(NamedTuple):
    """What training carries from step to step, as the submission returns it."""

    optimizer_state: Any
    model_params: Any
    model_state: Any


class Backend(Protocol):
    """A framework, as the runner sees it."""

    random: "RandomSource"

    def join_ranks(self) -> "Ranks":
        """Joins the processes that torchrun has started with this one.

        Raises:
          UserError: where the framework does not train that way.
        """
        ...

    def start_trial(self, seed: int) -> None:
        """Seeds the framework's global generator and frees unused device memory."""
        ...

    def compile_model(self, model_params: Any, wanted: bool | None) -> Any:
        """The model, compiled where wanted (None: where a GPU is in use)."""
        ...

    def synchronize(self) -> None:
        """Waits for the devices, as the official clock does at each step."""
        ...

    def wait_for(self, state: TrainingState) -> None:
        """Waits until the state is computed."""
        ...

    def fault(self, state: TrainingState, before: TrainingState) -> str | None:
        """What is wrong with a state that a submission returned, or None.

        Args:
          before: the state that it was given.
        """
        ...

    def generator_state(self) -> Any:
        """The state of the framework's global generators."""
        ...

    def restore_generators(self, state: Any) -> None: ...

    def save(self, path: Path, state: TrainingState, record: dict[str, Any]) -> None:
        """Writes a checkpoint: a zip file or a folder.

        Args:
          record: plain values: the training's bookkeeping.
        """
        ...

    def restore(
        self, path: Path, state: TrainingState
    ) -> tuple[TrainingState, dict[str, Any]]:
        """Reads a checkpoint over a freshly initialised state: (state, record).

        Raises whatever the file's format raises where it is broken.
        """
        ...

    def device_count(self) -> int:
        """Devices that a global batch is divided over."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions and devices, for the meta data."""
        ...

    def start_trace(self, folder: Path) -> None:
        """Starts a profiler trace, where the framework has one for this flag."""
        ...

    def stop_trace(self) -> None: ...


def load_backend(framework: str) -> Backend:
    """The backend of a framework, importing that framework alone."""
    module = importlib.import_module(f"unscheduled.runner.{framework}")
    return module.BACKEND
