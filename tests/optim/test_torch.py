"""The PyTorch optimizers as optimizers of torch's: modes, state, groups, misuse."""

import copy
import inspect
import io
import math

import numpy as np
import pytest
import torch

from tests import cases, trajectories
from unscheduled import optim_torch
from unscheduled.optim_torch import (
    AdamWScheduleFree,
    Lookahead,
    RAdam,
    RAdamScheduleFree,
    ScheduleFreeWrapper,
    SGDScheduleFree,
)


def _factories(algorithms):
    return {name: f for a in algorithms for name, f in a.torch_factories().items()}


OWN = _factories(cases.OWN)
AROUND = _factories(a for a in cases.OPTIMIZERS if a.is_wrapper)
ALL = {**OWN, **AROUND}
ROWS = {name: a for a in cases.OPTIMIZERS for name in a.torch_factories()}
PUBLIC = {name for name in optim_torch.__all__ if name[0].isupper()}


def make_params(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        for shape in ((3, 2), (4,), ())
    ]


def make(name, steps=0, dtype=torch.float32, **options):
    """Parameters and an optimizer that has done some steps."""
    params = make_params(dtype)
    optimizer = ALL[name](params, **options)
    for _ in range(steps):
        step(params, optimizer)
    return params, optimizer


def step(params, optimizer):
    optimizer.zero_grad()
    loss(params).backward()
    return optimizer.step()


def loss(params):
    return sum((p.abs() ** 2).sum() for p in params)


def values(params):
    return [p.detach().clone() for p in params]


def assert_same(ours, theirs, **tolerance):
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, **tolerance)


def test_the_tables_have_every_optimizer():
    """A public optimizer that no test here sees."""
    assert {type(make(name)[1]).__name__ for name in ALL} == PUBLIC


@pytest.mark.parametrize("name", ALL)
def test_nan_is_not_swallowed(name):
    """A diverged run that looks well because its averages skip NaN."""
    params, optimizer = make(name, steps=4)
    for _ in range(7):
        for p in params:
            p.grad = torch.full_like(p, torch.nan)
        optimizer.step()
    trajectories.switch(optimizer, "eval")
    assert all(p.isnan().all() for p in params)


EXACT = {"rtol": 0, "atol": 0}
WITH_MODES = [name for name in ALL if hasattr(make(name)[1], "eval")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_MODES)
def test_switching_is_idempotent_and_exact_to_rounding(name, dtype):
    """A second eval() that moves the parameters, or a train() that loses y."""
    # Steps that end between two syncs of Lookahead's.
    params, optimizer = make(name, steps=20, dtype=dtype)
    y = values(params)
    optimizer.eval()
    x = values(params)
    optimizer.eval()
    assert_same(values(params), x, **EXACT)
    assert any((p - q).abs().max() > 1e-3 for p, q in zip(x, y, strict=True))
    optimizer.train()
    optimizer.train()
    # bfloat16 parameters come from float32 state: nothing is lost at all.
    assert_same(values(params), y, **(EXACT if dtype == torch.bfloat16 else {}))


@pytest.mark.parametrize("name", WITH_MODES)
def test_a_step_at_x_is_an_error(name):
    """Training that silently goes on from the average."""
    params, optimizer = make(name, steps=1)
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"call optimizer.train\(\) first"):
        step(params, optimizer)


@pytest.mark.parametrize("name", WITH_MODES)
def test_a_step_is_an_error_if_only_one_group_is_at_x(name):
    """A check that looks at the first group alone."""
    params, optimizer = make(name, steps=1)
    optimizer.eval()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    optimizer.param_groups.reverse()
    with pytest.raises(RuntimeError, match=r"call optimizer.train\(\) first"):
        step(params, optimizer)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_a_step_leaves_the_gradients_alone(name, maximize):
    """Gradients that a user logs and that the step has changed."""
    params, optimizer = make(name, weight_decay=0.1, maximize=maximize)
    for _ in range(6):
        optimizer.zero_grad()
        loss(params).backward()
        before = [p.grad.clone() for p in params]
        optimizer.step()
        assert_same([p.grad for p in params], before, **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_a_rate_of_zero_leaves_x_where_it_was(name):
    """0 / 0 in the averaging weights."""
    params, optimizer = make(name, lr=0.0, weight_decay=0.1)
    start = values(params)
    for _ in range(7):
        step(params, optimizer)
    trajectories.switch(optimizer, "eval")
    assert_same(values(params), start)


@pytest.mark.parametrize("name", ALL)
def test_maximize_is_descent_on_the_negative(name):
    """maximize that the decay or the sign of the gradient ignores."""
    down, optimizer = make(name, steps=7, weight_decay=0.1)
    up, ascending = make(name, weight_decay=0.1, maximize=True)
    for _ in range(7):
        ascending.zero_grad()
        (-loss(up)).backward()
        ascending.step()
    for o in (optimizer, ascending):
        trajectories.switch(o, "eval")
    assert_same(values(up), values(down))


@pytest.mark.parametrize("name", ALL)
def test_frozen_and_unused_parameters_stay(name):
    """A parameter without a gradient that decays, drifts, or crashes a switch."""
    params, optimizer = make(name, weight_decay=0.1)
    params[0].requires_grad_(False)
    start = values(params)
    for _ in range(4):
        optimizer.zero_grad()
        (params[1] ** 2).sum().backward()
        optimizer.step()
        trajectories.switch(optimizer, "eval")
        trajectories.switch(optimizer, "train")
    trajectories.switch(optimizer, "eval")
    assert_same([params[0].detach(), params[2].detach()], [start[0], start[2]], **EXACT)
    assert not optimizer.state.get(params[2])


@pytest.mark.parametrize("name", [n for n in ALL if n != "Lookahead"])
def test_a_parameter_that_joins_late_steps_as_if_it_were_alone(name):
    """A bias correction or an averaging weight from the steps of others.

    Not for the adaptive Lookahead, whose α is of all parameters.
    """
    alone = torch.nn.Parameter(torch.ones(3))
    optimizer = ALL[name]([alone], lr=0.02)
    first, late = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    together = ALL[name]([first, late], lr=0.02)
    for _ in range(5):
        together.zero_grad()
        loss([first]).backward()
        together.step()
    for _ in range(8):
        step([alone], optimizer)
        step([first, late], together)
    for o in (optimizer, together):
        trajectories.switch(o, "eval")
    torch.testing.assert_close(late.detach(), alone.detach())
    assert (first - late).abs().max() > 1e-4


def save_and_load(saved):
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at_x", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_a_loaded_state_goes_on_like_the_saved_one(name, at_x, dtype):
    """A checkpoint that loses z, slow weights, counters, the mode or precision."""
    params, optimizer = make(name, steps=7, dtype=dtype)
    if at_x:
        trajectories.switch(optimizer, "eval")
    saved = save_and_load([values(params), optimizer.state_dict()])
    others, other = make(name, dtype=dtype)
    with torch.no_grad():
        for p, value in zip(others, saved[0], strict=True):
            p.copy_(value)
    trajectories.switch(other, "train")
    other.load_state_dict(saved[1])
    if at_x and name in WITH_MODES:
        with pytest.raises(RuntimeError, match="evaluation mode"):
            step(others, other)
    for ps, o in ((params, optimizer), (others, other)):
        trajectories.switch(o, "train")
        for _ in range(5):
            step(ps, o)
        trajectories.switch(o, "eval")
    assert_same(values(others), values(params), **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_a_copy_goes_on_like_the_original(name):
    """deepcopy or pickle that loses what a wrapper has of its own."""
    params, optimizer = make(name, steps=4)
    others, other = copy.deepcopy((params, optimizer))
    for ps, o in ((params, optimizer), (others, other)):
        for _ in range(4):
            step(ps, o)
        trajectories.switch(o, "eval")
    assert_same(values(others), values(params), **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_groups_have_rates_of_their_own_and_can_be_added(name):
    """A group that steps with another's rate, or that a switch forgets."""
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = ALL[name]([{"params": [first], "lr": 0.0}], lr=0.1)
    optimizer.add_param_group({"params": [second]})
    alone = [torch.nn.Parameter(torch.ones(2))]
    expected = ALL[name](alone, lr=0.1)
    for _ in range(8):
        step([first, second], optimizer)
        step(alone, expected)
    for o in (optimizer, expected):
        trajectories.switch(o, "eval")
    torch.testing.assert_close(first.detach(), torch.ones(2), **EXACT)
    if name != "Lookahead":  # its adaptive α is of all parameters
        torch.testing.assert_close(second.detach(), alone[0].detach())
    assert (second - 1).abs().max() > 1e-3


@pytest.mark.parametrize("name", OWN)
def test_a_group_that_is_refused_is_not_there(name):
    """An invalid group that trains on after its error was caught."""
    _, optimizer = make(name)
    with pytest.raises(ValueError, match="weight_decay must be at least 0"):
        optimizer.add_param_group(
            {"params": [torch.nn.Parameter(torch.ones(1))], "weight_decay": -1.0}
        )
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("name", ALL)
def test_a_rate_set_after_loading_counts(name):
    """A wrapper whose groups are no longer those of the optimizer inside."""
    params, optimizer = make(name, steps=1)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.param_groups[0]["lr"] = 0.0
    before = values(params)
    step(params, optimizer)
    # z stays; y, which after one step is z, goes towards it.
    assert_same(values(params), before)


@pytest.mark.parametrize("name", ALL)
def test_a_closure_is_evaluated_once_with_gradients(name):
    """step(closure) that runs it under no_grad, twice, or loses its loss."""
    params, optimizer = make(name)
    calls = []

    def closure():
        optimizer.zero_grad()
        value = loss(params)
        value.backward()
        calls.append(value.item())
        return value

    expected = loss(params).item()
    assert optimizer.step(closure).item() == expected
    assert calls == [expected]


@pytest.mark.parametrize("name", ALL)
def test_schedulers_may_change_the_rate(name):
    """A rate that is read once and that a scheduler can't change."""
    params, optimizer = make(name)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
    start = values(params)
    for _ in range(6):
        step(params, optimizer)
        scheduler.step()
    assert_same(values(params), start)


@pytest.mark.parametrize("name", ["SGDScheduleFree", "AdamWScheduleFree"])
def test_beta_1_may_change_from_step_to_step(name):
    """x computed from y by another β1 than y was made with (OneCycleLR changes it)."""
    params, optimizer = make(name, weight_decay=0.1)
    p = params[0]
    z = x = p.detach().clone()
    group = optimizer.param_groups[0]
    for t, beta1 in enumerate((0.9, 0.6, 1.0, 0.95), start=1):
        group["betas" if "betas" in group else "momentum"] = (
            (beta1, 0.999) if "betas" in group else beta1
        )
        optimizer.train()
        step(params, optimizer)
        z = optimizer.state[p]["z"].clone()
        weight_sum = optimizer.state[p]["averaging_weight_sum"]
        rate = 0.1 * min(1.0, t / 3) if name == "SGDScheduleFree" else 0.1
        x = torch.lerp(x, z, rate**2 / weight_sum)
        torch.testing.assert_close(p.detach(), torch.lerp(z, x, beta1))
        optimizer.eval()
        torch.testing.assert_close(p.detach(), x)
    group["betas" if "betas" in group else "momentum"] = (
        (0.0, 0.999) if "betas" in group else 0.0
    )
    optimizer.train()
    with pytest.raises(ValueError, match="must not become 0"):
        step(params, optimizer)


@pytest.mark.parametrize("name", ALL)
def test_a_grad_scaler_skips_a_step_that_overflows(name):
    """Autocast and GradScaler, whose step skipped must not count as one."""
    params, optimizer = make(name)
    others, plain = make(name)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=10**6)
    for t in range(8):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(params) + params[0].matmul(torch.ones(2, 2)).sum() * 0
        scaled = scaler.scale(value)
        (scaled * float("inf") if t == 3 else scaled).backward()
        scaler.step(optimizer)
        scaler.update()
        if t != 3:
            step(others, plain)
    for o in (optimizer, plain):
        trajectories.switch(o, "eval")
    assert scaler.get_scale() == 2.0**9
    assert_same(values(params), values(others))


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_parameters_follow_float32_ones(name):
    """Steps that are lost because they are small beside a bfloat16 parameter.

    Each step is an eighth of the distance between bfloat16 numbers near 1. Only
    Schedule-Free keeps weights in float32; of the others the state must be.
    """
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        p = torch.nn.Parameter(torch.ones(64, dtype=dtype))
        optimizer = ALL[name]([p], lr=0.001)
        for _ in range(300):
            p.grad = torch.ones_like(p)
            optimizer.step()
        state = optimizer.state[p]
        tensors = {n: t.dtype for n, t in state.items() if torch.is_tensor(t)}
        if name in ("ScheduleFreeWrapper", "Lookahead"):  # around torch's, which differ
            for theirs in ("square_avg", "exp_avg", "exp_avg_sq", "slow_exp_avg"):
                tensors.pop(theirs, None)
        tensors.pop("fast", None)  # a copy of the parameter
        assert set(tensors.values()) == {torch.float32}
        trajectories.switch(optimizer, "eval")
        results[dtype] = p.detach().float()
        assert p.dtype == dtype
    if name in OWN and name in WITH_MODES:
        torch.testing.assert_close(
            results[torch.bfloat16], results[torch.float32], rtol=0, atol=2**-8
        )


@pytest.mark.parametrize("name", ALL)
def test_a_complex_parameter_is_a_pair_of_real_ones(name):
    """A second moment of g·g instead of the sizes of both parts."""
    z = torch.tensor([[[1 + 2j]], [[-0.5j]]], dtype=torch.complex64)  # no matrix
    z = torch.nn.Parameter(z)
    pair = torch.nn.Parameter(torch.view_as_real(z.detach()).clone())
    results = []
    for p in (z, pair):
        optimizer = ALL[name]([p], weight_decay=0.1)
        for _ in range(9):
            step([p], optimizer)
        trajectories.switch(optimizer, "eval")
        results.append(p.detach())
    torch.testing.assert_close(torch.view_as_real(results[0]), results[1])


@pytest.mark.parametrize("name", OWN)
def test_sparse_gradients_are_refused(name):
    """A crash from the depths of a kernel."""
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = ALL[name](embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not take sparse gradients"):
        optimizer.step()


@pytest.mark.parametrize("name", OWN)
def test_foreach_and_the_loop_agree(name):
    """foreach=False that takes another step than foreach=True."""
    runs = []
    for foreach in (True, False):
        params, optimizer = make(name, steps=9, foreach=foreach, weight_decay=0.1)
        trajectories.switch(optimizer, "eval")
        runs.append(values(params))
    assert_same(*runs, **EXACT)


@pytest.mark.parametrize("name", OWN)
def test_more_parameters_than_a_cache_holds_are_stepped_alike(name, monkeypatch):
    """Parts of a list that are left out or stepped twice."""
    params, _ = make(name, steps=9)
    monkeypatch.setattr("unscheduled.optim_torch.stepping._CHUNK", 5)
    chunked, _ = make(name, steps=9)
    assert_same(values(chunked), values(params), **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_it_converges_on_rosenbrock(name):
    """An optimizer that a valley throws off."""
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = ALL[name]([p], lr=ROWS[name].rates.valley)
    start = end = None
    for _ in range(3000):
        optimizer.zero_grad()
        end = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        start = start if start is not None else end.item()
        end.backward()
        optimizer.step()
    trajectories.switch(optimizer, "eval")
    end = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
    assert end.item() < 0.05 * start


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"lr": float("nan")}, "lr must be at least 0, got nan"),
        (
            {"lr": torch.ones(2)},
            r"lr must be a number .*, got a tensor of shape \(2,\)",
        ),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"lr": "x"}, "lr must be a number, got 'x'"),
        ({"lr": None}, "lr must be a number, got None"),
        ({"lr": True}, "lr must be a number, got True"),
        ({"lr": [0.1]}, r"lr must be a number, got \[0.1\]"),
        ({"lr": 10**5000}, "lr must be at least 0, got an integer of over 300 digits"),
        ({"lr": torch.tensor(-1.0)}, "lr must be at least 0, got -1.0"),
        (
            {"weight_decay": torch.tensor(0.1)},
            "weight_decay must be a number .* tensor",
        ),
        ({"maximize": "no"}, "maximize must be True or False, got 'no'"),
    ],
)
def test_each_invalid_value_is_named(name, arguments, message):
    """A value outside its range that trains into NaN."""
    with pytest.raises(ValueError, match=message):
        make(name, **arguments)


@pytest.mark.parametrize("factory", [a.torch_class() for a in cases.OWN])
def test_no_hyperparameter_may_be_nan(factory):
    """One without a range, which torch does not check."""
    for name, parameter in inspect.signature(factory).parameters.items():
        default = parameter.default
        if type(default) is tuple:
            values = [(math.nan, *default[1:]), (*default[:-1], math.nan)]
        else:
            values = [math.nan] if type(default) in (int, float) or name == "lr" else []
        for value in values:
            with pytest.raises(ValueError, match=rf"^{name}.* must be .*, got nan"):
                factory(make_params(), **{"lr": 0.1, name: value})


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        (AdamWScheduleFree, {"betas": (-0.1, 0.9)}, r"betas\[0\] must be in \[0, 1\]"),
        (AdamWScheduleFree, {"betas": (1.1, 0.9)}, r"betas\[0\] .*, got 1.1"),
        (AdamWScheduleFree, {"betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\)"),
        (RAdam, {"betas": (1.0, 0.9)}, r"betas\[0\] must be in \[0, 1\), got 1.0"),
        (RAdam, {"betas": (0.9,)}, r"betas must be a pair of numbers, got \(0.9,\)"),
        (RAdam, {"betas": 0.9}, "betas must be a pair of numbers, got 0.9"),
        (RAdam, {"betas": None}, "betas must be a pair of numbers, got None"),
        (RAdam, {"betas": "ab"}, "betas must be a pair of numbers, got 'ab'"),
        (RAdam, {"betas": ("a", "b")}, r"betas\[0\] must be a number, got 'a'"),
        (RAdam, {"betas": (0.9, None)}, r"betas\[1\] must be a number, got None"),
        (RAdam, {"foreach": "yes"}, "foreach must be True, False or None, got 'yes'"),
        (AdamWScheduleFree, {"decoupling_c": "x"}, "decoupling_c must be a number, or"),
        (AdamWScheduleFree, {"warmup_steps": None}, "warmup_steps must be a number"),
        (SGDScheduleFree, {"momentum": None}, "momentum must be a number, got None"),
        (AdamWScheduleFree, {"eps": -1e-8}, "eps must be at least 0, got -1e-08"),
        (AdamWScheduleFree, {"warmup_steps": -1}, "warmup_steps must be at least 0"),
        (AdamWScheduleFree, {"r": -1}, "r must be at least 0, got -1"),
        (AdamWScheduleFree, {"weight_lr_power": -2}, "weight_lr_power must be at"),
        (AdamWScheduleFree, {"decoupling_c": 0.0}, "decoupling_c must be above 0"),
        (AdamWScheduleFree, {"foreach": True, "fused": True}, "goes without foreach"),
        (SGDScheduleFree, {"momentum": 1.5}, r"momentum must be in \[0, 1\], got 1.5"),
        (RAdam, {"threshold": 3.9}, "threshold must be at least 4, got 3.9"),
        (RAdamScheduleFree, {"threshold": 0}, "threshold must be at least 4, got 0"),
    ],
)
def test_invalid_hyperparameters_are_named(factory, arguments, message):
    """The same of what only some have."""
    with pytest.raises(ValueError, match=message):
        factory(make_params(), **arguments)


@pytest.mark.parametrize(
    ("factory", "arguments", "error", "message"),
    [
        (Lookahead, {"k": 0}, ValueError, "k must be an integer from 1, got 0"),
        (Lookahead, {"k": 2.5}, ValueError, "k must be an integer from 1, got 2.5"),
        (Lookahead, {"k": float("inf")}, ValueError, "k must be an integer .* got inf"),
        (Lookahead, {"k": float("nan")}, ValueError, "k must be an integer .* got nan"),
        (Lookahead, {"k": "5"}, ValueError, "k must be a number, got '5'"),
        (Lookahead, {"adaptive": "no"}, ValueError, "adaptive must be True or False"),
        (Lookahead, {"momentum": ["keep"]}, ValueError, r"one of .*, got \['keep'\]"),
        (ScheduleFreeWrapper, {"r": None}, ValueError, "r must be a number, got None"),
        (Lookahead, {"alpha": 0.0}, ValueError, r"alpha must be in \(0, 1\], got 0.0"),
        (Lookahead, {"momentum": "drop"}, ValueError, "'keep', 'reset', 'pullback'"),
        (ScheduleFreeWrapper, {"momentum": 2}, ValueError, r"in \[0, 1\], got 2"),
        (ScheduleFreeWrapper, {"weight_decay_at_y": -1}, ValueError, "at least 0"),
    ],
)
def test_invalid_values_of_wrappers_are_named(factory, arguments, error, message):
    """The same of the wrappers."""
    with pytest.raises(error, match=message):
        factory(torch.optim.SGD(make_params(), lr=0.1), **arguments)


@pytest.mark.parametrize("factory", [Lookahead, ScheduleFreeWrapper])
def test_a_wrapper_needs_an_optimizer(factory):
    """Parameters where the optimizer belongs."""
    with pytest.raises(TypeError, match=r"must be a torch.optim.Optimizer, got \["):
        factory(make_params())


@pytest.mark.parametrize("params", [None, 1, "ab", [1], [None], torch.ones(1), []])
@pytest.mark.parametrize("factory", [RAdam, SGDScheduleFree])
def test_what_is_no_list_of_parameters_is_refused_as_torch_does(factory, params):
    """Another error, or none, for parameters of the wrong type."""
    with pytest.raises((TypeError, ValueError)) as theirs:
        torch.optim.SGD(params, lr=0.1)
    with pytest.raises(type(theirs.value)) as ours:
        factory(params)
    assert str(ours.value) == str(theirs.value)


def test_parameters_that_it_cannot_train_are_refused():
    """Integers that round every step to nothing."""
    with pytest.raises(ValueError, match=r"or complex, got torch\.int64"):
        RAdam([torch.ones(1, dtype=torch.int64)])


@pytest.mark.parametrize(
    "base",
    [torch.optim.AdamW, torch.optim.NAdam, torch.optim.Adagrad, torch.optim.Rprop],
)
@pytest.mark.parametrize("factory", [Lookahead, ScheduleFreeWrapper])
def test_any_optimizer_can_be_inside(factory, base):
    """State that is made at the first step, and parameters of no dimension."""
    params = make_params()
    optimizer = factory(base(params, lr=0.05))
    start = loss(params).item()
    for _ in range(100):
        step(params, optimizer)
    optimizer.eval()
    assert loss(params).item() < 0.7 * start


def test_a_wrapper_s_decay_of_bfloat16_parameters_adds_up():
    """z rounded to the parameter's precision, so that small decays are lost."""
    p = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    base = torch.optim.SGD([p], lr=0.01)
    optimizer = ScheduleFreeWrapper(base, weight_decay_at_y=0.1, momentum=0.0)
    for _ in range(300):
        p.grad = torch.zeros_like(p)
        optimizer.step()
    assert optimizer.state[p]["z"].mean().item() == pytest.approx(0.999**300, rel=0.01)


def test_schedule_free_around_sgd_is_schedule_free_sgd():
    """Two implementations of one algorithm that drift apart."""
    settings = {"lr": 0.05, "beta1": 0.9, "weight_decay": 0.1}
    ours = cases.by_name("schedule_free_wrapper").run_torch(settings, 50)
    theirs = cases.by_name("schedule_free_sgd").run_torch(settings, 50)
    np.testing.assert_allclose(ours.x[-1][0], theirs.x[-1][0], rtol=1e-12)
