"""Standard-library language model in JAX."""

from typing import Any

import jax
import jax.numpy as jnp

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.jax import JaxWorkload, cross_entropy
from workloads_ext.stdlib_lm.stdlib_lm_jax.models import Transformer
from workloads_ext.stdlib_lm.workload import BaseStdlibLmWorkload

__all__ = ["StdlibLmWorkload"]


class StdlibLmWorkload(BaseStdlibLmWorkload, JaxWorkload):
    """Parameters are a nested dict; dropout draws from `model_fn`'s `rng`."""

    def _model(self, dropout_rate: float) -> Transformer:
        return Transformer(
            self.vocab_size,
            self.seq_len,
            self.width,
            self.num_layers,
            self.num_heads,
            self.mlp_width,
            dropout_rate,
        )

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The parameters, seeded by `rng`, and no model state."""
        tokens = jnp.zeros((1, self.seq_len), jnp.int32)
        model = self._model(dropout_rate=0.0)
        variables = self._initialised(model, rng, tokens, deterministic=True)
        return variables["params"], None

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key == "head"

    def model_fn(
        self,
        params: spec.ParameterContainer,
        augmented_and_preprocessed_input_batch: Batch,
        model_state: spec.ModelAuxiliaryState,
        mode: spec.ForwardPassMode,
        rng: spec.RandomState,
        update_batch_norm: bool,
        dropout_rate: float | None = None,
    ) -> tuple[jax.Array, None]:
        """Logits (batch, seq_len, 256); `dropout_rate` None is the default rate."""
        del model_state, update_batch_norm
        is_training = mode == spec.ForwardPassMode.TRAIN
        rate = self.default_dropout_rate if dropout_rate is None else dropout_rate
        logits: Any = self._model(rate).apply(
            {"params": params},
            augmented_and_preprocessed_input_batch["inputs"],
            deterministic=not is_training,
            rngs={"dropout": rng} if is_training else None,
        )
        return logits, None

    def loss_fn(
        self,
        label_batch: jax.Array,
        logits_batch: jax.Array,
        mask_batch: jax.Array | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, jax.Array]:
        """Cross-entropy per token, of integer labels (batch, seq_len), in nats.

        Args:
          label_batch: the next bytes.
          logits_batch: of shape (batch, seq_len, 256).
          mask_batch: 0 or 1, of shape (batch, seq_len) or (batch,), or None.
          label_smoothing: the share of the target spread over all bytes.

        Returns:
          'summed' and 'n_valid_examples' (tokens), scalars, and 'per_example',
          (batch,), summed over the tokens of each.
        """
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: jax.Array, batch: Batch) -> dict[str, Any]:
        loss = self.loss_fn(batch["targets"], logits, batch["weights"])
        return {"loss": loss["summed"], "count": loss["n_valid_examples"]}
