"""Training with float64 numbers, in NumPy and both frameworks, step by step.

The same parameters on the same gradients, so that trajectories can be compared.
"""

import contextlib
import functools
from typing import NamedTuple

import numpy as np

from tests.specifications import Specification

SHAPES = ((3, 4), (5,), ())


class Trajectory(NamedTuple):
    """One entry a step, each a list of arrays, one a parameter.

    y: where the gradient is taken; x: where one evaluates.
    """

    y: list[list[np.ndarray]]
    x: list[list[np.ndarray]]


def initial_params() -> list[np.ndarray]:
    """Float64 parameters of several ranks, the same in every call."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in SHAPES]


def gradient(param: np.ndarray, index: int, t: int) -> np.ndarray:
    """A smooth, non-linear, noisy gradient of parameter `index` at step t >= 1."""
    noise = np.random.default_rng((index, t)).normal(size=param.shape)
    return 0.5 * param + 0.3 * np.sin(2 * param) + 0.2 * noise


def gradients(params: list[np.ndarray], t: int) -> list[np.ndarray]:
    return [gradient(p, index, t) for index, p in enumerate(params)]


def falling_rate(t: int) -> float:
    """A rate that falls from step to step, for t steps done."""
    return 0.01 / (1 + 0.1 * t)


def run_specification(specification: Specification, steps: int) -> Trajectory:
    """Trains by a specification."""
    specification.start(initial_params())
    trajectory = Trajectory([], [])
    for t in range(1, steps + 1):
        specification.step(gradients(specification.y(), t))
        trajectory.y.append(specification.y())
        trajectory.x.append(specification.x())
    return trajectory


def run_torch_optimizer(
    make_optimizer, steps: int, device: str = "cpu", dtype: str = "float64"
) -> Trajectory:
    """Trains with a torch optimizer, at y and x where it has train() and eval()."""
    import torch

    place = functools.partial(torch.tensor, device=device, dtype=getattr(torch, dtype))
    params = [torch.nn.Parameter(place(p)) for p in initial_params()]
    optimizer = make_optimizer(params)
    trajectory = Trajectory([], [])

    def snapshot():
        return [p.detach().to("cpu", torch.float64, copy=True).numpy() for p in params]

    for t in range(1, steps + 1):
        switch(optimizer, "train")
        for p, g in zip(params, gradients(snapshot(), t), strict=True):
            p.grad = place(g)
        optimizer.step()
        trajectory.y.append(snapshot())
        switch(optimizer, "eval")
        trajectory.x.append(snapshot())
    return trajectory


def switch(optimizer, mode: str) -> None:
    """Calls train() or eval() of an optimizer that has one."""
    if hasattr(optimizer, mode):
        getattr(optimizer, mode)()


@contextlib.contextmanager
def jax_float64():
    """Float64 in JAX, in every release of it that we support."""
    import jax

    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", False)


@jax_float64()
def run_jax_optimizer(optimizer, eval_params, steps: int) -> Trajectory:
    """Trains with a gradient transformation in float64."""
    import jax
    import jax.numpy as jnp
    import optax

    params = [jnp.asarray(p) for p in initial_params()]
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    trajectory = Trajectory([], [])
    for t in range(1, steps + 1):
        grads = [jnp.asarray(g) for g in gradients(_arrays(params), t)]
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        trajectory.y.append(_arrays(params))
        trajectory.x.append(_arrays(eval_params(state, params)))
    return trajectory


def _arrays(params) -> list[np.ndarray]:
    return [np.asarray(p) for p in params]
