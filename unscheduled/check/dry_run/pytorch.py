"""What a dry run needs of PyTorch; `jax.py` has the same functions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unscheduled.runner.backend import TrainingState


def prepare(folder: Path) -> None:
    """Nothing to get ready."""


def uses_devices() -> bool:
    """Whether a device was taken already."""
    return torch.cuda.is_initialized()


def settings() -> dict[str, Any]:
    """The framework's global settings, by name."""
    return {
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
    }


def arrays(model_params: Any) -> list[np.ndarray]:
    """Copies of the parameters, in a fixed order."""
    return [p.detach().cpu().numpy().copy() for p in model_params.parameters()]


def nbytes(state: TrainingState) -> int:
    """Bytes of parameters and optimizer state, a tensor counted once."""
    saved = [v for v in state.optimizer_state.values() if hasattr(v, "state_dict")]
    trees = [list(state.model_params.parameters()), *(v.state_dict() for v in saved)]
    return sum({t.data_ptr(): t.nbytes for t in _tensors(trees)}.values())


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(child)


def adamw(
    loss_fn: Callable[..., Any], params: Any, model_state: Any
) -> tuple[TrainingState, Callable[..., TrainingState]]:
    """AdamW as plain as can be: its state, and a step from state, batch and key."""
    optimizer = torch.optim.AdamW(params.parameters(), lr=1e-4)

    def step(state: TrainingState, batch: Any, rng: Any) -> TrainingState:
        optimizer.zero_grad(set_to_none=True)
        loss, model_state = loss_fn(params, state.model_state, batch, rng)
        loss.backward()
        optimizer.step()
        return state._replace(model_state=model_state)

    return TrainingState({"optimizer": optimizer}, params, model_state), step
