"""Digits ResNet in JAX."""

from typing import Any

import jax
import jax.numpy as jnp

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.jax import JaxWorkload, cross_entropy
from workloads_ext.digits_resnet.digits_resnet_jax.models import ResNet
from workloads_ext.digits_resnet.workload import BaseDigitsResNetWorkload

__all__ = ["DigitsResNetWorkload"]


class DigitsResNetWorkload(BaseDigitsResNetWorkload, JaxWorkload):
    """Parameters are a nested dict; the model state is {'batch_stats': ...}."""

    @property
    def _model(self) -> ResNet:
        return ResNet(self.stage_widths, self.num_classes, self.bn_init_scale)

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The parameters, seeded by `rng`, and the batch statistics."""
        images = jnp.zeros((1, 8, 8, 1), jnp.float32)
        variables = self._initialised(
            self._model, rng, images, use_running_average=False
        )
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key == "fc"

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
        """Logits (batch, 10); there is no dropout, so its rate changes nothing.

        With `update_batch_norm`, whatever the mode, normalises by the statistics of
        the batch, which also enter the running statistics of the new state; without,
        normalises by the running statistics and returns the state as it is.
        """
        del mode, rng, dropout_rate
        variables = {"params": params, **model_state}
        logits, new_state = self._model.apply(
            variables,
            augmented_and_preprocessed_input_batch["inputs"],
            use_running_average=not update_batch_norm,
            mutable=["batch_stats"] if update_batch_norm else [],
        )
        return logits, new_state if update_batch_norm else model_state

    def loss_fn(
        self,
        label_batch: jax.Array,
        logits_batch: jax.Array,
        mask_batch: jax.Array | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, jax.Array]:
        """Cross-entropy of int labels (batch,) given logits (batch, 10), in nats.

        Returns:
          'summed' and 'n_valid_examples', scalars, and 'per_example', (batch,).
        """
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: jax.Array, batch: Batch) -> dict[str, Any]:
        labels, weights = batch["targets"], batch["weights"]
        loss = self.loss_fn(labels, logits, weights)
        correct = (jnp.argmax(logits, axis=-1) == labels) * weights
        return {
            "accuracy": correct.sum(),
            "loss": loss["summed"],
            "count": loss["n_valid_examples"],
        }
