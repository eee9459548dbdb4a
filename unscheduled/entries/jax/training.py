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
from ..echoing import DataEchoing
from .batch_norm import BatchNormStatistics

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
        computed from x,
      echoing: how often a batch is used, if it may be several times.

    The step is compiled once, and anew after a restart. It takes its parameters and
    state over (donation), keeps them replicated and the batch sharded over all devices,
    and reads nothing on the host unless it logs. A step whose loss or gradient is not
    finite is skipped; after an evaluation that shows divergence training begins again
    from the last good one, with half the rate (`divergence_guard.py`).

    Args:
      workload: whose model and loss to train.
      make_optimizer: from a learning rate or schedule to a gradient transformation.
      hyperparameters: a submission's: learning_rate, the peak rate; dropout_rate and
        label_smoothing, None for the workload's own; grad_clip, the largest global
        norm of the gradient, or None.
      schedule: the factor on the rate at a step, from 0, or None for a constant.
      eval_params: (optimizer state, params) to where the model is evaluated; None for
        an algorithm that is evaluated where it trains.
      train_params: the way back, where there is one.
      echoes: whether `next_batch` may give a batch several times (`echoing.py`).
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
        echoes: bool = False,
    ):
        if train_params is not None and eval_params is None:
            raise ValueError("train_params needs eval_params.")
        self._workload, self._hyperparameters = workload, hyperparameters
        self._make_optimizer, self._schedule = make_optimizer, schedule
        mesh = Mesh(jax.devices(), ("batch",))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._sharded = NamedSharding(mesh, PartitionSpec("batch"))
        self._eval_params = self._compiled_move(eval_params)
        self._train_params = self._compiled_move(train_params)
        shardings = (self._replicated, self._sharded)
        self._statistics = BatchNormStatistics(self._forward, *shardings)
        self._echoing = DataEchoing(self._wait) if echoes else None
        self._last: Any = None  # an array of the last step
        self._begin(DivergenceGuard())

    def _wait(self) -> None:
        jax.block_until_ready(self._last)

    def _compiled_move(self, move):
        if move is None:
            return None
        where = self._replicated
        return jax.jit(move, donate_argnums=1, in_shardings=where, out_shardings=where)

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
            functools.partial(self._train_step, self._optimizer),
            donate_argnums=(0, 1, 2),
            in_shardings=(*[replicated] * 4, self._sharded, replicated),
            out_shardings=replicated,
        )
        self._is_placed = False

    def init(self, params, model_state=None) -> tuple[dict[str, Any], "Trainer"]:
        """The optimizer state before the first step."""
        state = {
            "optimizer": self._optimizer.init(params),
            "skipped": jnp.zeros((), jnp.int32),
            "at_x": np.asarray(False),
            "record": _as_arrays(dataclasses.asdict(DivergenceGuard())),
            "good": _on_host({"params": params, "model_state": model_state}),
        }
        if self._eval_params and not self._train_params:
            state["train_params"] = _on_host(params)
        if self._echoing:
            state["echoing"] = _as_arrays(self._echoing.state_dict())
        return state, self

    def judge(self, optimizer_state, params, model_state, eval_results, global_step):
        """Keeps the parameters just evaluated as good ones, or goes back to those."""
        state, _ = optimizer_state
        guard = _guard_of(state)
        if not guard.is_behind(eval_results):
            return optimizer_state, params, model_state
        decision = guard.judge(
            eval_results, self._workload.loss_type, global_step, int(state["skipped"])
        )
        state = {**state, "record": _as_arrays(dataclasses.asdict(guard))}
        if decision is Decision.KEEP:
            state["good"] = _on_host({"params": params, "model_state": model_state})
        if decision is not Decision.RESTART:
            return (state, self), params, model_state
        self._begin(guard)
        good = jax.tree.map(jnp.array, state["good"])
        state["optimizer"] = self._optimizer.init(good["params"])
        state["at_x"] = np.asarray(False)
        return (state, self), good["params"], good["model_state"]

    def next_batch(self, optimizer_state, queue):
        """The batch of the next step."""
        if self._echoing is None:
            return next(queue)
        state, _ = optimizer_state
        saved = _as_numbers(state["echoing"])
        if saved != self._echoing.state_dict():  # of a resumed run
            self._echoing.load_state_dict(saved)
        self._last = state["skipped"]
        return self._echoing.next(queue)

    def step(self, optimizer_state, params, model_state, batch, rng, global_step):
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
        if self._echoing:
            state["echoing"] = _as_arrays(self._echoing.state_dict())
        return ({**state, "at_x": np.asarray(False)}, self), params, new_model_state

    def _forward(self, params, batch, model_state, rng):
        """A pass in TRAIN mode that updates batch-norm statistics."""
        rate = self._hyperparameters.dropout_rate
        return self._workload.model_fn(
            params,
            batch,
            model_state,
            spec.ForwardPassMode.TRAIN,
            rng,
            update_batch_norm=True,
            **({} if rate is None else {"dropout_rate": rate}),
        )

    def _train_step(
        self, optimizer, params, optimizer_state, skipped, model_state, batch, rng
    ):
        """((params, optimizer state, steps skipped), model state, metrics) of one step.

        Where the loss or the gradient is not finite, all is as before but the count.
        """
        hp = self._hyperparameters

        def mean_loss(params):
            logits, new_model_state = self._forward(params, batch, model_state, rng)
            smoothing = hp.label_smoothing
            losses = self._workload.loss_fn(
                label_batch=batch["targets"],
                logits_batch=logits,
                mask_batch=batch.get("weights"),
                **({} if smoothing is None else {"label_smoothing": smoothing}),
            )
            return losses["summed"] / losses["n_valid_examples"], new_model_state

        value_and_grad = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, new_model_state), grads = value_and_grad(params)
        squares = [jnp.sum(jnp.square(g)) for g in jax.tree.leaves(grads)]
        grad_norm = jnp.sqrt(sum(squares))
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        if hp.grad_clip is not None:
            scale = jnp.minimum(1.0, hp.grad_clip / (grad_norm + 1e-6))
            grads = jax.tree.map(lambda g: g * scale, grads)

        def take(params, optimizer_state):
            updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
            return optax.apply_updates(params, updates), optimizer_state

        # On a GPU a branch makes the host wait for the gradient, and a choice is fused
        # into the update; on a CPU no branch waits, and a choice copies the model.
        choose = jax.lax.cond if jax.default_backend() == "cpu" else select
        old = (params, optimizer_state)
        params, optimizer_state = choose(finite, take, lambda *same: same, *old)
        model_state = _model_state(finite, new_model_state, model_state)
        skipped += ~finite
        metrics = {"loss": loss, "grad_norm": grad_norm, "skipped_steps": skipped}
        return (params, optimizer_state, skipped), model_state, metrics

    def _back_to_training(self, state, params, optimizer_state):
        if self._train_params is None:
            return jax.device_put(state["train_params"], self._replicated)
        return self._train_params(optimizer_state, params)

    def prepare_for_eval(self, optimizer_state, params, model_state, rng):
        """Moves the parameters to where they are evaluated, and the statistics too."""
        state, _ = optimizer_state
        if self._echoing:
            self._echoing.pause()
        if self._eval_params is None or state["at_x"]:
            return optimizer_state, params, model_state
        state = {**state, "at_x": np.asarray(True)}
        if self._train_params is None:
            state["train_params"] = _on_host(params)
        params = self._eval_params(state["optimizer"], params)
        model_state = self._statistics.refresh(params, model_state, rng)
        return (state, self), params, model_state


def select(condition, f, g, *operands):
    """`jax.lax.cond` without a branch: both are computed."""
    choose = functools.partial(jnp.where, condition)
    return jax.tree.map(choose, f(*operands), g(*operands))


def _model_state(finite, new, old):
    """The new model state, or the old one, in the form of the old one.

    Some models return another container, or extra axes of length one, for which the
    next step would be compiled again.
    """
    leaves = [
        jnp.where(finite, n.reshape(o.shape), o)
        for n, o in zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(old), leaves)


def _on_host(tree: Any) -> Any:
    """A copy in the host's memory, which outlives the donation of the arrays."""
    return jax.tree.map(np.array, tree)


def _as_arrays(numbers: dict[str, int]) -> dict[str, np.ndarray]:
    return {name: np.asarray(number, np.int32) for name, number in numbers.items()}


def _as_numbers(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: int(array) for name, array in arrays.items()}


def _guard_of(state: dict[str, Any]) -> DivergenceGuard:
    return DivergenceGuard(**_as_numbers(state["record"]))
