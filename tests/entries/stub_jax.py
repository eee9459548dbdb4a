"""The stub workload in JAX."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tests.entries.stub import FEATURES, StubWorkload
from unscheduled import spec


class Model(nn.Module):
    """A linear model, after BatchNorm where asked for."""

    batch_norm: bool
    momentum: float

    @nn.compact
    def __call__(self, x, use_running_average):
        if self.batch_norm:
            x = nn.BatchNorm(use_running_average, momentum=self.momentum)(x)
        return nn.Dense(1)(x)[:, 0]


class JaxStub(StubWorkload):
    """As `ImageNet ResNet` of the official workloads treats batch norm."""

    def __init__(self, batch_norm=False, momentum=0.9):
        super().__init__(batch_norm)
        self._model = Model(batch_norm, momentum)

    def init_model_fn(self, rng=None):
        example = jnp.zeros((1, FEATURES))
        variables = self._model.init(jax.random.PRNGKey(0), example, True)
        params = variables.pop("params")
        return params, variables or None

    def model_fn(
        self,
        params,
        augmented_and_preprocessed_input_batch,
        model_state,
        mode,
        rng,
        update_batch_norm,
        dropout_rate=None,
    ):
        assert mode == spec.ForwardPassMode.TRAIN
        assert update_batch_norm
        self.forward_passes += 1  # of the tracer: once a compilation
        self.dropout_rates.append(dropout_rate)
        logits, new_state = self._model.apply(
            {"params": params, **(model_state or {})},
            augmented_and_preprocessed_input_batch["inputs"],
            not update_batch_norm,
            mutable=["batch_stats"],
        )
        return logits, new_state or None

    def loss_fn(self, label_batch, logits_batch, mask_batch, label_smoothing="unset"):
        self.label_smoothings.append(label_smoothing)
        losses = (logits_batch - label_batch) ** 2 * mask_batch
        return {"summed": losses.sum(), "n_valid_examples": mask_batch.sum()}
