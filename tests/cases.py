"""The table of algorithms: one row each, which drives every generic test.

A row's optimizers are compared with its specification, and each with itself under what
its framework does to it; its submissions train a small problem. `run_*` train the same
parameters on the same gradients and give the trajectory of y (where the gradient is
taken) and x (where one evaluates).
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
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


class Rates(NamedTuple):
    """The rates that generic tests train with; others where steps are of one size.

    bowl: |x|² from up to 3, to 0.01 in 2000 steps; valley: Rosenbrock's function, to a
    twentieth in 3000; optax: its common problems, in 30,000; submission: a linear model
    on normal inputs, to half the loss in 100.
    """

    bowl: float = 0.1
    valley: float = 0.02
    optax: float = 0.01
    submission: float = 0.05


_USUAL = Rates()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A row of the table.

    name: also the first part of the folders of its submissions.

    Optimizers of our own, each by its name in `optim_torch` and `optim_jax`:
      specification: from settings, keyword arguments by their field names.
      settings: in which the three are compared.
      eval_params: the function of `optim_jax` that gives x; None where it is y.
      make_torch, make_jax: from (parameters and) settings, where the names are not
        simply those of a class and a function that take them.
      torch_inputs: whose inputs among torch's test inputs ours takes, such as "adamw";
        None for a wrapper.
      torch_tests, jax_tests: factories for the tests of a framework's machinery by
        name, from (parameters and) a rate and options; the class and the function
        themselves where there are none.
      optax_tests: arguments for the tests that optax has for contributions; for a
        wrapper, whose base is SGD, of both.
      jax_copies: those of the JAX factories, by name, whose compiled step copies the
        parameters or the state.

    Submissions:
      is_submitted: whether there are any.
      moves_for_evaluation: whether they are evaluated elsewhere than they train.
    """

    name: str
    rates: Rates = _USUAL
    torch: str | None = None
    jax: str | None = None
    specification: Callable[[Settings], Specification] | None = None
    settings: tuple[Settings, ...] = ()
    eval_params: str | None = None
    make_torch: Callable[[Any, Settings], Any] | None = None
    make_jax: Callable[[Settings], Any] | None = None
    torch_inputs: str | None = None
    torch_tests: Mapping[str, Callable[..., Any]] | None = None
    jax_tests: tuple[Callable[..., Any], ...] = ()
    optax_tests: Settings = dataclasses.field(default_factory=dict)
    jax_copies: tuple[str, ...] = ()
    is_submitted: bool = True
    moves_for_evaluation: bool = False

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
        return run_torch_optimizer(lambda ps: self.new_torch(ps, settings), steps)

    def run_jax(self, settings: Settings, steps: int) -> Trajectory:
        with jax_float64():
            optimizer = self.new_jax(settings)
            return run_jax_optimizer(optimizer, self.jax_eval_params(), steps)

    def new_torch(self, params, settings: Settings):
        """Its torch optimizer, from settings by the specification's names."""
        if self.make_torch is not None:
            return self.make_torch(params, settings)
        return self.torch_class()(params, **torch_arguments(settings))

    def new_jax(self, settings: Settings):
        """Its JAX transformation, from settings by the specification's names."""
        if self.make_jax is not None:
            return self.make_jax(settings)
        return self.jax_function()(**jax_arguments(settings))

    def torch_class(self):
        from unscheduled import optim_torch

        return getattr(optim_torch, self.torch)

    def jax_function(self):
        from unscheduled import optim_jax

        return getattr(optim_jax, self.jax)

    def jax_eval_params(self):
        """From (state, y) to x."""
        from unscheduled import optim_jax

        if self.eval_params is None:
            return lambda state, params: params
        return getattr(optim_jax, self.eval_params)

    @property
    def is_wrapper(self) -> bool:
        return self.torch_inputs is None

    def torch_factories(self) -> Mapping[str, Callable[..., Any]]:
        return self.torch_tests or {self.torch: _torch(self.torch)}

    def jax_factories(self) -> tuple[Callable[..., Any], ...]:
        return self.jax_tests or (self.jax_function(),)


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


def _torch(name: str, **fixed):
    """A factory of a class of `optim_torch`, with these arguments and a usual rate."""

    def make(params, lr=0.1, **options):
        from unscheduled import optim_torch

        return getattr(optim_torch, name)(params, lr=lr, **fixed, **options)

    return make


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
        fast = by_name(inside).new_torch(params, inner)
    return optim_torch.Lookahead(fast, **own)


def _lookahead_jax(settings: Settings):
    from unscheduled import optim_jax

    own, inside, inner = specifications.split_lookahead(settings)
    if inside == "heavy_ball":
        import optax

        fast = optax.sgd(inner["lr"], momentum=inner["momentum"])
    else:
        fast = by_name(inside).new_jax(inner)
    return optim_jax.lookahead(fast, **own)


# The wrappers as the tests of a framework's machinery have them.
def _wrapped_rmsprop(params, lr=0.1, maximize=False, weight_decay=0.0):
    import torch

    from unscheduled import optim_torch

    base = torch.optim.RMSprop(params, lr=lr, maximize=maximize)
    return optim_torch.ScheduleFreeWrapper(base, weight_decay_at_y=weight_decay)


def _lookahead_around_adamw(params, lr=0.1, **options):
    import torch

    from unscheduled import optim_torch

    fast = torch.optim.AdamW(params, lr=lr, **options)
    return optim_torch.Lookahead(
        fast, k=3, momentum="pullback", adaptive=True, alpha=0.2
    )


def _lookahead_around_schedule_free(params, lr=0.1, **options):
    from unscheduled import optim_torch

    return optim_torch.Lookahead(
        optim_torch.AdamWScheduleFree(params, lr=lr, **options), k=3
    )


def wrapped_sgd(learning_rate, b1=0.9, keep_x=False):
    import optax

    from unscheduled import optim_jax

    base = optax.sgd(learning_rate, momentum=0.5)
    return optim_jax.schedule_free(base, learning_rate, b1, keep_x=keep_x)


def lookahead_adamw(learning_rate, k=3, alpha=0.5):
    import optax

    from unscheduled import optim_jax

    base = optax.adamw(learning_rate)
    return optim_jax.lookahead(base, k, alpha, momentum="pullback")


def lookahead_sgd(learning_rate, k=2, alpha=0.2):
    import optax

    from unscheduled import optim_jax

    base = optax.sgd(learning_rate, momentum=0.5)
    return optim_jax.lookahead(base, k, alpha, adaptive=True, momentum="reset")


def lookahead_schedule_free(learning_rate, k=3, alpha=0.5):
    from unscheduled import optim_jax

    base = optim_jax.schedule_free_adamw(learning_rate, keep_x=True)
    return optim_jax.lookahead(base, k, alpha)


_SGD = {"lr": 0.05, "beta1": 0.9}
_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}
_HEAVY_BALL = {"inside": "heavy_ball", "lr": 0.02, "momentum": 0.9}
_ROLLING = {"inside": "heavy_ball", "lr": 0.4, "momentum": 0.5}

ALGORITHMS = (
    Algorithm(
        name="schedule_free_sgd",
        specification=specifications.schedule_free_sgd,
        torch="SGDScheduleFree",
        jax="schedule_free_sgd",
        eval_params="schedule_free_eval_params",
        torch_inputs="sgd",
        torch_tests={"SGDScheduleFree": _torch("SGDScheduleFree", warmup_steps=3)},
        optax_tests={"warmup_steps": 5000},
        rates=Rates(valley=0.002),
        is_submitted=False,
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
        torch="AdamWScheduleFree",
        jax="schedule_free_adamw",
        eval_params="schedule_free_eval_params",
        torch_inputs="adamw",
        torch_tests={
            "AdamWScheduleFree": _torch("AdamWScheduleFree"),
            "AdamWScheduleFree-beta0": _torch("AdamWScheduleFree", betas=(0.0, 0.999)),
        },
        optax_tests={"warmup_steps": 5000},
        moves_for_evaluation=True,
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
        torch="RAdamScheduleFree",
        jax="schedule_free_radam",
        eval_params="schedule_free_eval_params",
        torch_inputs="radam",
        rates=Rates(submission=0.2),
        moves_for_evaluation=True,
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
        torch="ScheduleFreeWrapper",
        jax="schedule_free",
        eval_params="schedule_free_eval_params",
        make_torch=_wrapper_torch,
        make_jax=_wrapper_jax,
        torch_tests={"ScheduleFreeWrapper": _wrapped_rmsprop},
        jax_tests=(wrapped_sgd,),
        jax_copies=("wrapped_sgd",),  # as optax's wrapper does
        optax_tests={"base": {"learning_rate": 1e-2}, "learning_rate": 1e-2},
        is_submitted=False,
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
        torch="RAdam",
        jax="radam",
        torch_inputs="radam",
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
        torch="Lookahead",
        jax="lookahead",
        eval_params="lookahead_eval_params",
        make_torch=_lookahead_torch,
        make_jax=_lookahead_jax,
        torch_tests={
            "Lookahead": _lookahead_around_adamw,
            "Lookahead-AdamWScheduleFree": _lookahead_around_schedule_free,
        },
        jax_tests=(lookahead_adamw, lookahead_sgd, lookahead_schedule_free),
        jax_copies=("lookahead_sgd",),  # its α comes from sums over all parameters
        optax_tests={"base": {"learning_rate": 1e-3, "momentum": 0.9}, "k": 5},
        is_submitted=False,
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
    # Submitted, of optimizers above or of torch and optax.
    Algorithm(name="lookahead_adamw", moves_for_evaluation=True),
    Algorithm(name="lookahead_radam", moves_for_evaluation=True),
    Algorithm(name="nadamw"),
    Algorithm(name="adamw"),
    Algorithm(name="nesterov", rates=Rates(submission=1e-3)),
    Algorithm(name="heavy_ball", rates=Rates(submission=1e-3)),
)
OPTIMIZERS = tuple(a for a in ALGORITHMS if a.specification is not None)
OWN = tuple(a for a in OPTIMIZERS if not a.is_wrapper)
SUBMITTED = tuple(a for a in ALGORITHMS if a.is_submitted)


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
        for algorithm in OPTIMIZERS
        for settings in algorithm.settings
    ]
