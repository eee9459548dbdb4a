"""The NumPy specifications behind one interface, for the table of algorithms."""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from unscheduled.optim_numpy import lookahead as la
from unscheduled.optim_numpy import muon
from unscheduled.optim_numpy import schedule_free as sf

Arrays = list[np.ndarray]
Settings = dict[str, Any]


class Specification(Protocol):
    """A run of a specification: y is where the gradient is taken, x the result."""

    def start(self, params: Arrays) -> None: ...
    def step(self, grads: Arrays) -> None: ...
    def y(self) -> Arrays: ...
    def x(self) -> Arrays: ...


class ScheduleFree:
    """Schedule-Free over a base step; `lr` may be a function of the steps done."""

    def __init__(self, base: sf.Base, settings: Settings):
        self.base = base
        self.settings = settings
        self.beta1 = settings.get("beta1", 0.9)

    def start(self, params: Arrays) -> None:
        self.state = sf.schedule_free_init(params)

    def step(self, grads: Arrays) -> None:
        lr = self.settings["lr"]
        lr = lr(self.state.t) if callable(lr) else lr
        self.state = sf.schedule_free_step(
            self.state, grads, self.base, **{**self.settings, "lr": lr}
        )

    def y(self) -> Arrays:
        return sf.schedule_free_y(self.state, self.beta1)

    def x(self) -> Arrays:
        return self.state.x

    # What Lookahead sees of it. y is (1 - β) z + β x, so that it follows z and x.
    @property
    def fast(self) -> la.Fast:
        return la.Fast(self.y(), [], [*self.state.z, *self.state.x])

    def set_fast(self, fast: la.Fast) -> None:
        n = len(fast.weights)
        z, x = fast.sequences[:n], fast.sequences[n:]
        self.state = self.state._replace(z=z, x=x)


class Plain:
    """A specification whose gradient is taken at its parameters, the result too."""

    def __init__(self, module: ModuleType, name: str, settings: Settings):
        self._init = getattr(module, f"{name}_init")
        self._step = getattr(module, f"{name}_step")
        self.settings = settings

    def start(self, params: Arrays) -> None:
        self.state = self._init(params)

    def step(self, grads: Arrays) -> None:
        self.state = self._step(self.state, grads, **self.settings)

    def y(self) -> Arrays:
        return self.state.params

    def x(self) -> Arrays:
        return self.state.params

    # What Lookahead sees of it, if it has a first moment.
    @property
    def fast(self) -> la.Fast:
        return la.Fast(self.state.params, self.state.m, [])

    def set_fast(self, fast: la.Fast) -> None:
        self.state = self.state._replace(params=fast.weights, m=fast.momentum)


class HeavyBall:
    """m <- μ m + g, θ <- θ - γ m: no algorithm of ours, to be inside of Lookahead."""

    def __init__(self, lr: float, momentum: float):
        self.lr, self.momentum = lr, momentum

    def start(self, params: Arrays) -> None:
        self.fast = la.Fast(params, [0 * p for p in params], [])

    def step(self, grads: Arrays) -> None:
        pairs = zip(self.fast.momentum, grads, strict=True)
        ms = [self.momentum * m + g for m, g in pairs]
        weights = zip(self.fast.weights, ms, strict=True)
        self.set_fast(la.Fast([p - self.lr * m for p, m in weights], ms, []))

    def set_fast(self, fast: la.Fast) -> None:
        self.fast = fast


class Lookahead:
    def __init__(self, inside: Any, settings: Settings):
        self.inside = inside
        self.settings = settings

    def start(self, params: Arrays) -> None:
        self.inside.start(params)
        self.state = la.lookahead_init(self.inside.fast)

    def step(self, grads: Arrays) -> None:
        self.inside.step(grads)
        self.state, fast = la.lookahead_step(
            self.state, self.inside.fast, grads, **self.settings
        )
        if self.state.t % self.settings.get("k", 5) == 0:
            self.inside.set_fast(fast)

    def y(self) -> Arrays:
        return self.inside.fast.weights

    def x(self) -> Arrays:
        if isinstance(self.inside, ScheduleFree):
            return self.state.sequences[len(self.state.slow) :]
        return self.state.slow


def schedule_free_sgd(settings: Settings) -> Specification:
    return ScheduleFree(sf.sgd(), settings)


def schedule_free_adamw(settings: Settings) -> Specification:
    base, rest = _split(settings, "beta2", "eps")
    return ScheduleFree(sf.adamw(**base), rest)


def schedule_free_muon(settings: Settings) -> Specification:
    base, rest = _split(settings, "beta2", "eps", "muon_momentum")
    names = {"muon_momentum": "momentum"}
    base = {names.get(name, name): value for name, value in base.items()}
    return ScheduleFree(muon.muon(**base), rest)


def schedule_free_radam(settings: Settings) -> Specification:
    names = ("beta2", "eps", "threshold", "silent_sgd_phase")
    base, rest = _split(settings, *names)
    return ScheduleFree(sf.radam(**base), rest)


def schedule_free_wrapper(settings: Settings) -> Specification:
    """Around SGD with momentum, whose buffer is in the place of v."""
    base, rest = _split(settings, "heavy_ball")
    mu = base.get("heavy_ball", 0.0)

    def step(buffer: Arrays, grads: Arrays, t: int) -> sf.BaseStep:
        buffer = [mu * m + g for m, g in zip(buffer, grads, strict=True)]
        return sf.BaseStep(1.0, buffer, buffer)

    return ScheduleFree(step, rest)


def plain(name: str) -> Callable[[Settings], Specification]:
    """Of the functions `<name>_init` and `<name>_step` in a module of that name."""
    module = importlib.import_module(f"unscheduled.optim_numpy.{name}")
    return functools.partial(Plain, module, name)


radam = plain("radam")


def split_lookahead(settings: Settings) -> tuple[Settings, str, Settings]:
    """Lookahead's own settings; the name of what is inside; the settings of that."""
    own, rest = _split(settings, "k", "alpha", "adaptive", "fisher_decay")
    rest = dict(rest)
    if "slow_momentum" in rest:
        own["momentum"] = rest.pop("slow_momentum")
    return own, rest.pop("inside"), rest


def lookahead(settings: Settings) -> Specification:
    own, inside, rest = split_lookahead(settings)
    make = {
        "heavy_ball": lambda s: HeavyBall(**s),
        "radam": radam,
        "schedule_free_adamw": schedule_free_adamw,
    }[inside]
    return Lookahead(make(rest), own)


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


def _split(settings: Settings, *names: str) -> tuple[Settings, Settings]:
    """The named settings, and the others."""
    named = {k: v for k, v in settings.items() if k in names}
    return named, {k: v for k, v in settings.items() if k not in names}
