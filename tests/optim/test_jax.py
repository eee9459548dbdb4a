"""The JAX transformations: optax's machinery, precision, sharding, memory, misuse.

That they compute what their papers say is tested in test_specification.py.
"""

import functools
import importlib.util
import inspect
import math
import pathlib
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized
from flax import nnx

from tests import cases, trajectories, xla
from tests.wrappers import lookahead_schedule_free, wrapped_sgd
from unscheduled import optim_jax
from unscheduled.optim_jax.moments import rectification
from unscheduled.optim_numpy import radam as specification


class Algorithm(NamedTuple):
    """A factory of the table, and where its model is evaluated."""

    name: str
    make: Callable[..., Any]
    eval_params: Callable[[Any, Any], Any]

    @property
    def is_evaluated_where_it_trains(self) -> bool:
        return self.eval_params is at_params


def at_params(state, params):
    del state
    return jax.tree.map(jnp.copy, params)


ALL = tuple(
    Algorithm(make.__name__, make, a.jax_eval_params() if a.eval_params else at_params)
    for a in cases.OPTIMIZERS
    for make in a.jax_factories()
)
SCHEDULE_FREE = tuple(
    a for a in ALL if a.eval_params is optim_jax.schedule_free_eval_params
)
LOOKAHEAD = tuple(a for a in ALL if a.eval_params is optim_jax.lookahead_eval_params)
OWN = tuple(a for a in ALL if a not in LOOKAHEAD)
COPIES = {name for a in cases.OPTIMIZERS for name in a.jax_copies}


def each(algorithms):
    return pytest.mark.parametrize("algorithm", algorithms, ids=lambda a: a.name)


def initial(dtype=jnp.float32):
    return {"w": jnp.arange(1, 4).astype(dtype), "b": jnp.ones((), dtype)}


def gradients(params, t):
    """Of a quadratic, with something that differs from step to step."""
    return jax.tree.map(lambda p: p + jnp.asarray(np.sin(t), p.dtype), params)


def train(optimizer, params, steps, state=None):
    """(parameters, state) after some steps."""
    state = optimizer.init(params) if state is None else state
    update = jax.jit(optimizer.update)
    for t in range(steps):
        updates, state = update(gradients(params, t), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def assert_close(actual, desired, rtol=1e-6, atol=1e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_allclose(a, b, rtol, atol)


def dtypes(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def types_of(tree):
    return jax.tree.map(lambda leaf: (leaf.dtype, leaf.shape, leaf.weak_type), tree)


# Precision and types.


@each(ALL)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_types_are_kept(algorithm, dtype):
    """Parameters or state that are promoted, and a step compiled anew for it."""
    optimizer, params = algorithm.make(0.1), initial(dtype)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for t in range(4):
        updates, new_state = update(gradients(params, t), state, params)
        assert types_of(new_state) == types_of(state)
        assert dtypes(updates) == {dtype}
        params, state = optax.apply_updates(params, updates), new_state
    assert update._cache_size() == 1
    assert dtypes(algorithm.eval_params(state, params)) == {dtype}


@each((*OWN, LOOKAHEAD[-1]))  # optax's own keep the weak types
def test_numbers_will_do_for_parameters(algorithm):
    """Weakly typed parameters, whose state would change its type in the first step."""
    optimizer, params = algorithm.make(0.1), {"a": 1.0}
    state = optimizer.init(params)
    _, new_state = optimizer.update({"a": 1.0}, state, params)
    assert types_of(new_state) == types_of(state)


@each(ALL)
def test_state_is_float32_for_parameters_of_low_precision(algorithm):
    """Moments and averages in bfloat16, which has three digits."""
    _, state = train(algorithm.make(0.1), initial("bfloat16"), 2)
    tensors = [leaf for leaf in jax.tree.leaves(ours_of(state)) if leaf.shape == (3,)]
    assert dtypes(tensors) == {"float32"}
    if algorithm in SCHEDULE_FREE:
        assert state.x is not None


def ours_of(state):
    """The state without that of a wrapped optimizer of optax."""
    if hasattr(state, "base_state"):
        return state._replace(base_state=None)
    return state


@each(SCHEDULE_FREE)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_steps_below_the_ulp_of_y_add_up(algorithm, dtype):
    """z or x in the dtype of the parameters, or x from a y that is too coarse."""
    optimizer = algorithm.make(1e-4)
    x = {}
    for name in ("float32", dtype):
        params = jnp.ones(3, name)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for _ in range(300):
            updates, state = update(jnp.ones_like(params), state, params)
            params = optax.apply_updates(params, updates)
        x[name] = np.asarray(algorithm.eval_params(state, params), np.float64)
    ulp = float(jnp.finfo(dtype).epsneg)
    assert np.all(1 - x["float32"] > 4e-3)  # more than an ulp of bfloat16, 2^-8
    # x is rounded once, by half an ulp.
    np.testing.assert_allclose(x[dtype], x["float32"], rtol=0, atol=0.5 * ulp + 1e-6)


def test_slow_weights_are_not_rounded_to_low_precision():
    """φ taken from a θ in bfloat16: an α (θ - φ) below its ulp is lost at each sync."""
    optimizer = optim_jax.lookahead(optax.sgd(2.0**-7), k=1, alpha=0.125)
    params = jnp.ones(2, jnp.bfloat16)
    state = optimizer.init(params)
    for _ in range(3):  # θ is an ulp above 1 before each sync, and 1 after it
        updates, state = optimizer.update(-jnp.ones_like(params), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params, 1.0)
    assert np.all(np.asarray(state.slow) > 1 + 2.0**-10)


@each(OWN)
def test_a_complex_parameter_is_a_pair(algorithm):
    """|g|², or g², in place of the squares of the two parts."""
    pair = {"im": jnp.array([0.5, 30.0]), "re": jnp.array([1.0, -2.0])}
    whole = {"c": jax.lax.complex(pair["re"], pair["im"])}
    optimizer = algorithm.make(0.1)
    x = {}
    for name, params in (("pair", pair), ("whole", whole)):
        state = optimizer.init(params)
        for _ in range(20):
            updates, state = optimizer.update(params, state, params)
            params = optax.apply_updates(params, updates)
        x[name] = algorithm.eval_params(state, params)
    c = x["whole"]["c"]
    assert_close({"im": c.imag, "re": c.real}, x["pair"], rtol=1e-5)


# The sequences of Schedule-Free.


@each(SCHEDULE_FREE)
@pytest.mark.parametrize(
    ("dtype", "b1"),
    [("float32", 0.0), ("float32", 0.9), ("float32", 1.0), ("bfloat16", 0.9)],
)
def test_x_and_y_are_each_other_s_way_back(algorithm, dtype, b1):
    """An evaluation after which training goes on from elsewhere."""
    y, state = train(algorithm.make(0.1, b1=b1), initial(dtype), 20)
    x = optim_jax.schedule_free_eval_params(state, y)
    if b1 < 1:
        assert np.abs(x["w"] - y["w"]).max() > 1e-3
    back = optim_jax.schedule_free_train_params(state, x)
    ulp = float(jnp.finfo(dtype).eps)
    scale = np.abs(np.asarray(y["w"], np.float32)).max()
    for name in ("w", "b"):
        np.testing.assert_allclose(
            np.asarray(back[name], np.float32),
            np.asarray(y[name], np.float32),
            rtol=0,
            atol=4 * ulp * scale,
        )


@each(SCHEDULE_FREE)
def test_b1_of_0_is_polyak_ruppert_averaging(algorithm):
    """0 / 0 for x where y is z."""
    y, state = train(algorithm.make(0.1, b1=0.0), initial(), 5)
    assert_close(y, state.z)
    assert_close(algorithm.eval_params(state, y), state.x)


@each(SCHEDULE_FREE)
@pytest.mark.parametrize("schedule", [0.1, 1.0, lambda t: 0.5 + 0.4 * jnp.cos(t)])
def test_x_and_y_are_those_of_the_recursion(algorithm, schedule):
    """y merged from y and z, or x from them, that is not what it stands for; x lost
    where y was made with another β1 than the present one's."""
    optimizer = optax.inject_hyperparams(algorithm.make)(0.1, b1=schedule)
    params, state = initial(), optimizer.init(initial())
    update, x = jax.jit(optimizer.update), initial()
    for t in range(30):
        updates, state = update(gradients(params, t), state, params)
        params, ours = optax.apply_updates(params, updates), state.inner_state
        c = 0.0 if ours.weight_sum == 0 else ours.lr_max**2 / ours.weight_sum
        x = jax.tree.map(lambda x, z, c=c: x + c * (z - x), x, ours.z)
        y = jax.tree.map(lambda x, z, b=ours.b1: z + b * (x - z), x, ours.z)
        assert_close(params, y, rtol=1e-4, atol=1e-4)
        assert_close(algorithm.eval_params(state, params), x, rtol=1e-4, atol=1e-4)
    assert ours.x is None


@each(ALL)
def test_a_rate_of_zero_leaves_x_where_it_was(algorithm):
    """0 / 0 in the averaging weights."""
    params, state = train(algorithm.make(0.0), initial(), 7)
    assert_close(algorithm.eval_params(state, params), initial(), rtol=0, atol=0)


@each(SCHEDULE_FREE)
def test_nothing_averages_before_the_first_rate_above_zero(algorithm):
    """x that stays at NaN, or lags behind, after a schedule that starts at 0."""
    optimizer = algorithm.make(lambda count: jnp.where(count < 5, 0.0, 0.1))
    params, state = train(optimizer, initial(), 30)
    x = algorithm.eval_params(state, params)
    assert np.all(np.isfinite(x["w"]))
    assert np.all(np.abs(x["w"]) < np.abs(initial()["w"]))


@each(ALL)
def test_nan_is_not_swallowed(algorithm):
    """A diverged run that looks well because its averages skip NaN."""
    params, state = train(algorithm.make(0.1), initial(), 7)
    grads = {"w": jnp.full(3, jnp.nan), "b": jnp.ones(())}
    update = jax.jit(algorithm.make(0.1).update)
    for _ in range(7):
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
    assert np.all(np.isnan(params["w"]))
    assert np.all(np.isnan(algorithm.eval_params(state, params)["w"]))


@each(OWN)
def test_the_rate_may_be_a_function_of_the_count(algorithm):
    """A schedule that is called with the wrong count, or not at all."""
    rates = (0.1, 0.2, 0.3, 0.3, 0.2, 0.1, 0.4)
    scheduled = algorithm.make(lambda count: jnp.array(rates)[count])
    params, _ = train(scheduled, initial(), len(rates))
    stepped, stepped_state = initial(), algorithm.make(0.1).init(initial())
    for t, rate in enumerate(rates):
        updates, stepped_state = algorithm.make(rate).update(
            gradients(stepped, t), stepped_state, stepped
        )
        stepped = optax.apply_updates(stepped, updates)
    assert_close(params, stepped, rtol=1e-5)


# RAdam.


@pytest.mark.parametrize("b2", [0.9, 0.999, 0.9999])
@pytest.mark.parametrize("threshold", [4.0, 5.0])
@pytest.mark.parametrize("traced", [False, True])
def test_rectification_in_float32(b2, threshold, traced):
    """ρ_t, a difference of large numbers, without its digits; a flipped threshold."""
    ts = np.unique(np.logspace(0, 6, 200).astype(int))
    argument = jnp.float32(b2) if traced else b2
    factors, are_rectified = map(
        np.asarray, jax.jit(lambda t: rectification(t, argument, threshold))(ts)
    )
    if traced:
        b2 = float(np.float32(b2))
    for t, factor, is_rectified in zip(ts, factors, are_rectified, strict=True):
        expected = specification.rectification(int(t), b2, threshold)
        assert bool(is_rectified) == (expected is not None)
        # A few roundings; without care it would be 1e-3 at β2 = 0.9999.
        np.testing.assert_allclose(factor, expected or 1.0, rtol=2e-6)


@pytest.mark.parametrize("b2", [0.0, 0.5, 0.6, 0.999])
def test_rectification_has_finite_derivatives(b2):
    """NaN from the branch that is not taken, in anything that differentiates it."""
    ts = jnp.array([1, 2, 4, 5, 100, 10**6])
    with_slope = jax.value_and_grad(lambda b2, t: rectification(t, b2)[0])
    factors, slopes = jax.jit(jax.vmap(with_slope, (None, 0)))(jnp.float32(b2), ts)
    assert np.all(np.isfinite(factors))
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("b2", [0.9, 0.99])
def test_radam_at_threshold_5_is_optax_s(b2):
    """Another algorithm than the published one under its name."""
    ours = train(optim_jax.radam(0.1, b2=b2, threshold=5.0), initial(), 30)
    theirs = train(optax.radam(0.1, b2=b2, threshold=5.0), initial(), 30)
    assert_close(ours[0], theirs[0], rtol=1e-4)  # theirs has ρ_t with fewer digits


@pytest.mark.parametrize("silent", [False, True])
def test_radam_before_the_threshold(silent):
    """A silent phase that decays, or a phase that is not silent and does not move."""
    optimizer = optim_jax.radam(0.1, weight_decay=0.1, silent_sgd_phase=silent)
    params = [train(optimizer, initial(), steps)[0]["w"] for steps in (0, 4, 5)]
    assert np.array_equal(params[1], params[0]) == silent
    assert not np.array_equal(params[2], params[1])


# Lookahead.


@pytest.mark.parametrize("momentum", ["keep", "reset", "pullback"])
def test_momentum_is_found_wherever_it_is(momentum):
    """A sync that misses the momentum of a base that is a chain, injected or masked."""

    def run(base):
        optimizer = optim_jax.lookahead(base, k=2, alpha=0.7, momentum=momentum)
        return train(optimizer, initial(), 9)[0]

    plain = run(optax.adam(0.1))
    others = (
        optax.chain(optax.identity(), optax.adam(0.1)),
        optax.inject_hyperparams(optax.adam)(0.1),
        optax.multi_transform(
            {"a": optax.adam(0.1), "b": optax.adam(0.1)},
            {"w": "a", "b": "b"},
        ),
    )
    for base in others:
        assert_close(run(base), plain, rtol=1e-5)


def test_parameters_named_mu_are_not_momentum():
    """The second moments of a parameter named mu, reset for a first moment."""

    class Gaussian(NamedTuple):
        mu: Any
        sigma: Any

    def run(params):
        base = optax.rmsprop(0.1, momentum=0.9)
        optimizer = optim_jax.lookahead(base, k=2, momentum="reset")
        return jax.tree.leaves(train(optimizer, params, 9)[0])

    tree = {"a": Gaussian(jnp.ones(2), 2 * jnp.ones(2))}
    assert_close(run(tree), run([jnp.ones(2), 2 * jnp.ones(2)]), rtol=0, atol=0)


@each(LOOKAHEAD)
def test_slow_weights_are_the_same_seen_from_either_side_of_a_step(algorithm):
    """φ that is a sync late, or that moves between syncs."""
    optimizer = algorithm.make(0.1, k=3)
    update, evaluate = jax.jit(optimizer.update), jax.jit(algorithm.eval_params)
    params, state = initial(), optimizer.init(initial())
    seen = []
    for t in range(10):
        seen.append(evaluate(state, params)["w"])
        updates, state = update(gradients(params, t), state, params)
        params = optax.apply_updates(params, updates)
    for t in range(10):
        since_sync = t - t % 3
        np.testing.assert_allclose(seen[t], seen[since_sync], rtol=1e-6)
        assert since_sync == 0 or np.any(seen[t] != seen[since_sync - 1])


@pytest.mark.parametrize("momentum", ["keep", "reset", "pullback"])
def test_the_state_is_whole_right_after_a_sync(momentum):
    """Slow weights or momentum that follow only in the step after the sync."""
    optimizer = optim_jax.lookahead(optax.adam(0.1), k=2, momentum=momentum)
    params, state = train(optimizer, initial(), 2)
    assert_close(state.slow, params)
    mu = state.base_state[0].mu["w"]
    assert np.all(mu == 0) == (momentum == "reset")
    if momentum == "pullback":
        assert_close(state.momentum[0]["mu"]["w"], mu)


def test_evaluation_of_lookahead_over_schedule_free():
    """x of the fast sequences, or y, for the x that goes with the slow ones."""
    optimizer = lookahead_schedule_free(0.1, k=4)
    params, state = train(optimizer, initial(), 4)
    x = optim_jax.lookahead_eval_params(state, params)
    assert_close(state.sequences[0]["z"], state.base_state.z)  # set to it by the sync
    inner_x = optim_jax.schedule_free_eval_params(state.base_state, params)
    assert_close(x, inner_x, rtol=1e-5)
    assert np.abs(x["w"] - params["w"]).max() > 1e-3
    for move in ("schedule_free_eval_params", "schedule_free_train_params"):
        with pytest.raises(ValueError, match=rf"{move} found no Sch.*a Look"):
            getattr(optim_jax, move)(state, params)


# optax's machinery.


@each(ALL)
def test_it_runs_in_scan(algorithm):
    """State whose structure or types change from step to step."""
    optimizer = algorithm.make(0.1)

    def step(carry, t):
        params, state = carry
        grads = jax.tree.map(lambda p: p + jnp.sin(t), params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    carry = (initial(), optimizer.init(initial()))
    (params, _), _ = jax.lax.scan(step, carry, jnp.arange(10.0))
    assert_close(params, train(optimizer, initial(), 10)[0], rtol=1e-5)


@each(ALL)
def test_it_runs_under_vmap(algorithm):
    """A barrier or branch without a rule for batches of models."""
    optimizer = algorithm.make(0.1)
    batch = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), initial())
    state = jax.vmap(optimizer.init)(batch)
    update = jax.jit(jax.vmap(optimizer.update))
    params = batch
    for t in range(7):
        updates, state = update(gradients(params, t), state, params)
        params = optax.apply_updates(params, updates)
    for i in range(2):
        alone = train(optimizer, jax.tree.map(lambda p, i=i: p[i], batch), 7)[0]
        assert_close(jax.tree.map(lambda p, i=i: p[i], params), alone, rtol=1e-5)


@each(ALL)
def test_parameters_and_state_may_be_donated(algorithm):
    """State that shares a buffer with the parameters, or evaluation with the state."""
    options = {"b1": 0.0} if algorithm in SCHEDULE_FREE else {}  # which keeps x
    optimizer = algorithm.make(0.1, **options)
    params = initial()
    state = optimizer.init(params)

    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))
    evaluations = []
    for _ in range(7):
        params, state = step(params, state)
        evaluations.append(algorithm.eval_params(state, params))
    assert all(np.all(np.isfinite(x["w"])) for x in evaluations)


def temporary_memory(optimizer):
    """Of a compiled step, in tensors of the size of the parameters."""
    params = {"a": jnp.ones((500, 1000)), "b": jnp.ones((500, 1000))}

    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = (
        jax.jit(step, donate_argnums=(0, 1))
        .lower(params, optimizer.init(params), params)
        .compile()
    )
    return compiled.memory_analysis().temp_size_in_bytes / (2 * params["a"].nbytes)


@each([a for a in ALL if a.name not in COPIES])
def test_a_step_needs_no_memory_but_its_state(algorithm):
    """A copy of each tensor in the compiled step, which takes as long as the step."""
    assert temporary_memory(algorithm.make(0.1)) < 0.05


@pytest.mark.parametrize("base", [optax.sgd(0.1), optax.adamw(0.1)])
def test_the_wrapper_needs_no_more_memory_than_a_copy(base):
    """A second copy, of z or the base's updates, where optax's wrapper has one."""
    assert temporary_memory(optim_jax.schedule_free(base, 0.1)) < 1.05


@each(ALL)
def test_injected_hyperparameters_change_nothing(algorithm):
    """A numeric argument that may not be traced, or is read at construction only."""
    arguments = {"learning_rate": 0.1}
    if algorithm.name == "schedule_free_adamw":
        arguments |= {"warmup_steps": 5, "decoupling_c": 3.0, "r": 0.5}
    injected = optax.inject_hyperparams(algorithm.make)(**arguments)
    params, state = train(injected, initial(), 12)
    plain, plain_state = train(algorithm.make(**arguments), initial(), 12)
    # 1 - β2 from a β2 in float32 has four digits.
    assert_close(params, plain, rtol=1e-4, atol=1e-5)
    assert_close(
        algorithm.eval_params(state, params),
        algorithm.eval_params(plain_state, plain),
        rtol=1e-4,
        atol=1e-5,
    )


@each(ALL)
def test_evaluation_sees_through_wrappers(algorithm):
    """A state that is not found, or that is taken for all parameters' where it is
    that of a part.
    """
    params, state = train(algorithm.make(0.1), initial(), 7)
    x = algorithm.eval_params(state, params)
    split = optax.multi_transform(
        {"ours": algorithm.make(0.1), "sgd": optax.sgd(0.1)}, {"w": "ours", "b": "sgd"}
    )
    both = optax.multi_transform(
        {"one": algorithm.make(0.1), "two": algorithm.make(0.1)},
        {"w": "one", "b": "two"},
    )
    wrappers = {
        "chain": optax.chain(optax.clip(100.0), algorithm.make(0.1)),
        "masked": optax.masked(algorithm.make(0.1), {"w": True, "b": False}),
        "split": split,
        "both": both,
    }
    if algorithm.name == "lookahead_sgd":  # α is one for all parameters of a state
        wrappers = {"chain": wrappers["chain"]}
    for name, optimizer in wrappers.items():
        wrapped, wrapped_state = train(optimizer, initial(), 7)
        wrapped_x = algorithm.eval_params(wrapped_state, wrapped)
        np.testing.assert_allclose(wrapped_x["w"], x["w"], rtol=1e-5, err_msg=name)
        if name in ("chain", "both"):
            np.testing.assert_allclose(wrapped_x["b"], x["b"], rtol=1e-5)
        elif not algorithm.is_evaluated_where_it_trains:
            np.testing.assert_array_equal(wrapped_x["b"], wrapped["b"])


@each(ALL)
def test_accumulated_gradients_are_one_step(algorithm):
    """MultiSteps that sees state change where it has not stepped."""
    optimizer = optax.MultiSteps(algorithm.make(0.1), every_k_schedule=2)
    params, state = initial(), optimizer.init(initial())
    update = jax.jit(optimizer.update)
    for t in range(14):
        updates, state = update(gradients(params, t // 2), state, params)
        params = optax.apply_updates(params, updates)
    plain, plain_state = train(algorithm.make(0.1), initial(), 7)
    assert_close(params, plain, rtol=1e-5)
    x = algorithm.eval_params(state, params)
    assert_close(x, algorithm.eval_params(plain_state, plain), rtol=1e-5)


def tree_map_params_works():
    try:
        optax.tree_map_params(optax.sgd(0.1), lambda p: p, optax.sgd(0.1).init({}))
    except AttributeError:
        return False
    return True


@pytest.mark.skipif(
    not tree_map_params_works(), reason="this optax calls jax.tree_map, which is gone"
)
@each(ALL)
def test_the_state_s_trees_are_found_by_tree_map_params(algorithm):
    """Shardings that cannot be given to the state by those of the parameters."""
    optimizer, params = algorithm.make(0.1), initial()
    state = optimizer.init(params)
    names = {"w": "w's", "b": "b's"}
    mapped = optax.tree_map_params(
        optimizer,
        lambda _, name: name,
        state,
        names,
        transform_non_params=lambda _: "scalar",
    )
    leaves = zip(jax.tree.leaves(mapped), jax.tree.leaves(state), strict=True)
    found = {"w's": 0, "b's": 0, "scalar": 0}
    for name, leaf in leaves:
        found[name] += 1
        assert (name == "w's") == (leaf.shape == (3,))
    assert found["w's"] == found["b's"] >= 1


@each(ALL)
def test_other_arguments_are_passed_on_or_ignored(algorithm):
    """A training loop that gives every optimizer the loss."""
    optimizer, params = algorithm.make(0.1), initial()
    updates, _ = optimizer.update(params, optimizer.init(params), params, value=1.0)
    assert jax.tree.structure(updates) == jax.tree.structure(params)


@pytest.mark.parametrize("wrap", ["schedule_free", "lookahead"])
def test_wrappers_pass_extra_arguments_to_their_base(wrap):
    """A base that needs the loss and does not get it."""

    def update(updates, state, params=None, *, value, **extra_args):
        del params, extra_args
        return jax.tree.map(lambda g: -value * g, updates), state

    base = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    if wrap == "schedule_free":
        optimizer = optim_jax.schedule_free(base, 1.0)
    else:
        optimizer = optim_jax.lookahead(base)
    params = jnp.ones(2)
    updates, _ = optimizer.update(params, optimizer.init(params), params, value=0.5)
    np.testing.assert_allclose(updates, -0.5)


def test_the_base_sees_z():
    """A base with decay of its own that takes y for the point it moves."""
    base = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1))
    optimizer = optim_jax.schedule_free(base, 0.1, b1=0.5)
    params, state = train(optimizer, initial(), 3)
    updates, after = optimizer.update(gradients(params, 3), state, params)
    del updates
    expected = jax.tree.map(
        lambda z, g: z - 0.1 * (g + 0.5 * z), state.z, gradients(params, 3)
    )
    assert_close(after.z, expected)


@each(ALL)
@pytest.mark.parametrize(
    "params", [{}, {"a": None}, {"a": jnp.ones(2), "b": None}], ids=str
)
def test_trees_may_be_empty_or_have_holes(algorithm, params):
    """Frozen parameters given as None."""
    optimizer = algorithm.make(0.1)
    new_params, state = train(optimizer, params, 4)
    assert jax.tree.structure(new_params) == jax.tree.structure(params)
    x = algorithm.eval_params(state, new_params)
    assert jax.tree.structure(x) == jax.tree.structure(params)


def abstract(tree):
    return jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), tree)


@each(ALL)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_state_of_abstract_parameters(algorithm, dtype):
    """A checkpoint that can't be restored without parameters to make its state from."""
    optimizer, params = algorithm.make(0.1), initial(dtype)
    expected = abstract(optimizer.init(params))
    assert abstract(optimizer.init(abstract(params))) == expected
    assert abstract(jax.eval_shape(optimizer.init, abstract(params))) == expected


@pytest.mark.skipif(
    not hasattr(nnx, "as_pure"), reason="this flax's optimizers are updated otherwise"
)
@each((SCHEDULE_FREE[1], LOOKAHEAD[-1]))
def test_evaluation_of_flax_nnx(algorithm):
    """An optimizer of flax.nnx, whose state and parameters are of its own variables."""

    class Model(nnx.Module):
        def __init__(self):
            self.w, self.b = nnx.Param(initial()["w"]), nnx.Param(initial()["b"])
            self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    model = Model()
    optimizer = nnx.Optimizer(model, algorithm.make(0.1), wrt=nnx.Param)
    step = nnx.jit(lambda model, optimizer, grads: optimizer.update(model, grads))
    for t in range(4):
        step(model, optimizer, gradients(nnx.state(model, nnx.Param), t))
    params, state = train(algorithm.make(0.1), initial(), 4)
    expected = algorithm.eval_params(state, params)
    params = nnx.state(model, nnx.Param)
    with pytest.raises(ValueError, match=r"state of other parameters.*nnx\.state"):
        algorithm.eval_params(optimizer.opt_state, model.w[...])
    nnx.update(model, algorithm.eval_params(optimizer.opt_state, params))
    assert_close({"w": model.w[...], "b": model.b[...]}, expected, rtol=1e-5)


_SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.optim import test_jax

sharding = NamedSharding(Mesh(jax.devices(), ("x",)), PartitionSpec("x"))
whole = {"w": jnp.arange(8.0)}
for algorithm in test_jax.ALL:
    optimizer = algorithm.make(0.1)
    params = jax.device_put(whole, sharding)
    state = optimizer.init(params)
    tensors = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert tensors
    assert all(leaf.sharding == sharding for leaf in tensors), algorithm.name
    params, state = test_jax.train(optimizer, params, 4, state)
    assert params["w"].sharding.is_equivalent_to(sharding, 1), algorithm.name
    tensors = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert all(leaf.sharding.is_equivalent_to(sharding, 1) for leaf in tensors)
    alone = test_jax.train(optimizer, whole, 4)[0]
    np.testing.assert_allclose(params["w"], alone["w"], rtol=1e-5, atol=1e-6)
print(jax.device_count())
"""


def test_state_is_sharded_as_the_parameters():
    """State that is whole on every device, or a step that gathers it there."""
    result = subprocess.run(
        [sys.executable, "-c", _SHARDED],
        env={**xla.devices(2), "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "2"


# Misuse.


@each(ALL)
def test_it_needs_params(algorithm):
    """update(grads, state) that silently takes y for something else."""
    optimizer = algorithm.make(0.1)
    state = optimizer.init(initial())
    with pytest.raises(ValueError, match=r"needs params in update\(\), got None"):
        optimizer.update(initial(), state)


OTHER_GRADIENTS = {
    "a part": ({"w": jnp.ones(3)}, r"only in the parameters at \['b'\]"),
    "more": ({**initial(), "c": 1.0}, r"only there at \['c'\]"),
    "a hole": ({"w": jnp.ones(3), "b": None}, r"only in the parameters at \['b'\]"),
    "a shape": ({"w": jnp.ones(3), "b": jnp.ones(3)}, r"shape \(3,\) in place of \(\)"),
    "a number": ({"w": 1.0, "b": 1.0}, r"shape \(\) in place of \(3,\) at \['w'\]"),
    "a row": ({"w": jnp.ones((1, 3)), "b": 1.0}, r"shape \(1, 3\) in place of \(3,\)"),
    "deeper": ({"w": {"v": jnp.ones(3)}, "b": 1.0}, r"at \['w'\]\['v'\]"),
    "complex": ({"w": 1j * jnp.ones(3), "b": 1.0}, r"complex in place of real at"),
}


@each(ALL)
@pytest.mark.parametrize("case", OTHER_GRADIENTS)
def test_gradients_of_other_parameters(algorithm, case):
    """Gradients that are broadcast: a parameter takes their shape, without a word."""
    grads, message = OTHER_GRADIENTS[case]
    optimizer = algorithm.make(0.1)
    state = optimizer.init(initial())
    with pytest.raises(ValueError, match=f"got gradients of other.*{message}"):
        jax.eval_shape(optimizer.update, grads, state, initial())


@each(ALL)
def test_a_state_of_other_parameters(algorithm):
    """A checkpoint of another model, whose shapes the parameters take."""
    optimizer = algorithm.make(0.1)
    state = optimizer.init({"w": jnp.ones((2, 3)), "b": jnp.ones(())})
    message = r"got a state of other parameters: shape \(2, 3\) in place of \(3,\)"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(optimizer.update, initial(), state, initial())
    if not algorithm.is_evaluated_where_it_trains:
        with pytest.raises(ValueError, match=message):
            algorithm.eval_params(state, initial())


@pytest.mark.parametrize("name", ["schedule_free", "lookahead"])
def test_updates_of_a_base_of_another_shape(name):
    """A base that sums what it is given, so that z or θ takes the shape of the sum."""
    base = optax.stateless(lambda updates, _: jax.tree.map(jnp.sum, updates))
    wrap = {"schedule_free": lambda base: optim_jax.schedule_free(base, 1.0)}
    optimizer = wrap.get(name, optim_jax.lookahead)(base)
    state = optimizer.init(initial())
    with pytest.raises(ValueError, match=f"{name} got updates of its base of other"):
        jax.eval_shape(optimizer.update, initial(), state, initial())


@each(ALL)
@pytest.mark.parametrize("leaf", [jnp.arange(3), jnp.ones(2, bool), 1], ids=str)
def test_parameters_that_have_no_gradient(algorithm, leaf):
    """Integers, which are rounded back to where they were at every step."""
    optimizer, params = algorithm.make(0.1), {"w": leaf, "b": jnp.ones(())}
    message = r"needs parameters that are floating point or complex, got .* at \['w'\]"
    with pytest.raises(ValueError, match=message):
        optimizer.init(params)
    state = optimizer.init(jax.tree.map(lambda p: jnp.asarray(p, float), params))
    with pytest.raises(ValueError, match=message):
        optimizer.update(params, state, params)


@each(ALL)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("grads_dtype", ["int32", "bfloat16", "float64"])
def test_gradients_of_another_precision(algorithm, dtype, grads_dtype):
    """Parameters that are promoted to the precision of their gradients."""
    with trajectories.jax_float64():
        optimizer, params = algorithm.make(0.1), initial(dtype)

        def step(params, grads):
            updates, state = optimizer.update(grads, optimizer.init(params), params)
            params = optax.apply_updates(params, updates)
            return updates, params, algorithm.eval_params(state, params)

        for tree in jax.eval_shape(step, params, initial(grads_dtype)):
            assert dtypes(tree) == {dtype}


@pytest.mark.parametrize(
    "name",
    [
        "schedule_free_eval_params",
        "schedule_free_train_params",
        "lookahead_eval_params",
    ],
)
def test_evaluation_of_a_state_that_has_no_x(name):
    """x that is silently y, of another optimizer's state."""
    params = initial()
    state = optax.adam(0.1).init(params)
    with pytest.raises(ValueError, match=rf"{name} found no .*State in a tuple"):
        getattr(optim_jax, name)(state, params)


FACTORIES = tuple(a.jax_function() for a in cases.OWN)
AVERAGES = tuple(a.make for a in SCHEDULE_FREE)


def having(name):
    return tuple(f for f in FACTORIES if name in inspect.signature(f).parameters)


@pytest.mark.parametrize(
    ("factories", "arguments", "message"),
    [
        (
            (*FACTORIES, wrapped_sgd),
            {"learning_rate": -1.0},
            "must be at least 0, got -1.0",
        ),
        (AVERAGES, {"b1": 1.5}, r"b1 must be in \[0, 1\], got 1.5"),
        (having("b1"), {"b1": -0.1}, r"b1 must be in \[0, 1[\])], got -0.1"),
        ((optim_jax.radam,), {"b1": 1.0}, r"b1 must be in \[0, 1\), got 1.0"),
        (having("b2"), {"b2": 1.0}, r"b2 must be in \[0, 1\), got 1.0"),
        (having("eps"), {"eps": -1e-8}, "eps must be at least 0, got -1e-08"),
        (
            having("weight_decay"),
            {"weight_decay": -0.1},
            "weight_decay must be at least 0, got -0.1",
        ),
        (
            having("threshold"),
            {"threshold": 3.0},
            "threshold must be at least 4, got 3.0",
        ),
        (
            having("warmup_steps"),
            {"warmup_steps": -1},
            "warmup_steps must be at least 0",
        ),
        (having("r"), {"r": -1}, "r must be at least 0, got -1"),
        (
            having("weight_lr_power"),
            {"weight_lr_power": -2},
            "weight_lr_power must be at least 0",
        ),
        (
            having("decoupling_c"),
            {"decoupling_c": 0.0},
            "decoupling_c must be above 0, or None",
        ),
        ((optim_jax.lookahead,), {"k": 0}, "k must be an integer from 1, got 0"),
        ((optim_jax.lookahead,), {"k": 2.5}, "k must be an integer from 1, got 2.5"),
        ((optim_jax.lookahead,), {"alpha": 0.0}, r"alpha must be in \(0, 1\], got 0.0"),
        ((optim_jax.lookahead,), {"fisher_decay": 1.0}, "fisher_decay must be in"),
        (
            (optim_jax.lookahead,),
            {"momentum": "drop"},
            "momentum must be one of 'keep', 'reset', 'pullback', got 'drop'",
        ),
    ],
)
def test_each_invalid_value_is_named(factories, arguments, message):
    """A value outside its range that trains into NaN."""
    for factory in factories:
        given = dict(arguments)
        if factory is optim_jax.lookahead:
            given["base"] = optax.sgd(0.1)
        elif factory is wrapped_sgd:
            given.setdefault("learning_rate", 0.1)
        with pytest.raises(ValueError, match=message):
            factory(**given)


KINDS = {
    **dict.fromkeys(("silent_sgd_phase", "adaptive"), "True or False"),
    "momentum": "one of 'keep', 'reset', 'pullback'",
}
NOT_NUMBERS = ("x", None, 1j, [0.1], lambda count: 0.1, jnp.ones(1), np.ones(2))


@pytest.mark.parametrize(
    "value", NOT_NUMBERS, ids=lambda v: str(v).partition(" at ")[0]
)
@pytest.mark.parametrize(
    "factory",
    [
        *FACTORIES,
        functools.partial(optim_jax.schedule_free, optax.sgd(0.1)),
        functools.partial(optim_jax.lookahead, optax.sgd(0.1)),
    ],
    ids=[
        *(f.__name__ for f in FACTORIES),
        "schedule_free",
        "lookahead",
    ],
)
def test_what_is_no_number_is_named(factory, value):
    """A TypeError from deep inside, or a parameter in the shape of an array."""
    names = inspect.signature(factory).parameters.keys()
    arguments = {"learning_rate": 0.1} if "learning_rate" in names else {}
    for name in names - {"base", "row_axes"}:
        if name == "decoupling_c" and value is None:
            continue
        if name == "learning_rate" and callable(value):
            continue
        expected = KINDS.get(name, "a number(, or None)?")
        if isinstance(value, jax.Array):
            expected = "a number"
        with pytest.raises(ValueError, match=f"^{name} must be {expected}, got "):
            factory(**{**arguments, name: value})


@pytest.mark.parametrize("k", [math.inf, math.nan, 2.5, -1, True, "2"])
def test_k_is_an_integer(k):
    """k that is taken for another number, or an OverflowError."""
    with pytest.raises(ValueError, match=r"^k must be .*, got"):
        optim_jax.lookahead(optax.sgd(0.1), k=k)


@each(OWN)
@pytest.mark.parametrize("value", [None, "x", jnp.ones(3), 1j])
def test_a_schedule_that_gives_no_number(algorithm, value):
    """A rate that is an array, whose shape the parameters take."""
    optimizer = algorithm.make(lambda count: value)
    if algorithm.name == "wrapped_sgd":
        optimizer = optim_jax.schedule_free(optax.sgd(0.1), lambda count: value)
    state = optimizer.init(initial())
    with pytest.raises(ValueError, match=r"^learning_rate must be a number, got"):
        optimizer.update(initial(), state, initial())


@pytest.mark.parametrize("number", [np.float32(0.1), np.array(0.1), jnp.array(0.1)])
def test_numbers_of_numpy_and_jax_are_numbers(number):
    """A check that refuses what works."""
    for factory in FACTORIES:
        optimizer = factory(number, b1=number, weight_decay=number)
        optimizer = optim_jax.lookahead(optimizer, np.int64(2), number)
        state = optimizer.init(initial())
        jax.eval_shape(optimizer.update, initial(), state, initial())


@pytest.mark.parametrize("base", [optax.adam, 0.1, None], ids=["factory", "rate", "no"])
def test_a_base_is_a_transformation(base):
    """optax.adam for optax.adam(0.1): an AttributeError in the first step."""
    message = "^base must be a gradient transformation, got"
    with pytest.raises(ValueError, match=message):
        optim_jax.schedule_free(base, 0.1)
    with pytest.raises(ValueError, match=message):
        optim_jax.lookahead(base)


# The tests that optax has for contributions, on ours.


def _optax_common_tests() -> Any:
    """optax's own test module with the bodies of its tests as plain functions."""
    path = pathlib.Path(optax.contrib.__path__[0]) / "_common_test.py"
    if not path.exists() or "_MAIN_OPTIMIZERS_UNDER_TEST" not in path.read_text():
        return None
    spec = importlib.util.spec_from_file_location("optax_common_test", path)
    module = importlib.util.module_from_spec(spec)
    plain = mock.Mock(return_value=lambda f: f)
    with mock.patch.object(parameterized, "product", plain):
        spec.loader.exec_module(module)
    factories = {a.name: a.make for a in OWN} | {"sgd": optax.sgd}
    module._get_opt_factory = factories.__getitem__
    module.contrib = types.SimpleNamespace(
        schedule_free=optim_jax.schedule_free,
        lookahead=optim_jax.lookahead,
        schedule_free_eval_params=optim_jax.schedule_free_eval_params,
    )
    return module


COMMON = _optax_common_tests()
needs_common_tests = pytest.mark.skipif(
    COMMON is None, reason="this optax does not ship its common tests"
)


def optax_test(algorithm: cases.Algorithm):
    """Its arguments for optax's tests, where a wrapper has SGD inside."""
    name, options = algorithm.jax, dict(algorithm.optax_tests)
    wrapper = base = None
    if algorithm.is_wrapper:
        wrapper, name, base = name, "sgd", options.pop("base")
    else:
        options["learning_rate"] = algorithm.rates.optax
    return pytest.param(
        {
            "opt_name": name,
            "opt_kwargs": base or options,
            "wrapper_name": wrapper,
            "wrapper_kwargs": options if wrapper else None,
        },
        id=algorithm.jax,
    )


UNDER_TEST = pytest.mark.parametrize(
    "arguments", [optax_test(a) for a in cases.OPTIMIZERS]
)


def run_common(name, **arguments):
    getattr(COMMON.ContribTest, name)(COMMON.ContribTest(), **arguments)


@needs_common_tests
@UNDER_TEST
@pytest.mark.parametrize("target", ["parabola", "rosenbrock", "matrix", "mixed"])
def test_common_optimizers(arguments, target):
    """An optimizer that does not find the minimum in 30,000 steps."""
    targets = {
        "matrix": "_setup_matrix_parabola",
        "mixed": "_setup_mixed_tensor_target",
    }
    setup = getattr(COMMON, targets.get(target, f"_setup_{target}"))
    run_common("test_optimizers", **arguments, target=setup, dtype="float32")


@needs_common_tests
@UNDER_TEST
@pytest.mark.parametrize("wrap", [False, True])
def test_common_extra_args(arguments, wrap):
    """An unexpected argument that raises, or a second call that compiles again."""
    run_common("test_optimizers_accept_extra_args", **arguments, wrap=wrap)


@needs_common_tests
@UNDER_TEST
def test_common_inject_hyperparams(arguments):
    """Hyperparameters as arrays that give another step than as numbers."""
    name = "test_optimizers_can_be_wrapped_in_inject_hyperparams"
    run_common(name, **arguments)


@needs_common_tests
@UNDER_TEST
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", ["test_preserve_dtype", "test_gradient_accumulation"])
def test_common_dtypes(arguments, dtype, name):
    """Updates of another dtype than the parameters'."""
    run_common(name, **arguments, dtype=dtype)


@needs_common_tests
@UNDER_TEST
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_common_state_stability(arguments, dtype):
    """State of another shape, dtype or sharding after a step than before it."""
    name = "test_state_shape_dtype_shard_stability"
    run_common(name, **arguments, dtype=getattr(jnp, dtype))
