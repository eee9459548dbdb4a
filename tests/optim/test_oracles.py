"""Other implementations agree with the specification, or are known to be wrong."""

import numpy as np
import pytest
import schedulefree
import torch
from optax import contrib

from tests import cases, specifications, trajectories
from tests.optim.test_specification import STEPS, assert_same
from unscheduled import optim_torch

_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}


def settings_of(name, agrees=lambda settings: True):
    """The settings of an algorithm in which another implementation is right."""
    return pytest.mark.parametrize(
        "settings",
        [s for s in cases.by_name(name).settings if agrees(s)],
        ids=lambda s: "-".join(map(str, s)),
    )


def schedulefree_is_right(settings):
    """Not at β = 0, where its eval() crashes, and it has no C."""
    return settings["beta1"] > 0 and "decoupling_c" not in settings


@settings_of("schedule_free_adamw", schedulefree_is_right)
def test_schedulefree_adamw(settings):
    """A specification that misreads the paper where its authors' code is right."""
    arguments = specifications.torch_arguments(settings)
    assert_same(
        trajectories.run_torch_optimizer(
            lambda ps: schedulefree.AdamWScheduleFree(ps, **arguments), STEPS
        ),
        cases.by_name("schedule_free_adamw").run_numpy(settings, STEPS),
    )


@settings_of(
    "schedule_free_sgd",
    # Its constructor refuses β = 1.
    lambda s: schedulefree_is_right(s) and s["beta1"] < 1,
)
def test_schedulefree_sgd(settings):
    """The same of SGD."""
    arguments = specifications.torch_arguments(settings)
    assert_same(
        trajectories.run_torch_optimizer(
            lambda ps: schedulefree.SGDScheduleFree(ps, **arguments), STEPS
        ),
        cases.by_name("schedule_free_sgd").run_numpy(settings, STEPS),
    )


@settings_of(
    "schedule_free_radam",
    lambda s: schedulefree_is_right(s) and "threshold" not in s and s["beta2"] > 0.6,
)
def test_schedulefree_radam(settings):
    """The same of RAdam, where its threshold is the paper's too."""
    arguments = specifications.torch_arguments(settings)
    assert_same(
        trajectories.run_torch_optimizer(
            lambda ps: schedulefree.RAdamScheduleFree(ps, **arguments), STEPS
        ),
        cases.by_name("schedule_free_radam").run_numpy(settings, STEPS),
    )


def test_torch_radam_agrees_but_for_the_threshold_and_eps():
    """A rectification of our own making.

    torch rectifies above 5; without ε and decay its steps are ours at threshold 5.
    """
    settings = {**_ADAM, "threshold": 5.0, "eps": 0.0}
    arguments = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 0.0}
    ours = cases.by_name("radam").run_numpy(settings, STEPS)
    assert_same(
        trajectories.run_torch_optimizer(
            lambda ps: torch.optim.RAdam(ps, **arguments), STEPS
        ),
        ours,
    )
    arguments["weight_decay"] = settings["weight_decay"] = 0.1
    decayed = trajectories.run_torch_optimizer(
        lambda ps: torch.optim.RAdam(ps, decoupled_weight_decay=True, **arguments),
        STEPS,
    )
    assert_same(decayed, cases.by_name("radam").run_numpy(settings, STEPS))


def test_torch_radam_adds_eps_before_the_bias_correction():
    """The known disagreement: torch's ε is 1 / sqrt(1 - β2^t) times ours.

    Adam's ε is added to sqrt(v̂), so that it means the same at every step: ours.
    """
    settings = {**_ADAM, "threshold": 5.0, "eps": 1e-2}
    theirs = trajectories.run_torch_optimizer(
        lambda ps: torch.optim.RAdam(ps, lr=0.01, betas=(0.9, 0.99), eps=1e-2), STEPS
    )
    ours = cases.by_name("radam").run_numpy(settings, STEPS)
    assert 1e-4 < np.abs(theirs.x[-1][0] - ours.x[-1][0]).max() < 0.1


@pytest.mark.parametrize("eps", [1e-8, 1e-2])
def test_optax_radam_agrees_but_for_the_threshold(eps):
    """A specification that disagrees with an independent implementation."""
    import optax

    with trajectories.jax_float64():
        theirs = trajectories.run_jax_optimizer(
            optax.radam(0.01, 0.9, 0.99, eps=eps), lambda state, params: params, STEPS
        )
    settings = {**_ADAM, "threshold": 5.0, "eps": eps}
    # It computes r_t in float32.
    assert_same(
        theirs, cases.by_name("radam").run_numpy(settings, STEPS), tolerance=1e-5
    )


def test_optax_lookahead_agrees_on_the_slow_weights():
    """A slow step of our own making.

    optax's takes a pair of fast and slow parameters, ours the fast ones.
    """
    import jax
    import jax.numpy as jnp
    import optax

    settings = {"inside": "heavy_ball", "lr": 0.02, "momentum": 0.9, "k": 5}
    ours = cases.by_name("lookahead").run_numpy({**settings, "alpha": 0.5}, STEPS)
    with trajectories.jax_float64():
        optimizer = optax.lookahead(optax.sgd(0.02, 0.9), 5, 0.5)
        start = [jnp.asarray(p) for p in trajectories.initial_params()]
        params = optax.LookaheadParams(start, start)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for t in range(1, STEPS + 1):
            fast = [np.asarray(p) for p in params.fast]
            grads = [jnp.asarray(g) for g in trajectories.gradients(fast, t)]
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
            for name, expected in (("fast", ours.y), ("slow", ours.x)):
                for p, q in zip(getattr(params, name), expected[t - 1], strict=True):
                    np.testing.assert_allclose(p, q, rtol=0, atol=1e-10)


needs_contrib = pytest.mark.skipif(
    not hasattr(contrib, "schedule_free_adamw"), reason="optax is too old"
)


@needs_contrib
@pytest.mark.parametrize(
    "extra", [{}, {"weight_lr_power": 1.0}, {"weight_decay": 0.1}], ids=str
)
def test_optax_schedule_free_agrees_without_warmup(extra):
    """A specification that disagrees with an independent implementation."""
    settings = {**_ADAM, **extra}
    optimizer = contrib.schedule_free_adamw(**specifications.jax_arguments(settings))
    assert_same(
        trajectories.run_jax_optimizer(
            optimizer, contrib.schedule_free_eval_params, STEPS
        ),
        cases.by_name("schedule_free_adamw").run_numpy(settings, STEPS),
    )


@needs_contrib
def test_optax_weighs_its_first_warmup_step_though_its_rate_is_zero():
    """The known disagreement: optax warms up from lr 0 and we from lr / W.

    Algorithm 1 warms up with γ min(1, t / W) from t = 1, so ours is the paper's.
    """
    settings = {**_ADAM, "warmup_steps": 10}
    optimizer = contrib.schedule_free_adamw(**specifications.jax_arguments(settings))
    theirs = trajectories.run_jax_optimizer(
        optimizer, contrib.schedule_free_eval_params, STEPS
    )
    ours = cases.by_name("schedule_free_adamw").run_numpy(settings, STEPS)
    np.testing.assert_array_equal(theirs.y[0][0], trajectories.initial_params()[0])
    assert np.abs(theirs.x[-1][0] - ours.x[-1][0]).max() > 1e-3


def test_schedulefree_gives_nan_for_a_rate_in_a_tensor():
    """The known error: 0 / 0 in its silent phase; ours takes the rate as a number."""
    lr = torch.tensor(0.01)
    theirs = trajectories.run_torch_optimizer(
        lambda ps: schedulefree.RAdamScheduleFree(ps, lr=lr, betas=(0.9, 0.99)), 9
    )
    assert np.isnan(theirs.x[-1][0]).any()
    ours = trajectories.run_torch_optimizer(
        lambda ps: optim_torch.RAdamScheduleFree(ps, lr=lr, betas=(0.9, 0.99)), 9
    )
    assert not np.isnan(ours.x[-1][0]).any()


def test_schedulefree_cannot_evaluate_at_beta_0():
    """The known gap: y is z at β = 0, and schedulefree keeps no x."""
    with pytest.raises(ZeroDivisionError):
        trajectories.run_torch_optimizer(
            lambda ps: schedulefree.AdamWScheduleFree(ps, betas=(0.0, 0.99)), 1
        )


def test_schedulefree_squares_complex_gradients():
    """The known error: g·g of a complex g is no size; ours has both parts' sizes."""
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.complex64))
    p.grad = torch.full_like(p, 1j)
    optimizer = schedulefree.AdamWScheduleFree([p])
    optimizer.train()
    optimizer.step()
    assert optimizer.state[p]["exp_avg_sq"].real.item() < 0


@pytest.mark.parametrize("base", [torch.optim.RMSprop, torch.optim.AdamW])
def test_schedulefree_s_wrapper_crashes_on_lazy_state(base):
    """The known error: it writes into a state that the base has not made yet."""
    p = torch.nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    optimizer = schedulefree.ScheduleFreeWrapper(base([p]))
    optimizer.train()
    with pytest.raises(KeyError):
        optimizer.step()
