"""schedule_free_adamw as a transformation: optax's machinery, dtypes, misuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unscheduled import optim_jax


def make(steps=0, dtype=jnp.float32, **arguments):
    """Parameters and state after some steps on a quadratic."""
    optimizer = optim_jax.schedule_free_adamw(0.1, warmup_steps=3, **arguments)
    params = {"w": jnp.arange(1, 4).astype(dtype), "b": jnp.ones((), dtype)}
    state = optimizer.init(params)
    for _ in range(steps):
        grads = jax.tree.map(lambda p: 2 * p, params)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return optimizer, params, state


def test_x_and_y_are_each_other_s_way_back():
    """An evaluation after which training goes on from elsewhere."""
    _, y, state = make(steps=20)
    x = optim_jax.schedule_free_eval_params(state, y)
    assert np.abs(x["w"] - y["w"]).max() > 1e-3
    back = optim_jax.schedule_free_train_params(state, x)
    np.testing.assert_allclose(back["w"], y["w"], rtol=1e-6)


def test_a_rate_of_zero_leaves_x_where_it_was():
    """0 / 0 in the averaging weights."""
    optimizer = optim_jax.schedule_free_adamw(0.0, weight_decay=0.1)
    params = {"w": jnp.ones(2)}
    state = optimizer.init(params)
    updates, state = optimizer.update({"w": jnp.ones(2)}, state, params)
    x = optim_jax.schedule_free_eval_params(state, optax.apply_updates(params, updates))
    np.testing.assert_array_equal(x["w"], params["w"])


def test_the_rate_may_be_a_function_of_the_count():
    """A schedule that is called with the wrong count, or not at all."""
    settings = {"b1": 0.9, "b2": 0.99}
    constant = optim_jax.schedule_free_adamw(0.1, **settings)
    scheduled = optim_jax.schedule_free_adamw(
        lambda count: jnp.where(count == 0, 0.1, jnp.nan), **settings
    )
    params = jnp.ones(2)
    results = [o.update(params, o.init(params), params) for o in (constant, scheduled)]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    _, state = scheduled.update(params, results[1][1], params)
    assert np.isnan(state.lr_max)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes_are_kept(dtype):
    """Parameters or state that are promoted, and a step compiled anew for it."""
    _, params, state = make(steps=2, dtype=dtype)
    x = optim_jax.schedule_free_eval_params(state, params)
    for tree in (params, state.z, state.nu, x):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype(dtype)}
    assert state.count.dtype == jnp.int32
    assert state.weight_sum.dtype == jnp.float32


def test_it_runs_in_scan_and_chain():
    """State whose structure or types change from step to step."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optim_jax.schedule_free_adamw(0.1)
    )
    params = jnp.ones(3)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(2 * params, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=50)
    x = optim_jax.schedule_free_eval_params(state[1], params)
    assert np.abs(x).max() < 0.5


def test_it_needs_params():
    """update(grads, state) that silently takes y for something else."""
    optimizer, params, state = make()
    with pytest.raises(ValueError, match=r"needs params \(y\)"):
        optimizer.update(params, state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate must be at least 0, got -1.0"),
        ({"b1": 0.0}, r"b1 must be in \(0, 1\], got 0.0"),
        ({"b2": 1.0}, r"b2 must be in \[0, 1\), got 1.0"),
        ({"eps": -1e-8}, "eps must be at least 0, got -1e-08"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        ({"r": -1}, "r must be at least 0, got -1"),
        ({"weight_lr_power": -2}, "weight_lr_power must be at least 0, got -2"),
    ],
)
def test_each_invalid_value_is_named(arguments, message):
    """A value outside its range that trains into NaN."""
    with pytest.raises(ValueError, match=message):
        optim_jax.schedule_free_adamw(**arguments)
