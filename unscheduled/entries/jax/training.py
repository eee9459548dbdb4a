"""The training step of the JAX submissions, compiled once for all devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ... import spec
from .. import LOG_EVERY_STEPS
from ..divergence_guard import Decision, DivergenceGuard
from .batch_norm import BatchNormStatistics
from .step import forward_pass, train_step

Rate = float | Callable[[Any], Any]


class Trainer:
    """Steps a gradient transformation on a workload.

    The official checkpoints want the optimizer state to be a pair (pytree, function);
    it is (state, trainer), where the state is a dict of
      optimizer: the state of the gradient transformation,
      skipped: how many steps were, int32,
    and, on the host, as NumPy arrays that are read without waiting for a device,
      at_x: whether the parameters are where they are evaluated,
      record: the divergence guard,
      good: parameters and model state of the last good evaluation,
      train_params: where training goes on after an evaluation, if that can't be
        computed from x.

    The step is compiled once, and anew after a restart. It takes its parameters and
    state over (donation), keeps them replicated and the batch sharded over all devices:
    the loss is the mean over the global batch, whatever their number. It reads nothing
    on the host unless it logs. A step whose loss or gradient is not finite is skipped;
    after an evaluation that shows divergence training begins again from the last good
    one, with half the rate (`divergence_guard.py`).

    Args:
      workload: whose model and loss to train.
      make_optimizer: from a learning rate, or from the function of the step that it
        is, to a gradient transformation.
      hyperparameters: a submission's: learning_rate, the peak rate; dropout_rate and
        label_smoothing, None for the workload's own; grad_clip, the largest global
        norm of the gradient, or None.
      schedule: the factor on the rate at a step, from 0, or None for a constant.
      eval_params: (optimizer state, params) to where the model is evaluated; None for
        an algorithm that is evaluated where it trains.
      train_params: the way back, where there is one.
    """

    def __init__(
        self,
        workload: spec.Workload,
        make_optimizer: Callable[[Rate], optax.GradientTransformation],
        hyperparameters: Any,
        schedule: Callable[[Any], Any] | None = None,
        *,
        eval_params: Callable[[Any, Any], Any] | None = None,
        train_params: Callable[[Any, Any], Any] | None = None,
    ):
        if train_params is not None and eval_params is None:
            raise ValueError("train_params needs eval_params.")
        self._workload = workload
        self._make_optimizer = make_optimizer
        self._hyperparameters = hyperparameters
        self._schedule = schedule
        mesh = Mesh(jax.devices(), ("batch",))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._sharded = NamedSharding(mesh, PartitionSpec("batch"))
        self._forward = functools.partial(
            forward_pass, workload, hyperparameters.dropout_rate
        )
        self._eval_params = self._compiled_move(eval_params)
        self._train_params = self._compiled_move(train_params)
        self._statistics = BatchNormStatistics(
            self._forward, self._replicated, self._sharded
        )
        self._begin(DivergenceGuard())

    def _compiled_move(self, move):
        if move is None:
            return None
        return jax.jit(
            move,
            donate_argnums=(1,),
            in_shardings=self._replicated,
            out_shardings=self._replicated,
        )

    def _begin(self, guard: DivergenceGuard) -> None:
        """The optimizer, and the step that it makes, after these restarts."""
        self._restarts = guard.restarts
        rate = guard.learning_rate(self._hyperparameters.learning_rate)
        schedule, start = self._schedule, guard.start
        self._optimizer = self._make_optimizer(
            rate if schedule is None else lambda step: rate * schedule(start + step)
        )
        replicated = self._replicated
        self._step = jax.jit(
            functools.partial(
                train_step,
                self._workload,
                self._forward,
                self._optimizer,
                self._hyperparameters.label_smoothing,
                self._hyperparameters.grad_clip,
            ),
            donate_argnums=(0, 1, 2),
            in_shardings=(*[replicated] * 4, self._sharded, replicated),
            out_shardings=replicated,
        )
        self._is_placed = False

    def init(
        self,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState = None,
    ) -> "OptimizerState":
        """The optimizer state before the first step."""
        state = {
            "optimizer": self._optimizer.init(params),
            "skipped": jnp.zeros((), jnp.int32),
            "at_x": np.asarray(False),
            "record": _as_arrays(DivergenceGuard()),
            "good": _on_host({"params": params, "model_state": model_state}),
        }
        if self._eval_params and not self._train_params:
            state["train_params"] = _on_host(params)
        return state, self

    def judge(
        self,
        optimizer_state: "OptimizerState",
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        eval_results: list[Any],
        global_step: int,
    ) -> spec.UpdateReturn:
        """Looks at the evaluations since the last step, if there are any.

        The parameters, still where they were evaluated, are kept as the last good ones,
        or go back to those.
        """
        state, _ = optimizer_state
        guard = _guard_of(state)
        if not guard.is_behind(eval_results):
            return optimizer_state, params, model_state
        decision = guard.judge(
            eval_results, self._workload.loss_type, global_step, int(state["skipped"])
        )
        state = {**state, "record": _as_arrays(guard)}
        if decision is Decision.KEEP:
            state["good"] = _on_host({"params": params, "model_state": model_state})
        if decision is not Decision.RESTART:
            return (state, self), params, model_state
        self._begin(guard)
        good = jax.tree.map(jnp.array, state["good"])
        state["optimizer"] = self._optimizer.init(good["params"])
        state["at_x"] = np.asarray(False)
        return (state, self), good["params"], good["model_state"]

    def step(
        self,
        optimizer_state: "OptimizerState",
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        batch: dict[str, Any],
        rng: spec.RandomState,
        global_step: int,
    ) -> spec.UpdateReturn:
        """One training step.

        Where the model is evaluated elsewhere than it trains, the running statistics
        of the training pass belong to the wrong point and are dropped.
        """
        state, _ = optimizer_state
        if state["record"]["restarts"] != self._restarts:  # of a resumed run
            self._begin(_guard_of(state))
        carry = (params, state["optimizer"], state["skipped"])
        if not self._is_placed:
            # Initial values come from one device; moved here, so that the step sees
            # the same kind of input always and is compiled once.
            carry, model_state = jax.device_put((carry, model_state), self._replicated)
            self._is_placed = True
        if state["at_x"]:
            carry = (self._back_to_training(state, *carry[:2]), *carry[1:])
        carry, new_model_state, metrics = self._step(*carry, model_state, batch, rng)
        params, stepped, skipped = carry
        if global_step % LOG_EVERY_STEPS == 0 and self._workload.metrics_logger:
            metrics = {name: float(value) for name, value in metrics.items()}
            self._workload.metrics_logger.append_scalar_metrics(metrics, global_step)
        if self._eval_params:
            self._statistics.observe(batch, model_state)
            new_model_state = model_state
        state = {**state, "optimizer": stepped, "skipped": skipped}
        return ({**state, "at_x": np.asarray(False)}, self), params, new_model_state

    def _back_to_training(self, state, params, optimizer_state):
        if self._train_params is None:
            return jax.device_put(state["train_params"], self._replicated)
        return self._train_params(optimizer_state, params)

    def prepare_for_eval(
        self,
        optimizer_state: "OptimizerState",
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
    ) -> spec.UpdateReturn:
        """Moves the parameters to where they are evaluated, and the statistics too."""
        state, _ = optimizer_state
        if self._eval_params is None or state["at_x"]:
            return optimizer_state, params, model_state
        state = {**state, "at_x": np.asarray(True)}
        if self._train_params is None:
            state["train_params"] = _on_host(params)
        params = self._eval_params(state["optimizer"], params)
        model_state = self._statistics.refresh(params, model_state, rng)
        return (state, self), params, model_state


OptimizerState = tuple[dict[str, Any], Trainer]


def _on_host(tree: Any) -> Any:
    """A copy in the host's memory, which outlives the donation of the arrays."""
    return jax.tree.map(np.array, tree)


def _as_arrays(guard: DivergenceGuard) -> dict[str, np.ndarray]:
    return {n: np.asarray(v, np.int32) for n, v in dataclasses.asdict(guard).items()}


def _guard_of(state: dict[str, Any]) -> DivergenceGuard:
    return DivergenceGuard(**{name: int(v) for name, v in state["record"].items()})
