"""Schedule-Free averaging: the state, and the step that all its base steps share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from unscheduled.optim_jax import trees


class ScheduleFreeState(NamedTuple):
    """State of Schedule-Free; z, x and nu are trees like the parameters (y).

    Their leaves are float32 for parameters of low precision (bfloat16, float16), else
    of the parameters' dtype.

    count: steps done (int32); lr_max: largest rate so far; weight_sum: sum of the
    averaging weights; b1: β1 of the last step; z: the base sequence; x: the average
    where it is kept (see `schedule_free`), else None; nu: second moments, or None;
    base_state: the state of the wrapped transformation, or None.
    """

    count: jax.Array
    lr_max: jax.Array
    weight_sum: jax.Array
    b1: jax.Array
    z: Any
    x: Any
    nu: Any
    base_state: Any


class BaseStep(NamedTuple):
    """What a base step makes of the gradients.

    rate: γ_t, which the averaging weights are made of too; leave: (γ_t, g, *operands,
    **scalars), one leaf of each tree, to what is subtracted from z, decay apart;
    operands: trees like z; scalars: numbers by name; nu, base_state: the new ones;
    is_cheap: whether `leave` may as well be computed twice.
    """

    rate: jax.Array
    leave: Callable[..., jax.Array]
    operands: tuple[Any, ...]
    scalars: dict[str, Any]
    nu: Any = None
    base_state: Any = None
    is_cheap: bool = True


class Base(NamedTuple):
    """A base step.

    init: z to (nu, base_state); step: (gradients, state, y, t, γ, extra arguments)
    to a `BaseStep`.
    """

    init: Callable[[Any], tuple[Any, Any]]
    step: Callable[..., BaseStep]


class Averaging(NamedTuple):
    """The arguments that all of the Schedule-Free family have."""

    learning_rate: Any
    b1: Any
    weight_decay: Any
    r: Any
    weight_lr_power: Any
    decoupling_c: Any
    keep_x: bool
    warmup_steps: Any = 0

    def check(self) -> None:
        """Raises a ValueError for a value outside its range."""
        trees.check(
            learning_rate=self.learning_rate,
            interpolation=self.b1,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            r=self.r,
            weight_lr_power=self.weight_lr_power,
        )
        trees.check(keep_x=self.keep_x)
        if self.decoupling_c is not None:
            trees.check(decoupling_c=self.decoupling_c)


def transformation(
    name: str, base: Base, averaging: Averaging
) -> optax.GradientTransformationExtraArgs:
    """Schedule-Free over a base step; `name` is what errors call it."""
    averaging.check()

    def init(params):
        params = trees.as_params(params, name)
        z = trees.accumulators(params)
        nu, base_state = base.init(z)
        return ScheduleFreeState(
            count=jnp.zeros((), jnp.int32),
            lr_max=jnp.zeros((), trees.scalar_dtype()),
            weight_sum=jnp.zeros((), trees.scalar_dtype()),
            b1=jnp.array(averaging.b1, trees.scalar_dtype()),
            z=z,
            x=trees.accumulators(params) if _keeps_x(averaging, params) else None,
            nu=nu,
            base_state=base_state,
        )

    def update(updates, state, params=None, **extra_args):
        params, grads = trees.as_inputs(params, updates, state.z, name)
        grads = trees.cast_like(grads, state.z)
        t = (state.count + 1).astype(trees.scalar_dtype())
        rate = trees.rate_at(averaging.learning_rate, state.count)
        rate = rate * jnp.minimum(1.0, t / jnp.maximum(averaging.warmup_steps, 1))
        step = base.step(grads, state, params, t, rate, extra_args)
        lr_max, weight_sum, c = _weights(averaging, state, t, step.rate)
        b1 = jnp.asarray(averaging.b1, trees.scalar_dtype())
        delta, z, x = _move(state, params, grads, step, averaging.weight_decay, b1, c)
        state = ScheduleFreeState(
            state.count + 1, lr_max, weight_sum, b1, z, x, step.nu, step.base_state
        )
        return trees.cast_like(delta, params), state

    return optax.GradientTransformationExtraArgs(init, update)


def eval_params(state: Any, params: Any, needed_by: str) -> Any:
    """x for y in `params`, in their dtypes; what no state covers stays as it is."""
    for found in trees.find(state, ScheduleFreeState, needed_by):
        y, z, x = trees.take(params, found.z, needed_by), *_leaves(found)
        if found.x is None:
            x = trees.interpolate(y, z, 1 - 1 / jnp.asarray(found.b1))
        params = trees.put(params, found.z, trees.copy_like(x, y))
    return params


def train_params(state: Any, params: Any, needed_by: str) -> Any:
    """y for x in `params`, likewise; x that a state keeps counts rather than theirs."""
    for found in trees.find(state, ScheduleFreeState, needed_by):
        x, z, kept = trees.take(params, found.z, needed_by), *_leaves(found)
        y = trees.interpolate(z, x if found.x is None else kept, found.b1)
        params = trees.put(params, found.z, trees.copy_like(y, x))
    return params


def _leaves(state):
    return jax.tree.leaves(state.z), jax.tree.leaves(state.x)


def _keeps_x(averaging: Averaging, params: Any) -> bool:
    is_polyak = not isinstance(averaging.b1, jax.Array) and averaging.b1 == 0
    low_precision = any(map(trees.is_low_precision, jax.tree.leaves(params)))
    return averaging.keep_x or is_polyak or low_precision


def _weights(averaging, state, t, rate):
    """max γ_s, Σ w_s and c_{t+1}; c = 0 while every rate so far is 0: x stays."""
    lr_max = jnp.maximum(state.lr_max, rate)
    weight = t**averaging.r * lr_max**averaging.weight_lr_power
    weight_sum = state.weight_sum + weight
    c = weight / jnp.where(weight_sum > 0, weight_sum, 1.0)
    if averaging.decoupling_c is not None:
        c = jnp.minimum(1.0, (1 - averaging.b1) * averaging.decoupling_c * c)
    return lr_max, weight_sum, c


def _move(state, params, grads, step, weight_decay, b1, c):
    """(next y - y, next z, next x).

    With s = z_t - z_{t+1} the move of z, x_t = z_t + (y_t - z_t) / β, β the last step's
    β1 and β' this one's, eliminating x and the old z from

        x_{t+1} = (1 - c) x_t + c z_{t+1},   y_{t+1} = (1 - β') z_{t+1} + β' x_{t+1}

    gives, with a = c + (1 - β' / β)(1 - c), which is c for a β1 that does not change,

        y_{t+1} = y_t + a (z_{t+1} - y_t) - (1 - a)(1 - β) s.

    The old z is not in it: where s is cheap it is computed again from the gradient, and
    z written in its place. The barrier keeps the compiler from sharing the first s,
    which would take a copy of each tensor. Where s is not, the copy is of the old z.
    """
    decays = isinstance(weight_decay, jax.Array) or weight_decay != 0
    scalars = {"rate": step.rate, "decay": weight_decay, **step.scalars}

    def leave(g, y, *operands, rate, decay, **scalars):
        s = step.leave(rate, g, *operands, **scalars)
        return s + rate * decay * y if decays else s

    def move_z(z, *arrays, **scalars):
        return z - leave(*arrays, **scalars)

    def move_y(z, g, y, *operands, a, others, **scalars):
        return a * (z - y) - others * leave(g, y, *operands, **scalars)

    def move_y_by_z(z, y, old_z, a, others):
        return a * (z - y) - others * (old_z - z)

    z = trees.leafwise(move_z, state.z, grads, params, *step.operands, **scalars)
    z, operands = jax.lax.optimization_barrier((z, step.operands))
    if state.x is not None:
        x = trees.interpolate(state.x, z, c)
        y = trees.interpolate(z, x, b1)
        return trees.leafwise(lambda new, old: new - old, y, params), z, x
    a = c + (1 - b1 / state.b1) * (1 - c)
    weights = {"a": a, "others": (1 - a) * (1 - state.b1)}
    if step.is_cheap:
        arrays = (grads, params, *operands)
        return trees.leafwise(move_y, z, *arrays, **weights, **scalars), z, None
    return trees.leafwise(move_y_by_z, z, params, state.z, **weights), z, None
