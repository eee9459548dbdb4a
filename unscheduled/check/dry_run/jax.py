"""JAX, as a rehearsal sees it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unscheduled import spec
from unscheduled.runner.backend import TrainingState


class JaxTools:
    """The optimizer state is a pair (pytree, function)."""

    def prepare(self, folder: Path) -> None:
        """A resumed run compiles what the first one has compiled."""
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    def uses_devices(self) -> bool:
        # The number of CPU devices can be set until there are devices.
        before = jax.config.values["jax_num_cpu_devices"]
        try:
            jax.config.update("jax_num_cpu_devices", 1)
        except RuntimeError:
            return True
        jax.config.update("jax_num_cpu_devices", before)
        return False

    def settings(self) -> dict[str, Any]:
        return {f"jax.config.{name}": v for name, v in jax.config.values.items()}

    def form_faults(self, optimizer_state: Any) -> list[tuple[str, str]]:
        if not isinstance(optimizer_state, tuple) or len(optimizer_state) != 2:
            message = (
                "the optimizer state must be a pair (pytree, update function), got a "
                f"{type(optimizer_state).__name__}."
            )
            return [("E604", message)]
        strange = {
            type(leaf).__name__
            for leaf in jax.tree.leaves(optimizer_state[0])
            if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float)
        }
        if strange:
            message = (
                "the first of the optimizer state must hold arrays only, for "
                f"checkpoints; it has {', '.join(sorted(strange))}."
            )
            return [("E604", message)]
        return []

    def saved_part(self, state: TrainingState) -> TrainingState:
        return state

    def arrays(self, model_params: Any) -> list[np.ndarray]:
        return [np.array(leaf) for leaf in jax.tree.leaves(model_params)]

    def code_of(self, model_params: Any) -> Any:
        return None  # the parameters are arrays

    def nbytes(self, state: TrainingState) -> int:
        trees = (state.model_params, state.optimizer_state[0])
        return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(trees))

    def logits(self, workload: Any, state: TrainingState, batch: Any) -> np.ndarray:
        @jax.jit
        def forward(params, batch, model_state):
            return workload.model_fn(
                params,
                batch,
                model_state,
                spec.ForwardPassMode.EVAL,
                jax.random.PRNGKey(0),
                update_batch_norm=False,
            )[0]

        return np.asarray(forward(state.model_params, batch, state.model_state))

    def adamw(self, workload: Any, params: Any, model_state: Any) -> TrainingState:
        optimizer = optax.adamw(1e-4)

        @jax.jit
        def step(params, optimizer_state, model_state, batch, rng):
            def mean_loss(params):
                logits, new_model_state = workload.model_fn(
                    params,
                    batch,
                    model_state,
                    spec.ForwardPassMode.TRAIN,
                    rng,
                    update_batch_norm=True,
                )
                losses = workload.loss_fn(
                    batch["targets"], logits, batch.get("weights")
                )
                return losses["summed"] / losses["n_valid_examples"], new_model_state

            grads, new_model_state = jax.grad(mean_loss, has_aux=True)(params)
            updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
            params = optax.apply_updates(params, updates)
            return params, optimizer_state, new_model_state

        # Where the step leaves them, or else it is compiled a second time.
        replicated = NamedSharding(Mesh(jax.devices(), ("batch",)), PartitionSpec())
        optimizer_state, params, model_state = jax.device_put(
            (optimizer.init(params), params, model_state), replicated
        )
        return TrainingState((optimizer_state, step), params, model_state)

    def adamw_step(
        self, workload: Any, state: TrainingState, batch: Any, rng: Any
    ) -> TrainingState:
        optimizer_state, step = state.optimizer_state
        params, optimizer_state, model_state = step(
            state.model_params, optimizer_state, state.model_state, batch, rng
        )
        return TrainingState((optimizer_state, step), params, model_state)


TOOLS = JaxTools()
