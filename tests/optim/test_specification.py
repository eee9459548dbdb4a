"""Every twin follows its NumPy specification, which follows its paper."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests import cases, specifications, trajectories
from unscheduled import optim_jax, optim_torch
from unscheduled.optim_numpy import lookahead, radam
from unscheduled.optim_numpy import schedule_free as sf

STEPS = 100
# Rounding, amplified over 100 steps of a non-linear recursion; a wrong term is > 1e-6.
TOLERANCE = 1e-10


def assert_same(
    ours: trajectories.Trajectory, theirs: trajectories.Trajectory, tolerance=TOLERANCE
):
    for name in ("y", "x"):
        for t, (a, b) in enumerate(
            zip(getattr(ours, name), getattr(theirs, name), strict=True), start=1
        ):
            for p, q in zip(a, b, strict=True):
                np.testing.assert_allclose(
                    p, q, rtol=0, atol=tolerance, err_msg=f"{name} at step {t}"
                )


@pytest.mark.parametrize(("algorithm", "settings"), cases.each_setting())
def test_torch_follows_the_specification(algorithm, settings):
    """A torch optimizer that computes another algorithm than the paper's."""
    assert_same(
        algorithm.run_torch(settings, STEPS), algorithm.run_numpy(settings, STEPS)
    )


@pytest.mark.parametrize(("algorithm", "settings"), cases.each_setting())
def test_jax_follows_the_specification(algorithm, settings):
    """A JAX transformation that computes another algorithm than the paper's."""
    assert_same(
        algorithm.run_jax(settings, STEPS), algorithm.run_numpy(settings, STEPS)
    )


def test_weights_follow_the_largest_rate_where_the_rate_falls():
    """Averaging weights by the present rate, under a scheduler of the user's."""
    algorithm = cases.by_name("schedule_free_adamw")
    settings = {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
    expected = algorithm.run_numpy({**settings, "lr": trajectories.falling_rate}, STEPS)

    class Scheduled(optim_torch.AdamWScheduleFree):
        done = 0

        def step(self, closure=None):
            self.param_groups[0]["lr"] = trajectories.falling_rate(self.done)
            self.done += 1
            return super().step(closure)

    arguments = specifications.torch_arguments(settings)
    assert_same(
        trajectories.run_torch_optimizer(lambda ps: Scheduled(ps, **arguments), STEPS),
        expected,
    )
    optimizer = optim_jax.schedule_free_adamw(
        trajectories.falling_rate, **specifications.jax_arguments(settings)
    )
    assert_same(
        trajectories.run_jax_optimizer(
            optimizer, optim_jax.schedule_free_eval_params, STEPS
        ),
        expected,
    )


@hypothesis.given(
    rates=st.lists(st.floats(0, 2), min_size=1, max_size=30),
    r=st.sampled_from([0.0, 0.5, 2.0]),
    power=st.sampled_from([0.0, 1.0, 2.0]),
    beta=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
@hypothesis.settings(deadline=None)
def test_x_is_the_weighted_mean_of_z(rates, r, power, beta):
    """The recursion for x with weights other than t^r (max γ)^p."""
    state = sf.schedule_free_init([np.array([1.0, -2.0])])
    zs, weights = [], []
    for t, lr in enumerate(rates, start=1):
        grads = [np.sin(y + t) for y in sf.schedule_free_y(state, beta)]
        state = sf.schedule_free_step(
            state, grads, sf.sgd(), lr=lr, beta1=beta, r=r, weight_lr_power=power
        )
        zs.append(state.z[0])
        weights.append(t**r * max(rates[:t]) ** power)
    hypothesis.assume(sum(weights) == 0 or sum(weights) > 1e-200)  # no underflow
    if sum(weights) == 0:
        np.testing.assert_array_equal(state.x[0], [1.0, -2.0])
    else:
        np.testing.assert_allclose(state.x[0], np.average(zs, axis=0, weights=weights))


def test_beta_0_is_polyak_ruppert_averaging():
    """β = 0 that is not SGD at z with the plain mean of z beside it."""
    z = trajectories.initial_params()
    zs = []
    for t in range(1, STEPS + 1):
        z = [p - 0.05 * g for p, g in zip(z, trajectories.gradients(z, t), strict=True)]
        zs.append(z)
    mean = [np.mean(column, axis=0) for column in zip(*zs, strict=True)]
    run = cases.by_name("schedule_free_sgd").run_numpy
    trajectory = run({"lr": 0.05, "beta1": 0.0}, STEPS)
    for ours, theirs in ((trajectory.y[-1], z), (trajectory.x[-1], mean)):
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p, q)


def test_beta_1_is_primal_averaging():
    """β = 1 whose gradient is not taken at the mean of z."""
    z = x = trajectories.initial_params()
    for t in range(1, STEPS + 1):
        z = [p - 0.05 * g for p, g in zip(z, trajectories.gradients(x, t), strict=True)]
        x = [p + (q - p) / t for p, q in zip(x, z, strict=True)]
    run = cases.by_name("schedule_free_sgd").run_numpy
    trajectory = run({"lr": 0.05, "beta1": 1.0}, STEPS)
    for p, q in zip(trajectory.x[-1], x, strict=True):
        np.testing.assert_allclose(p, q)


def test_c_of_the_original_window_gives_the_original():
    """A C that is off by a factor."""
    algorithm = cases.by_name("schedule_free_adamw")
    settings = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}
    assert_same(
        algorithm.run_numpy({**settings, "decoupling_c": 1 / (1 - 0.9)}, STEPS),
        algorithm.run_numpy(settings, STEPS),
    )


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_lookahead_with_alpha_1_is_what_is_inside(framework):
    """A slow step that changes the fast weights where it must not."""
    inner = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}
    run = f"run_{framework}"
    alone = getattr(cases.by_name("radam"), run)(inner, STEPS)
    lookahead_run = getattr(cases.by_name("lookahead"), run)
    ours = lookahead_run({**inner, "inside": "radam", "alpha": 1.0, "k": 5}, STEPS)
    assert_same(ours._replace(x=alone.x), alone)


def test_wrappers_agree_on_a_base_that_decays_too():
    """Twins whose base sees z before the decay at y in one, after it in the other."""
    import optax
    import torch

    def make(params):
        base = torch.optim.SGD(params, lr=0.05, weight_decay=0.2)
        return optim_torch.ScheduleFreeWrapper(base, weight_decay_at_y=0.3)

    base = optax.chain(optax.add_decayed_weights(0.2), optax.sgd(0.05))
    with trajectories.jax_float64():
        optimizer = optim_jax.schedule_free(base, 0.05, weight_decay=0.3)
        eval_params = optim_jax.schedule_free_eval_params
        jax_run = trajectories.run_jax_optimizer(optimizer, eval_params, STEPS)
    assert_same(trajectories.run_torch_optimizer(make, STEPS), jax_run)


def test_the_anchors_of_rectification():
    """r_t of another formula."""
    assert radam.rho(4, 0.999) == pytest.approx(3.9975, abs=5e-5)
    assert radam.rho(6, 0.999) == pytest.approx(5.9942, abs=5e-5)
    for rect in (radam.rectification, optim_torch.rectification):
        assert rect(4, 0.999) is None
        assert rect(5, 0.999, threshold=5.0) is None
        for t, expected in ((5, 0.0173115), (6, 0.0258211), (100, 0.215335)):
            assert rect(t, 0.999) == pytest.approx(expected, rel=1e-5)
        assert rect(1000, 0.999) == pytest.approx(0.645326, rel=1e-5)


def test_the_adaptive_alpha_minimizes_a_quadratic():
    """Proposition 1 with a wrong sign, or from the wrong end."""
    curvature, minimum = np.array([1.0, 3.0]), np.array([0.5, -1.0])
    slow, fast = np.array([2.0, 2.0]), np.array([-1.0, -2.5])

    def loss(alpha):
        return np.sum(curvature * (slow + alpha * (fast - slow) - minimum) ** 2)

    grad = curvature * (fast - minimum)
    alpha = lookahead.adaptive_alpha([slow], [fast], [grad], [curvature], 0.01)
    assert 0.01 < alpha < 1
    assert loss(alpha) < min(loss(alpha - 1e-3), loss(alpha + 1e-3))
    low = lookahead.adaptive_alpha([slow], [fast], [100 * grad], [curvature], 0.3)
    high = lookahead.adaptive_alpha([slow], [fast], [-100 * grad], [curvature], 0.3)
    assert (low, high) == (0.3, 1.0)


@pytest.mark.parametrize("algorithm", cases.OPTIMIZERS, ids=lambda a: a.name)
def test_the_specification_converges(algorithm):
    """An algorithm that goes uphill."""
    specification = algorithm.specification(
        {**algorithm.settings[0], "lr": algorithm.rates.bowl}
    )
    specification.start([np.array([1.0, -2.0]), np.array(3.0)])
    for _ in range(2000):
        specification.step([2 * y for y in specification.y()])
    for p in specification.x():
        np.testing.assert_allclose(p, 0, atol=0.01)


def test_the_table_has_every_optimizer():
    """A public optimizer that no generic test sees."""
    classes = {name for name in optim_torch.__all__ if name[0].isupper()}
    functions = {
        name
        for name in optim_jax.__all__
        if name[0].islower() and not name.endswith("_params")
    }
    assert {a.torch for a in cases.OPTIMIZERS} == classes
    assert {a.jax for a in cases.OPTIMIZERS} == functions
