"""JAX, as the runner sees it."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.runner.backend import TrainingState
from unscheduled.runner.ranks import Ranks
from unscheduled.runner.run_directory import check_space


class JaxRandom:
    """`jax.random`, with the raw keys that official workloads take."""

    def key(self, seed: int) -> jax.Array:
        return jax.random.PRNGKey(seed)

    def split(self, key: jax.Array, num: int) -> jax.Array:
        return jax.random.split(key, num)

    def fold_in(self, key: jax.Array, data: int) -> jax.Array:
        return jax.random.fold_in(key, data)


class JaxBackend:
    """One process over all its devices."""

    random = JaxRandom()

    def join_ranks(self) -> Ranks:
        raise UserError(
            "torchrun needs --framework=pytorch: one process of JAX trains on all "
            "local devices."
        )

    def start_trial(self, seed: int) -> None:
        """Nothing: JAX has no global generator."""

    def compile_model(self, model_params: Any, wanted: bool | None) -> Any:
        """The model as it is: submissions compile their own step."""
        return model_params

    def synchronize(self) -> None:
        """Nothing, as officially: steps are dispatched without waiting for them."""

    def wait_for(self, state: TrainingState) -> None:
        jax.block_until_ready((state.model_params, state.model_state))

    def fault(self, state: TrainingState, before: TrainingState) -> str | None:
        pair = state.optimizer_state
        if not isinstance(pair, tuple) or len(pair) != 2:
            return "must return an optimizer_state that is a pair (pytree, function)"
        if _shapes(state.model_params) != _shapes(before.model_params):
            return "must return model_params of the shapes that it was given"
        return None

    def generator_state(self) -> Any:
        return None

    def restore_generators(self, state: Any) -> None:
        pass

    def save(self, path: Path, state: TrainingState, record: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp

        arrays = jax.tree.map(np.asarray, _arrays(state))
        check_space(path.parent, sum(a.nbytes for a in jax.tree.leaves(arrays)))
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(
                path,
                ocp.args.Composite(
                    arrays=ocp.args.PyTreeSave(arrays),
                    # As text: JSON keeps every bit of a float, and NaN.
                    record=ocp.args.JsonSave({"json": json.dumps(record)}),
                ),
            )

    def restore(
        self, path: Path, state: TrainingState
    ) -> tuple[TrainingState, dict[str, Any]]:
        import orbax.checkpoint as ocp

        template = _arrays(state)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            saved = checkpointer.restore(
                path,
                ocp.args.Composite(
                    arrays=ocp.args.PyTreeRestore(
                        template,
                        restore_args=jax.tree.map(
                            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), template
                        ),
                    ),
                    record=ocp.args.JsonRestore(),
                ),
            )
        arrays = jax.tree.map(_like, template, saved["arrays"])
        _, update_fn = state.optimizer_state
        restored = TrainingState(
            optimizer_state=(arrays["optimizer_state"], update_fn),
            model_params=arrays["model_params"],
            model_state=arrays["model_state"],
        )
        return restored, json.loads(saved["record"]["json"])

    def device_count(self) -> int:
        return jax.local_device_count()

    def describe(self) -> dict[str, Any]:
        description: dict[str, Any] = {"jax_version": jax.__version__}
        if jax.default_backend() == "gpu":
            description["gpu_model_name"] = jax.devices()[0].device_kind
            description["gpu_count"] = self.device_count()
        return description

    def start_trace(self, folder: Path) -> None:
        jax.profiler.start_trace(str(folder))

    def stop_trace(self) -> None:
        jax.profiler.stop_trace()


def _arrays(state: TrainingState) -> dict[str, Any]:
    """The arrays of a state: the optimizer state without its function."""
    return {
        "model_params": state.model_params,
        "model_state": state.model_state,
        "optimizer_state": state.optimizer_state[0],
    }


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _like(template: Any, saved: np.ndarray) -> Any:
    """The saved array, on the device unless the template was on the host."""
    if (template.shape, template.dtype) != (saved.shape, saved.dtype):
        raise ValueError(
            f"an array of {saved.shape} {saved.dtype} was saved where the submission "
            f"has {template.shape} {template.dtype}"
        )
    return saved if isinstance(template, np.ndarray) else jax.numpy.asarray(saved)


BACKEND = JaxBackend()
