"""The table of algorithms that drives the generic optimizer tests.

An algorithm is one row: its specification, its torch and JAX twins, and the settings
they are compared under, by the specification's names. `run_*` train the same
parameters on the same gradients and give the trajectory of y (where the gradient is
taken) and x (where one evaluates).
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests import specifications
from tests.specifications import Specification

Settings = dict[str, Any]
SHAPES = ((3, 4), (5,), ())


class Trajectory(NamedTuple):
    """One entry a step, each a list of arrays, one a parameter."""

    y: list[list[np.ndarray]]
    x: list[list[np.ndarray]]


class Algorithm(NamedTuple):
    """A row of the table. Settings are keyword arguments by their field names.

    make_torch: from parameters and settings to an optimizer; make_jax: from settings
    to a transformation; jax_eval_params: x from its state and y.
    """

    name: str
    specification: Callable[[Settings], Specification]
    make_torch: Callable[[Any, Settings], Any]
    make_jax: Callable[[Settings], Any]
    jax_eval_params: Callable[[Any, Any], Any]
    settings: tuple[Settings, ...]

    def run_numpy(self, settings: Settings, steps: int) -> Trajectory:
        specification = self.specification(settings)
        specification.start(initial_params())
        trajectory = Trajectory([], [])
        for t in range(1, steps + 1):
            specification.step(gradients(specification.y(), t))
            trajectory.y.append(specification.y())
            trajectory.x.append(specification.x())
        return trajectory

    def run_torch(self, settings: Settings, steps: int) -> Trajectory:
        return run_torch_optimizer(lambda ps: self.make_torch(ps, settings), steps)

    def run_jax(self, settings: Settings, steps: int) -> Trajectory:
        with jax_float64():
            optimizer = self.make_jax(settings)
            return run_jax_optimizer(optimizer, self.jax_eval_params, steps)


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


def run_torch_optimizer(make_optimizer, steps: int) -> Trajectory:
    """Trains with a torch optimizer, at y and x where it has train() and eval()."""
    import torch

    params = [torch.nn.Parameter(torch.tensor(p)) for p in initial_params()]
    optimizer = make_optimizer(params)
    trajectory = Trajectory([], [])

    def snapshot():
        return [p.detach().numpy().copy() for p in params]

    for t in range(1, steps + 1):
        switch(optimizer, "train")
        for p, g in zip(params, gradients(snapshot(), t), strict=True):
            p.grad = torch.tensor(g)
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


def torch_arguments(settings: Settings) -> Settings:
    """The same settings under torch's names."""
    rest = {k: v for k, v in settings.items() if k not in ("beta1", "beta2")}
    if "beta2" not in settings:
        return {**rest, "momentum": settings["beta1"]}
    return {**rest, "betas": (settings["beta1"], settings["beta2"])}


def jax_arguments(settings: Settings) -> Settings:
    """The same settings under optax's names."""
    names = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2"}
    return {names.get(k, k): v for k, v in settings.items()}


def _torch_class(name: str):
    def make(params, settings: Settings):
        from unscheduled import optim_torch

        return getattr(optim_torch, name)(params, **torch_arguments(settings))

    return make


def _jax_function(name: str):
    def make(settings: Settings):
        from unscheduled import optim_jax

        return getattr(optim_jax, name)(**jax_arguments(settings))

    return make


def _schedule_free_eval_params(state, params):
    from unscheduled import optim_jax

    return optim_jax.schedule_free_eval_params(state, params)


def _lookahead_eval_params(state, params):
    from unscheduled import optim_jax

    return optim_jax.lookahead_eval_params(state, params)


def _wrapper_torch(params, settings: Settings):
    import torch

    from unscheduled import optim_torch

    settings = dict(settings)
    base = torch.optim.SGD(
        params, settings.pop("lr"), momentum=settings.pop("heavy_ball", 0.0)
    )
    settings["weight_decay_at_y"] = settings.pop("weight_decay", 0.0)
    return optim_torch.ScheduleFreeWrapper(base, **torch_arguments(settings))


def _wrapper_jax(settings: Settings):
    import optax

    from unscheduled import optim_jax

    settings = dict(settings)
    base = optax.sgd(settings["lr"], momentum=settings.pop("heavy_ball", None))
    return optim_jax.schedule_free(base, **jax_arguments(settings))


# Lookahead's settings are its own, beside the name and settings of what is inside.
def _lookahead_torch(params, settings: Settings):
    from unscheduled import optim_torch

    own, inside, inner = specifications.split_lookahead(settings)
    if inside == "heavy_ball":
        import torch

        fast = torch.optim.SGD(params, inner["lr"], momentum=inner["momentum"])
    else:
        fast = by_name(inside).make_torch(params, inner)
    return optim_torch.Lookahead(fast, **own)


def _lookahead_jax(settings: Settings):
    from unscheduled import optim_jax

    own, inside, inner = specifications.split_lookahead(settings)
    if inside == "heavy_ball":
        import optax

        fast = optax.sgd(inner["lr"], momentum=inner["momentum"])
    else:
        fast = by_name(inside).make_jax(inner)
    return optim_jax.lookahead(fast, **own)


_SGD = {"lr": 0.05, "beta1": 0.9}
_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}
_HEAVY_BALL = {"inside": "heavy_ball", "lr": 0.02, "momentum": 0.9}
_ROLLING = {"inside": "heavy_ball", "lr": 0.4, "momentum": 0.5}

ALGORITHMS = (
    Algorithm(
        name="schedule_free_sgd",
        specification=specifications.schedule_free_sgd,
        make_torch=_torch_class("SGDScheduleFree"),
        make_jax=_jax_function("schedule_free_sgd"),
        jax_eval_params=_schedule_free_eval_params,
        settings=(
            {**_SGD},
            {**_SGD, "beta1": 0.0},
            {**_SGD, "beta1": 1.0},
            {**_SGD, "lr": 0.0, "weight_decay": 0.1},
            {**_SGD, "warmup_steps": 10, "weight_decay": 0.1, "r": 1.0},
            {**_SGD, "decoupling_c": 25.0},
        ),
    ),
    Algorithm(
        name="schedule_free_adamw",
        specification=specifications.schedule_free_adamw,
        make_torch=_torch_class("AdamWScheduleFree"),
        make_jax=_jax_function("schedule_free_adamw"),
        jax_eval_params=_schedule_free_eval_params,
        settings=(
            {**_ADAM},
            {**_ADAM, "warmup_steps": 10},
            {**_ADAM, "weight_decay": 0.1},
            {**_ADAM, "r": 0.5},
            {**_ADAM, "weight_lr_power": 1.0, "warmup_steps": 30},
            {**_ADAM, "beta1": 0.0, "weight_decay": 0.1},
            {**_ADAM, "beta1": 1.0, "eps": 1e-3},
            {**_ADAM, "decoupling_c": 40.0},
            {**_ADAM, "lr": 0.0, "weight_decay": 0.1},
            {
                **_ADAM,
                "warmup_steps": 20,
                "weight_decay": 0.08,
                "r": 1.0,
                "weight_lr_power": 0.5,
            },
        ),
    ),
    Algorithm(
        name="schedule_free_radam",
        specification=specifications.schedule_free_radam,
        make_torch=_torch_class("RAdamScheduleFree"),
        make_jax=_jax_function("schedule_free_radam"),
        jax_eval_params=_schedule_free_eval_params,
        settings=(
            {**_ADAM},
            {**_ADAM, "silent_sgd_phase": False, "weight_decay": 0.1},
            {**_ADAM, "threshold": 5.0, "r": 0.5},
            {**_ADAM, "beta1": 0.0, "weight_lr_power": 1.0},
            {**_ADAM, "beta2": 0.5, "silent_sgd_phase": False},
            {**_ADAM, "lr": 0.0},
        ),
    ),
    Algorithm(
        name="schedule_free_wrapper",
        specification=specifications.schedule_free_wrapper,
        make_torch=_wrapper_torch,
        make_jax=_wrapper_jax,
        jax_eval_params=_schedule_free_eval_params,
        settings=(
            {**_SGD},
            {**_SGD, "heavy_ball": 0.5, "weight_decay": 0.1, "r": 0.5},
            {**_SGD, "beta1": 0.0, "heavy_ball": 0.9, "lr": 0.01},
            {**_SGD, "beta1": 1.0, "decoupling_c": None},
            {**_SGD, "lr": 0.0, "weight_decay": 0.1},
        ),
    ),
    Algorithm(
        name="radam",
        specification=specifications.radam,
        make_torch=_torch_class("RAdam"),
        make_jax=_jax_function("radam"),
        jax_eval_params=lambda state, params: params,
        settings=(
            {**_ADAM},
            {**_ADAM, "weight_decay": 0.1},
            {**_ADAM, "silent_sgd_phase": True, "weight_decay": 0.1},
            {**_ADAM, "threshold": 5.0, "eps": 1e-3},
            {**_ADAM, "beta1": 0.0},
            {**_ADAM, "beta2": 0.5},
            {**_ADAM, "lr": 0.0, "weight_decay": 0.1},
        ),
    ),
    Algorithm(
        name="lookahead",
        specification=specifications.lookahead,
        make_torch=_lookahead_torch,
        make_jax=_lookahead_jax,
        jax_eval_params=_lookahead_eval_params,
        settings=(
            {**_HEAVY_BALL},
            {**_HEAVY_BALL, "k": 3, "alpha": 0.8, "slow_momentum": "reset"},
            {**_HEAVY_BALL, "k": 7, "slow_momentum": "pullback"},
            {**_HEAVY_BALL, "adaptive": True, "alpha": 0.1, "fisher_decay": 0.9},
            # Rates at which some of the α are between their bounds.
            {**_ROLLING, "adaptive": True, "alpha": 0.1, "fisher_decay": 0.9},
            {**_ADAM, "inside": "radam", "slow_momentum": "pullback"},
            {**_ADAM, "inside": "radam", "adaptive": True, "alpha": 0.2},
            {**_ADAM, "inside": "schedule_free_adamw", "weight_decay": 0.1},
            {**_ADAM, "inside": "schedule_free_adamw", "beta1": 0.0, "k": 2},
            {**_HEAVY_BALL, "lr": 0.0},
        ),
    ),
)


def by_name(name: str) -> Algorithm:
    return next(a for a in ALGORITHMS if a.name == name)


def label(algorithm: Algorithm, settings: Settings) -> str:
    """The algorithm and what the setting has of its own, as a test's name."""
    usual = algorithm.settings[0]
    changed = [f"{k}={v}" for k, v in settings.items() if usual.get(k) != v]
    return "-".join([algorithm.name, *changed])


def each_setting():
    """(algorithm, settings) pairs with ids, for pytest.mark.parametrize."""
    import pytest

    return [
        pytest.param(algorithm, settings, id=label(algorithm, settings))
        for algorithm in ALGORITHMS
        for settings in algorithm.settings
    ]
