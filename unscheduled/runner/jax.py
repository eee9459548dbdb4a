"""JAX, as the runner sees it: one process over all its devices."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.runner.backend import Backend, Ranks, TrainingState


class JaxRandom:
    """`jax.random`, with the raw keys that official workloads take."""

    key = staticmethod(jax.random.PRNGKey)
    split = staticmethod(jax.random.split)
    fold_in = staticmethod(jax.random.fold_in)


class JaxBackend(Backend):
    """JAX has no global generator, and dispatches steps without waiting for them."""

    random = JaxRandom()

    def join_ranks(self) -> Ranks:
        raise UserError(
            "torchrun needs --framework=pytorch: one process of JAX trains on all "
            "local devices."
        )

    def wait_for(self, state: TrainingState) -> None:
        jax.block_until_ready((state.model_params, state.model_state))

    def fault(self, state: TrainingState, before: TrainingState) -> str | None:
        pair = state.optimizer_state
        if not isinstance(pair, tuple) or len(pair) != 2:
            return "must return an optimizer_state that is a pair (pytree, function)"
        if _shapes(state.model_params) != _shapes(before.model_params):
            return "must return model_params of the shapes that it was given"
        return None

    def save(self, path: Path, state: TrainingState, record: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp

        arrays = jax.tree.map(np.asarray, _arrays(state))
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
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        arrays_args = ocp.args.PyTreeRestore(
            template, restore_args=jax.tree.map(lambda _: as_numpy, template)
        )
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            saved = checkpointer.restore(
                path,
                ocp.args.Composite(arrays=arrays_args, record=ocp.args.JsonRestore()),
            )
        arrays = jax.tree.map(_like, template, saved["arrays"])
        _, update_fn = state.optimizer_state
        arrays["optimizer_state"] = arrays["optimizer_state"], update_fn
        return TrainingState(**arrays), json.loads(saved["record"]["json"])

    def device_count(self) -> int:
        return jax.local_device_count()

    def describe(self) -> dict[str, Any]:
        description: dict[str, Any] = {"jax_version": jax.__version__}
        if jax.default_backend() == "gpu":
            description["gpu_model_name"] = jax.devices()[0].device_kind
            description["gpu_count"] = self.device_count()
        return description

    def trace(self, folder: Path) -> AbstractContextManager[Any]:
        return jax.profiler.trace(str(folder))


def _arrays(state: TrainingState) -> dict[str, Any]:
    return state._replace(optimizer_state=state.optimizer_state[0])._asdict()


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
