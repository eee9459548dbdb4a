"""The long average beside x: what it is, and that training does not feel it."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from unscheduled.entries.jax import two_averages as in_jax
from unscheduled.entries.pytorch.two_averages import TwoAverages
from unscheduled.optim_jax.schedule_free import schedule_free_adamw
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree

OPTIONS = {"weight_decay": 0.1, "warmup_steps": 5}
START = np.array([1.0, -2.0, 3.0], np.float32)


def gradient(y):
    return np.sin(3 * y) + y


class InTorch:
    def __init__(self, c):
        self.p = torch.nn.Parameter(torch.tensor(START))
        self.optimizer = TwoAverages(
            [self.p], lr=0.1, betas=(0.9, 0.99), decoupling_c=c, **OPTIONS
        )

    def step(self):
        self.optimizer.train()
        self.p.grad = torch.tensor(gradient(self.p.detach().numpy()))
        self.optimizer.step()
        return self.optimizer.state[self.p]["z"].numpy().copy()

    def evaluated(self):
        """(x, average), of two evaluations."""
        found = []
        for _ in range(2):
            self.optimizer.eval()
            self.optimizer.eval()  # twice is once
            found.append(self.p.detach().numpy().copy())
            self.optimizer.train()
        return found

    def y(self):
        self.optimizer.train()
        return self.p.detach().numpy().copy()


class InJax:
    def __init__(self, c):
        base = schedule_free_adamw(0.1, 0.9, 0.99, decoupling_c=c, **OPTIONS)
        self.optimizer = in_jax.two_averages(base)
        self.params = jnp.asarray(START)
        self.state = self.optimizer.init(self.params)

    def step(self):
        grads = jnp.asarray(gradient(np.asarray(self.params)))
        updates, self.state = self.optimizer.update(grads, self.state, self.params)
        self.params = optax.apply_updates(self.params, updates)
        return np.asarray(self.state.schedule_free.z)

    def evaluated(self):
        moves = (in_jax.short_average, in_jax.long_average)
        return [np.asarray(move(self.state, self.params)) for move in moves]

    def y(self):
        return np.asarray(self.params)


@pytest.mark.parametrize("make", [InTorch, InJax])
def test_the_average_of_all_z(make):
    """Another weight, or x where the average should be."""
    run = make(50.0)
    zs = np.array([run.step() for _ in range(40)], np.float64)
    weights = np.minimum(1, np.arange(1, 41) / OPTIONS["warmup_steps"]) ** 2
    x, average = run.evaluated()
    np.testing.assert_allclose(average, weights @ zs / weights.sum(), rtol=1e-5)
    assert abs(x - average).max() > 0.01


@pytest.mark.parametrize("make", [InTorch, InJax])
def test_without_a_shorter_window_the_average_is_x(make):
    """An average that is not the published one."""
    run = make(None)
    for _ in range(40):
        run.step()
    x, average = run.evaluated()
    np.testing.assert_allclose(average, x, rtol=1e-4, atol=1e-5)


def test_training_does_not_feel_it():
    """Evaluations that leave the parameters where they were evaluated."""
    run = InTorch(50.0)
    p = torch.nn.Parameter(torch.tensor(START))
    plain = AdamWScheduleFree(
        [p], lr=0.1, betas=(0.9, 0.99), decoupling_c=50.0, **OPTIONS
    )
    for step in range(20):
        run.step()
        p.grad = torch.tensor(gradient(p.detach().numpy()))
        plain.step()
        if step % 3 == 0:
            run.optimizer.eval()
            run.optimizer.train()
            plain.eval()
            plain.train()
        np.testing.assert_allclose(run.y(), p.detach().numpy(), rtol=1e-6, atol=1e-6)


def test_a_checkpoint_at_the_average_goes_on():
    """x, which the parameters do not hold then, would be lost."""
    run, resumed = InTorch(50.0), InTorch(50.0)
    for _ in range(10):
        run.step()
    run.optimizer.eval()
    run.optimizer.train()
    run.optimizer.eval()  # at the average
    resumed.p.data.copy_(run.p.data)
    resumed.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    for _ in range(5):
        np.testing.assert_array_equal(run.step(), resumed.step())
    for one, other in zip(run.evaluated(), resumed.evaluated(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_skipped_step_has_no_weight():
    """z would be counted again."""
    run = InTorch(50.0)
    for _ in range(5):
        run.step()
    average = run.optimizer.state[run.p]["average"].clone()
    run.optimizer.found_inf = torch.tensor(1.0)
    run.step()
    torch.testing.assert_close(
        run.optimizer.state[run.p]["average"], average, rtol=0, atol=0
    )


def test_jax_compiles_it():
    """A transformation that only runs step by step."""
    run = InJax(50.0)
    update = jax.jit(run.optimizer.update)
    grads = jnp.ones(3)
    _, compiled = update(grads, run.state, run.params)
    _, plain = run.optimizer.update(grads, run.state, run.params)
    np.testing.assert_allclose(compiled.average, plain.average, rtol=1e-6)
