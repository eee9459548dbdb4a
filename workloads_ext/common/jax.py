"""The JAX side of every embedded workload."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.parameters import parameter_type
from workloads_ext.common.workload import EmbeddedWorkload, Rows


def sharding(*axes: str) -> jax.sharding.NamedSharding:
    """Splits the first axis over all local devices as 'batch'; no axes: copies."""
    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), ("batch",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


class JaxWorkload(EmbeddedWorkload):
    """Shards batches over the local devices and evaluates in one jitted function."""

    example_inputs: Any  # of a batch of one, whatever their values
    _xp = jnp

    def _make_model(self, dropout_rate: float | None = None) -> nn.Module:
        return self._model(**self._dropout(dropout_rate))

    def _model_flags(self, is_training: bool, update_batch_norm: bool):
        """What the model is called with beside its inputs."""
        flags = {}
        if self.default_dropout_rate is not None:
            flags["deterministic"] = not is_training
        if self.has_batch_norm:
            flags["use_running_average"] = not update_batch_norm
        return flags

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The parameters, seeded by `rng`, on all devices, and the batch statistics."""
        flags = self._model_flags(is_training=False, update_batch_norm=True)
        init = _jitted_init(self._make_model(0.0), **flags)
        variables = init(rng, self.example_inputs)
        params = variables["params"]
        self._param_shapes = jax.tree.map(lambda x: spec.ShapeTuple(x.shape), params)

        def type_of(path, _):
            name = ".".join(key.key for key in path)
            return parameter_type(name, self.parameter_rules)

        self._param_types = jax.tree_util.tree_map_with_path(type_of, params)
        if not self.has_batch_norm:
            return params, None
        return params, {"batch_stats": variables["batch_stats"]}

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key, or a path with dots, is that of the output layer."""
        return param_key == self.output_layer

    def model_fn(
        self,
        params: spec.ParameterContainer,
        augmented_and_preprocessed_input_batch: Batch,
        model_state: spec.ModelAuxiliaryState,
        mode: spec.ForwardPassMode,
        rng: spec.RandomState,
        update_batch_norm: bool,
        dropout_rate: float | None = None,
    ) -> tuple[Any, spec.ModelAuxiliaryState]:
        """The model's output on a batch, and the new model state.

        With `update_batch_norm`, whatever the mode, normalises by the statistics of
        the batch, which also enter the running statistics of the new state; without,
        normalises by the running statistics. A `dropout_rate` of None is the default.
        """
        is_training = mode == spec.ForwardPassMode.TRAIN
        updates = self.has_batch_norm and update_batch_norm
        output, new_state = self._make_model(dropout_rate).apply(
            {"params": params, **(model_state or {})},
            augmented_and_preprocessed_input_batch["inputs"],
            **self._model_flags(is_training, update_batch_norm),
            rngs={"dropout": rng} if is_training else None,
            mutable=["batch_stats"] if updates else [],
        )
        return output, new_state if updates else model_state

    def _losses(self, labels, outputs, label_smoothing):
        log_probs = jax.nn.log_softmax(outputs)
        hits = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
        spread = jnp.mean(log_probs, axis=-1)
        return -(1 - label_smoothing) * hits - label_smoothing * spread

    def _shares(self) -> tuple[int, str]:
        return jax.local_device_count(), "local devices"

    def _place(self, batch: Batch) -> Batch:
        return jax.device_put(jax.tree.map(_with_jax_dtype, batch), sharding("batch"))

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jax.jit(super()._evaluate, out_shardings=sharding())

    def _evaluate(self, params, model_state, batch) -> tuple[dict[str, Any], Rows]:
        return self._compiled(params, model_state, batch)


@functools.cache
def _jitted_init(model: nn.Module, **flags) -> Callable[..., Any]:
    """Compiled once per model and process, which matters to trials and tests."""
    return jax.jit(
        functools.partial(model.init, **flags),
        out_shardings=sharding(),
        compiler_options={"xla_backend_optimization_level": 0},  # it runs once
    )


def _with_jax_dtype(array: np.ndarray) -> np.ndarray:
    """Integers as int32, the rest as float32."""
    is_integer = np.issubdtype(array.dtype, np.integer)
    return array.astype(np.int32 if is_integer else np.float32)
