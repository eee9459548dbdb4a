"""The training step of the JAX submissions, compiled once for all devices."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unscheduled import spec
from unscheduled.entries import LOG_EVERY_STEPS
from unscheduled.entries.jax.batch_norm import BatchNormStatistics


class Trainer:
    """Steps a gradient transformation on a workload; the `update_fn` of its state.

    The official checkpoints want the optimizer state to be a pair (pytree, function);
    an entry makes it (state, trainer), where the state is a dict of
      optimizer: the state of the gradient transformation,
      at_x: whether the parameters are at x, for evaluation; a NumPy scalar, which is
        read without waiting for a device.

    The step is compiled once, takes its parameters and state over (donation), keeps
    them replicated and the batch sharded over all devices: the loss is the mean over
    the global batch, whatever their number.

    Args:
      workload: whose model and loss to train.
      optimizer: the gradient transformation.
      dropout_rate, label_smoothing: None leaves them to the workload.
      grad_clip: largest global norm of the gradient, or None.
      eval_params: (optimizer state, params) to where the model is evaluated; None for
        an algorithm that is evaluated where it trains.
      train_params: the way back; given with `eval_params` or not at all.

    Raises:
      ValueError: where only one of `eval_params` and `train_params` is given.
    """

    def __init__(
        self,
        workload: spec.Workload,
        optimizer: optax.GradientTransformation,
        *,
        dropout_rate: float | None = None,
        label_smoothing: float | None = None,
        grad_clip: float | None = None,
        eval_params: Callable[[Any, Any], Any] | None = None,
        train_params: Callable[[Any, Any], Any] | None = None,
    ):
        if (eval_params is None) != (train_params is None):
            raise ValueError("eval_params and train_params must be given together.")
        self._workload = workload
        self._optimizer = optimizer
        mesh = Mesh(jax.devices(), ("batch",))
        self._replicated = replicated = NamedSharding(mesh, PartitionSpec())
        sharded = NamedSharding(mesh, PartitionSpec("batch"))
        self._is_placed = False
        forward = functools.partial(_forward, workload, dropout_rate)
        self._step = jax.jit(
            functools.partial(
                _train_step, workload, forward, optimizer, label_smoothing, grad_clip
            ),
            donate_argnums=(0, 1),
            in_shardings=(*[replicated] * 3, sharded, *[replicated] * 2),
            out_shardings=replicated,
        )
        self._moves = False
        if eval_params is not None and train_params is not None:
            self._moves = True
            self._to_x, self._to_y = (
                jax.jit(
                    move,
                    donate_argnums=(1,),
                    in_shardings=replicated,
                    out_shardings=replicated,
                )
                for move in (eval_params, train_params)
            )
            self._statistics = BatchNormStatistics(
                lambda *arguments: forward(*arguments)[1], replicated, sharded
            )

    def init(self, params: spec.ParameterContainer) -> dict[str, Any]:
        """The state before the first step."""
        return {"optimizer": self._optimizer.init(params), "at_x": np.asarray(False)}

    def step(
        self,
        state: dict[str, Any],
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        batch: dict[str, Any],
        rng: spec.RandomState,
        global_step: int,
    ) -> tuple[dict[str, Any], spec.ParameterContainer, spec.ModelAuxiliaryState]:
        """One training step: (new state, new parameters, new model state).

        Where the model is evaluated elsewhere than it trains, the running statistics
        of the training pass belong to the wrong point and are dropped.
        """
        optimizer_state = state["optimizer"]
        if not self._is_placed:
            # Initial values come from one device; moved here, so that the step sees
            # the same kind of input always and is compiled once.
            optimizer_state, params, model_state = jax.device_put(
                (optimizer_state, params, model_state), self._replicated
            )
            self._is_placed = True
        if state["at_x"]:
            params = self._to_y(optimizer_state, params)
        log = global_step % LOG_EVERY_STEPS == 0
        params, optimizer_state, new_model_state, metrics = self._step(
            params, optimizer_state, model_state, batch, rng, np.asarray(log)
        )
        if log and self._workload.metrics_logger is not None:
            metrics = {name: float(value) for name, value in metrics.items()}
            self._workload.metrics_logger.append_scalar_metrics(metrics, global_step)
        if self._moves:
            self._statistics.observe(batch, model_state)
            new_model_state = model_state
        state = {"optimizer": optimizer_state, "at_x": np.asarray(False)}
        return state, params, new_model_state

    def prepare_for_eval(
        self,
        state: dict[str, Any],
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
    ) -> tuple[dict[str, Any], spec.ParameterContainer, spec.ModelAuxiliaryState]:
        """Moves the parameters to x, and the batch-norm statistics with them."""
        if not self._moves or state["at_x"]:
            return state, params, model_state
        params = self._to_x(state["optimizer"], params)
        model_state = self._statistics.refresh(params, model_state, rng)
        return {**state, "at_x": np.asarray(True)}, params, model_state


def _forward(workload, dropout_rate, params, batch, model_state, rng):
    """A forward pass in TRAIN mode that updates batch-norm statistics."""
    dropout = {} if dropout_rate is None else {"dropout_rate": dropout_rate}
    return workload.model_fn(
        params,
        batch,
        model_state,
        spec.ForwardPassMode.TRAIN,
        rng,
        update_batch_norm=True,
        **dropout,
    )


def _train_step(
    workload,
    forward,
    optimizer,
    label_smoothing,
    grad_clip,
    params,
    optimizer_state,
    model_state,
    batch,
    rng,
    log,
):
    smoothing = {} if label_smoothing is None else {"label_smoothing": label_smoothing}

    def mean_loss(params):
        logits, new_model_state = forward(params, batch, model_state, rng)
        losses = workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
            **smoothing,
        )
        return losses["summed"] / losses["n_valid_examples"], new_model_state

    (loss, new_model_state), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    if grad_clip is None:
        # The norm is only read where it is logged.
        grad_norm = jax.lax.cond(
            log, _global_norm, lambda _: jnp.zeros_like(loss), grads
        )
    else:
        grad_norm = _global_norm(grads)
        scale = jnp.minimum(1.0, grad_clip / (grad_norm + 1e-6))
        grads = jax.tree.map(lambda g: g * scale, grads)
    updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
    params = optax.apply_updates(params, updates)
    metrics = {"loss": loss, "grad_norm": grad_norm}
    return params, optimizer_state, new_model_state, metrics


def _global_norm(grads):
    return jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(grads)))


def update_params(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    batch: dict[str, spec.Tensor],
    loss_type: spec.LossType,
    optimizer_state: tuple[dict[str, Any], Trainer],
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
    train_state: dict[str, Any] | None = None,
) -> spec.UpdateReturn:
    """One step: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del train_state
    state, trainer = optimizer_state
    state, params, model_state = trainer.step(
        state,
        current_param_container,
        model_state,
        batch,
        rng,
        global_step,
    )
    return (state, trainer), params, model_state


def prepare_for_eval(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    loss_type: spec.LossType,
    optimizer_state: tuple[dict[str, Any], Trainer],
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
) -> spec.UpdateReturn:
    """The parameters for evaluation: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del global_step
    state, trainer = optimizer_state
    state, params, model_state = trainer.prepare_for_eval(
        state, current_param_container, model_state, rng
    )
    return (state, trainer), params, model_state
