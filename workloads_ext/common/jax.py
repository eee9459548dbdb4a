"""The JAX side of every embedded workload."""

import abc
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from unscheduled import spec
from workloads_ext.common.data import Batch, InputQueue
from workloads_ext.common.parameters import parameter_type
from workloads_ext.common.workload import EmbeddedWorkload

__all__ = [
    "JaxWorkload",
    "batch_sharding",
    "cross_entropy",
    "masked_sums",
    "replicated",
]


@functools.cache
def _mesh() -> jax.sharding.Mesh:
    return jax.sharding.Mesh(np.asarray(jax.local_devices()), ("batch",))


def batch_sharding() -> jax.sharding.NamedSharding:
    """Splits the first axis over all local devices, the mesh axis 'batch'."""
    return jax.sharding.NamedSharding(_mesh(), jax.sharding.PartitionSpec("batch"))


def replicated() -> jax.sharding.NamedSharding:
    """Copies the array to all local devices."""
    return jax.sharding.NamedSharding(_mesh(), jax.sharding.PartitionSpec())


def cross_entropy(
    labels: jax.Array,
    logits: jax.Array,
    mask: jax.Array | None,
    label_smoothing: float,
) -> dict[str, jax.Array]:
    """Masked softmax cross-entropy in nats, of one label or of a row of them.

    Args:
      labels: integers of shape (batch,) or (batch, length).
      logits: float, of the shape of `labels` and the number of classes.
      mask: 0 or 1, of the shape of `labels` or (batch,); None counts every label.
      label_smoothing: the share of the target spread evenly over the classes.

    Returns:
      'summed' and 'n_valid_examples' (counted labels), scalars of the logits' dtype,
      and 'per_example', (batch,), which sums over a row.
    """
    log_probs = jax.nn.log_softmax(logits)
    hits = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    spread = jnp.mean(log_probs, axis=-1)
    losses = -(1 - label_smoothing) * hits - label_smoothing * spread
    return masked_sums(losses, mask)


def masked_sums(losses: jax.Array, mask: jax.Array | None) -> dict[str, jax.Array]:
    """What `loss_fn` returns, from a loss a label.

    Args:
      losses: float of shape (batch,), or of more axes, which 'per_example' sums over.
      mask: 0 or 1, of the shape of `losses` or its first axes; None counts every label.
    """
    mask = jnp.ones(len(losses)) if mask is None else mask
    mask = mask.reshape(mask.shape + (1,) * (losses.ndim - mask.ndim))
    mask = jnp.broadcast_to(mask, losses.shape).astype(losses.dtype)
    per_example = jnp.sum(losses * mask, axis=tuple(range(1, losses.ndim)))
    return {
        "summed": per_example.sum(),
        "n_valid_examples": mask.sum(),
        "per_example": per_example,
    }


class JaxWorkload(EmbeddedWorkload):
    """Shards batches over the local devices and evaluates in one jitted function."""

    @abc.abstractmethod
    def _make_model(self, **dropout: Any) -> nn.Module:
        """The model, with a `dropout_rate` if it has dropout."""

    @abc.abstractmethod
    def _example_inputs(self) -> np.ndarray:
        """Inputs of a batch of one, whatever their values."""

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The parameters, seeded by `rng`, on all devices, and the batch statistics."""
        model = self._make_model(**self._dropout(0.0))
        arguments = self._model_arguments(is_training=False, update_batch_norm=True)
        variables = _jitted_init(model, **arguments)(rng, self._example_inputs())
        params = variables["params"]
        self._param_shapes = jax.tree.map(lambda x: spec.ShapeTuple(x.shape), params)
        self._param_types = jax.tree_util.tree_map_with_path(
            lambda path, _: parameter_type(
                "/".join(key.key for key in path), self.parameter_rules
            ),
            params,
        )
        if not self.has_batch_norm:
            return params, None
        return params, {"batch_stats": variables["batch_stats"]}

    def _model_arguments(
        self, is_training: bool, update_batch_norm: bool
    ) -> dict[str, Any]:
        """What the model is called with beside its inputs."""
        arguments = {}
        if self.default_dropout_rate is not None:
            arguments["deterministic"] = not is_training
        if self.has_batch_norm:
            arguments["use_running_average"] = not update_batch_norm
        return arguments

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
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
    ) -> tuple[jax.Array, spec.ModelAuxiliaryState]:
        """The model's output on a batch, and the new model state.

        With `update_batch_norm`, whatever the mode, normalises by the statistics of
        the batch, which also enter the running statistics of the new state; without,
        normalises by the running statistics and returns the state as it is.

        Args:
          dropout_rate: None is the default rate; a model without dropout has none.
        """
        is_training = mode == spec.ForwardPassMode.TRAIN
        updates = self.has_batch_norm and update_batch_norm
        output, new_state = self._make_model(**self._dropout(dropout_rate)).apply(
            {"params": params, **(model_state or {})},
            augmented_and_preprocessed_input_batch["inputs"],
            **self._model_arguments(is_training, update_batch_norm),
            rngs={"dropout": rng} if is_training else None,
            mutable=["batch_stats"] if updates else [],
        )
        return output, new_state if updates else model_state

    def loss_fn(
        self,
        label_batch: jax.Array,
        logits_batch: jax.Array,
        mask_batch: jax.Array | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, jax.Array]:
        """As in `cross_entropy`; a workload of another loss has its own."""
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: jax.Array, batch: Batch) -> dict[str, Any]:
        labels, weights = batch["targets"], batch["weights"]
        loss = self.loss_fn(labels, logits, weights)
        sums = {"loss": loss["summed"], "count": loss["n_valid_examples"]}
        if "accuracy" in self.metrics:
            correct = (jnp.argmax(logits, axis=-1) == labels) * weights
            sums["accuracy"] = correct.sum()
        return sums

    def _build_input_queue(
        self,
        data_rng: spec.RandomState,
        split: str,
        data_dir: str,
        global_batch_size: int,
        cache: bool | None = None,
        repeat_final_dataset: bool | None = None,
        num_batches: int | None = None,
    ) -> InputQueue:
        """As in `EmbeddedWorkload`; a batch must also divide over the devices."""
        if global_batch_size % jax.local_device_count():
            raise ValueError(
                "The batch size must be a multiple of the number of local devices, "
                f"{jax.local_device_count()}, got {global_batch_size!r}."
            )
        return super()._build_input_queue(
            data_rng,
            split,
            data_dir,
            global_batch_size,
            cache,
            repeat_final_dataset,
            num_batches,
        )

    def _place(self, batch: Batch) -> Batch:
        return jax.device_put(
            {name: _with_jax_dtype(array) for name, array in batch.items()},
            batch_sharding(),
        )

    @functools.cached_property
    def _batch_sums(self) -> Callable[..., dict[str, jax.Array]]:
        def batch_sums(params, model_state, batch):
            logits, _ = self.model_fn(
                params,
                batch,
                model_state,
                spec.ForwardPassMode.EVAL,
                None,
                update_batch_norm=False,
                dropout_rate=0.0,
            )
            return self._metric_sums(logits, batch)

        return jax.jit(batch_sums, out_shardings=replicated())

    def _evaluate(
        self,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        batches: Iterable[Batch],
    ) -> dict[str, float]:
        totals = None
        for batch in batches:
            sums = self._batch_sums(params, model_state, batch)
            totals = sums if totals is None else jax.tree.map(jnp.add, totals, sums)
        return {name: float(total) for name, total in jax.device_get(totals).items()}


@functools.cache
def _jitted_init(model: nn.Module, **kwargs) -> Callable[..., Any]:
    """Compiled once per model and process, which matters to trials and tests."""
    init = functools.partial(model.init, **kwargs)
    return jax.jit(init, out_shardings=replicated())


def _with_jax_dtype(array: np.ndarray) -> np.ndarray:
    """Integers as int32, the rest as float32."""
    is_integer = np.issubdtype(array.dtype, np.integer)
    return array.astype(np.int32 if is_integer else np.float32)
