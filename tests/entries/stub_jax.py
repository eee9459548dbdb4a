"""The stub workload in JAX, and an entry on it."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from tests.entries import stub
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
    """As `ImageNet ResNet` of the official workloads treats batch norm.

    `with_extra_axes` gives the statistics back as the official speech models do.
    """

    with_extra_axes = False

    def __init__(self, batch_norm=False, momentum=0.9):
        super().__init__(batch_norm)
        self._model = Model(batch_norm, momentum)

    def init_model_fn(self, rng=None):
        example = jnp.zeros((1, FEATURES))
        variables = self._model.init(jax.random.PRNGKey(0), example, True)
        params = variables.pop("params")
        kind = spec.ParameterType.WEIGHT
        self.model_params_types = jax.tree.map(lambda _: kind, params)
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
        if self.with_extra_axes:
            new_state = jax.tree.map(lambda s: s[None, None], new_state)
        return logits, new_state or None

    def loss_fn(self, label_batch, logits_batch, mask_batch, label_smoothing="unset"):
        self.label_smoothings.append(label_smoothing)
        losses = (logits_batch - label_batch) ** 2 * mask_batch
        return {"summed": losses.sum(), "n_valid_examples": mask_batch.sum()}


class Training:
    """An entry on the stub workload, driven as the runner drives it."""

    def __init__(self, entry, batch_norm=False, hyperparameters=None, momentum=0.9):
        self.entry = entry
        self.workload = JaxStub(batch_norm, momentum)
        self._params, self.model_state = self.workload.init_model_fn()
        self.state = entry.init_optimizer_state(
            self.workload, self._params, self.model_state, hyperparameters, rng=None
        )
        self.step_count = 0
        self.eval_results = []
        self._rng = jax.random.PRNGKey(0)

    def _arguments(self):
        return stub.api_arguments(
            self.workload,
            self._params,
            self.model_state,
            self.state,
            self.eval_results,
            self.step_count,
            self._rng,
        )

    def step(self, batch, **extra):
        self.state, self._params, self.model_state = self.entry.update_params(
            **self._arguments(), batch=batch, **extra
        )
        self.step_count += 1

    def prepare_for_eval(self):
        self.state, self._params, self.model_state = self.entry.prepare_for_eval(
            **self._arguments()
        )

    def evaluate(self, loss):
        self.prepare_for_eval()
        self.eval_results.append((self.step_count, {"validation/loss": loss}))

    def resumed(self):
        """The same training, from its checkpoint."""
        new = Training(self.entry, self.workload.batch_norm)
        copies = jax.tree.map(np.array, (self._params, self.model_state, self.state[0]))
        new._params, new.model_state, state = copies
        new.state = (state, new.state[1])
        new.step_count, new.eval_results = self.step_count, list(self.eval_results)
        return new

    def restarts(self):
        return self.state[0]["record"]["restarts"]

    def params(self):
        return [np.array(p) for p in jax.tree.leaves(self._params)]

    def batch_norm(self):
        return self.model_state["batch_stats"]["BatchNorm_0"]

    def statistics(self):
        return [np.array(s) for s in jax.tree.leaves(self.model_state)]
