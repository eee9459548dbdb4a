"""The table of algorithms: one row each, which drives every generic test.

A row's optimizers are compared with its specification, and each with itself under what
its framework does to it; its submissions train a small problem.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests import specifications, trajectories, wrappers
from tests.specifications import Specification
from tests.trajectories import Trajectory

Settings = dict[str, Any]


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
        return trajectories.run_specification(self.specification(settings), steps)

    def run_torch(self, settings: Settings, steps: int) -> Trajectory:
        return trajectories.run_torch_optimizer(
            lambda ps: self.new_torch(ps, settings), steps
        )

    def run_jax(self, settings: Settings, steps: int) -> Trajectory:
        with trajectories.jax_float64():
            optimizer = self.new_jax(settings)
            return trajectories.run_jax_optimizer(
                optimizer, self.jax_eval_params(), steps
            )

    def new_torch(self, params, settings: Settings):
        """Its torch optimizer, from settings by the specification's names."""
        if self.make_torch is not None:
            return self.make_torch(params, settings)
        return self.torch_class()(params, **specifications.torch_arguments(settings))

    def new_jax(self, settings: Settings):
        """Its JAX transformation, from settings by the specification's names."""
        if self.make_jax is not None:
            return self.make_jax(settings)
        return self.jax_function()(**specifications.jax_arguments(settings))

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


def _torch(name: str, **fixed):
    """A factory of a class of `optim_torch`, with these arguments and a usual rate."""

    def make(params, lr=0.1, **options):
        from unscheduled import optim_torch

        return getattr(optim_torch, name)(params, lr=lr, **fixed, **options)

    return make


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
        name="schedule_free_muon",
        specification=specifications.schedule_free_muon,
        torch="MuonScheduleFree",
        jax="schedule_free_muon",
        eval_params="schedule_free_eval_params",
        torch_inputs="adamw",
        optax_tests={"warmup_steps": 5000},
        jax_copies=("schedule_free_muon",),  # as the wrapper that it is in
        is_submitted=False,
        settings=(
            {**_ADAM},
            {**_ADAM, "warmup_steps": 10, "weight_decay": 0.1},
            {**_ADAM, "muon_momentum": 0.0, "decoupling_c": 40.0},
            {**_ADAM, "muon_momentum": 0.95, "r": 0.5, "eps": 1e-3},
            {**_ADAM, "beta1": 0.0, "weight_lr_power": 1.0},
            {**_ADAM, "lr": 0.0},
        ),
    ),
    Algorithm(
        name="schedule_free_wrapper",
        specification=specifications.schedule_free_wrapper,
        torch="ScheduleFreeWrapper",
        jax="schedule_free",
        eval_params="schedule_free_eval_params",
        make_torch=wrappers.schedule_free_torch,
        make_jax=wrappers.schedule_free_jax,
        torch_tests={"ScheduleFreeWrapper": wrappers.wrapped_rmsprop},
        jax_tests=(wrappers.wrapped_sgd,),
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
        make_torch=wrappers.lookahead_torch,
        make_jax=wrappers.lookahead_jax,
        torch_tests={
            "Lookahead": wrappers.lookahead_around_adamw,
            "Lookahead-AdamWScheduleFree": wrappers.lookahead_around_schedule_free,
        },
        jax_tests=(
            wrappers.lookahead_adamw,
            wrappers.lookahead_sgd,
            wrappers.lookahead_schedule_free,
        ),
        # φ and θ both follow from the base's updates, which wait for both.
        jax_copies=("lookahead_adamw", "lookahead_sgd", "lookahead_schedule_free"),
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
    Algorithm(name="refined_schedule_free", moves_for_evaluation=True),
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
