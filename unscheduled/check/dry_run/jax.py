"""What a dry run needs of JAX; `pytorch.py` says what the functions are for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unscheduled.runner.backend import TrainingState


def prepare(folder: Path) -> None:
    """Gets ready: a resumed run compiles what the first one has compiled."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def uses_devices() -> bool:
    """Whether a device was taken already: until then their number can be set."""
    before = jax.config.values["jax_num_cpu_devices"]
    try:
        jax.config.update("jax_num_cpu_devices", 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False


def settings() -> dict[str, Any]:
    return {f"jax.config.{name}": value for name, value in jax.config.values.items()}


def arrays(model_params: Any) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(model_params)]


def nbytes(state: TrainingState) -> int:
    leaves = jax.tree.leaves((state.model_params, state.optimizer_state[0]))
    return sum(np.asarray(leaf).nbytes for leaf in leaves)


def adamw(
    loss_fn: Callable[..., Any], params: Any, model_state: Any
) -> tuple[TrainingState, Callable[..., TrainingState]]:
    optimizer = optax.adamw(1e-4)

    @jax.jit
    def step(state: TrainingState, batch: Any, rng: Any) -> TrainingState:
        (optimizer_state,), params, model_state = state
        grads, model_state = jax.grad(loss_fn, has_aux=True)(
            params, model_state, batch, rng
        )
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        return TrainingState((optimizer_state,), params, model_state)

    # Where the step leaves them, or else it is compiled a second time.
    replicated = NamedSharding(Mesh(jax.devices(), ("batch",)), PartitionSpec())
    state = TrainingState((optimizer.init(params),), params, model_state)
    return jax.device_put(state, replicated), step
