"""The table of algorithms that drives the generic optimizer tests.

An algorithm is one row: its specification, its torch and JAX twins, and the settings
they are compared under. `run_*` train the same parameters on the same gradients and
give the trajectory of y (where the gradient is taken) and x (where one evaluates).
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from unscheduled import optim_numpy

Settings = dict[str, Any]
SHAPES = ((3, 4), (5,), ())


class Trajectory(NamedTuple):
    """One entry a step, each a list of arrays, one a parameter."""

    y: list[list[np.ndarray]]
    x: list[list[np.ndarray]]


class Algorithm(NamedTuple):
    """A row of the table. Settings are keyword arguments by their field names."""

    name: str
    run_numpy: Callable[[Settings, int], Trajectory]
    run_torch: Callable[[Settings, int], Trajectory]
    run_jax: Callable[[Settings, int], Trajectory]
    settings: tuple[Settings, ...]


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


def _schedule_free_adamw_numpy(settings: Settings, steps: int) -> Trajectory:
    beta1 = settings["beta1"]
    state = optim_numpy.schedule_free_adamw_init(initial_params())
    trajectory = Trajectory([], [])
    for t in range(1, steps + 1):
        y = optim_numpy.schedule_free_y(state, beta1)
        lr = falling_rate(t - 1) if settings["lr"] == "falling" else settings["lr"]
        state = optim_numpy.schedule_free_adamw_step(
            state, gradients(y, t), **{**settings, "lr": lr}
        )
        trajectory.y.append(optim_numpy.schedule_free_y(state, beta1))
        trajectory.x.append(state.x)
    return trajectory


def torch_arguments(settings: Settings) -> Settings:
    """The same settings under torch's names."""
    rest = {k: v for k, v in settings.items() if k not in ("beta1", "beta2")}
    return {**rest, "betas": (settings["beta1"], settings["beta2"])}


def jax_arguments(settings: Settings) -> Settings:
    """The same settings under optax's names."""
    names = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2"}
    return {names.get(k, k): v for k, v in settings.items()}


def run_torch_optimizer(make_optimizer, steps: int) -> Trajectory:
    """Trains with a torch optimizer that has train() and eval()."""
    import torch

    params = [torch.nn.Parameter(torch.tensor(p)) for p in initial_params()]
    optimizer = make_optimizer(params)
    trajectory = Trajectory([], [])

    def snapshot():
        return [p.detach().numpy().copy() for p in params]

    for t in range(1, steps + 1):
        optimizer.train()
        for p, g in zip(params, gradients(snapshot(), t), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        trajectory.y.append(snapshot())
        optimizer.eval()
        trajectory.x.append(snapshot())
    return trajectory


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


def _schedule_free_adamw_torch(settings: Settings, steps: int) -> Trajectory:
    from unscheduled.optim_torch import AdamWScheduleFree

    arguments = torch_arguments(settings)
    return run_torch_optimizer(lambda ps: AdamWScheduleFree(ps, **arguments), steps)


def _schedule_free_adamw_jax(settings: Settings, steps: int) -> Trajectory:
    from unscheduled import optim_jax

    optimizer = optim_jax.schedule_free_adamw(**jax_arguments(settings))
    return run_jax_optimizer(optimizer, optim_jax.schedule_free_eval_params, steps)


_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}

ALGORITHMS = (
    Algorithm(
        name="schedule_free_adamw",
        run_numpy=_schedule_free_adamw_numpy,
        run_torch=_schedule_free_adamw_torch,
        run_jax=_schedule_free_adamw_jax,
        settings=(
            {**_ADAM},
            {**_ADAM, "warmup_steps": 10},
            {**_ADAM, "weight_decay": 0.1},
            {**_ADAM, "r": 0.5},
            {**_ADAM, "weight_lr_power": 1.0, "warmup_steps": 30},
            {**_ADAM, "beta1": 1.0, "eps": 1e-3},
            {
                **_ADAM,
                "warmup_steps": 20,
                "weight_decay": 0.08,
                "r": 1.0,
                "weight_lr_power": 0.5,
            },
            {**_ADAM, "lr": 0.0, "weight_decay": 0.1},
        ),
    ),
)


def by_name(name: str) -> Algorithm:
    return next(a for a in ALGORITHMS if a.name == name)


def each_setting():
    """(algorithm, settings) pairs with ids, for pytest.mark.parametrize."""
    import pytest

    def label(algorithm, settings):
        changed = [k for k in settings if settings[k] != _ADAM.get(k)]
        return "-".join([algorithm.name, *changed])

    return [
        pytest.param(algorithm, settings, id=label(algorithm, settings))
        for algorithm in ALGORITHMS
        for settings in algorithm.settings
    ]
