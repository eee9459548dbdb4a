"""What a rehearsal needs of a framework; `pytorch.py` and `jax.py` each give it.

Only the module of the framework in use is ever imported.
"""

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unscheduled.runner.backend import TrainingState


class Tools(Protocol):
    """A framework, as a rehearsal sees it."""

    def prepare(self, folder: Path) -> None:
        """Gets ready, before anything else; may keep files in the folder."""
        ...

    def uses_devices(self) -> bool:
        """Whether a device was taken already."""
        ...

    def settings(self) -> dict[str, Any]:
        """The framework's global settings, by name."""
        ...

    def form_faults(self, optimizer_state: Any) -> list[tuple[str, str]]:
        """(code, message) of what is wrong with an optimizer state."""
        ...

    def saved_part(self, state: TrainingState) -> TrainingState:
        """The state without what the official checkpoint leaves out."""
        ...

    def arrays(self, model_params: Any) -> list[np.ndarray]:
        """Copies of the parameters, in a fixed order."""
        ...

    def code_of(self, model_params: Any) -> Any:
        """What the model runs apart from its class: hooks and the like."""
        ...

    def nbytes(self, state: TrainingState) -> int:
        """Bytes of parameters and optimizer state, an array counted once."""
        ...

    def logits(self, workload: Any, state: TrainingState, batch: Any) -> np.ndarray:
        """The model's outputs in evaluation."""
        ...

    def adamw(self, workload: Any, params: Any, model_state: Any) -> TrainingState:
        """The state of AdamW before its first step."""
        ...

    def adamw_step(
        self, workload: Any, state: TrainingState, batch: Any, rng: Any
    ) -> TrainingState:
        """One step of AdamW, as plain as can be."""
        ...


def load_tools(framework: str) -> Tools:
    """The tools of a framework, importing that framework alone."""
    module = importlib.import_module(f"unscheduled.check.dry_run.{framework}")
    return module.TOOLS
