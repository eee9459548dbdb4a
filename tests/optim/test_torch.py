"""AdamWScheduleFree as an optimizer of torch's: modes, state, misuse."""

import io

import pytest
import torch

from unscheduled.optim_torch import AdamWScheduleFree


def make(steps=0, **arguments):
    """Parameters and an optimizer that has done some steps."""
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 2), (4,), ())]
    optimizer = AdamWScheduleFree(params, lr=0.1, warmup_steps=3, **arguments)
    for _ in range(steps):
        step(params, optimizer)
    return params, optimizer


def step(params, optimizer):
    optimizer.zero_grad()
    sum((p**2).sum() for p in params).backward()
    optimizer.step()


def values(params):
    return [p.detach().clone() for p in params]


def assert_same(ours, theirs, **tolerance):
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, **tolerance)


def test_switching_is_idempotent_and_exact_to_rounding():
    """A second eval() that moves the parameters, or a train() that loses y."""
    params, optimizer = make(steps=20)
    y = values(params)
    optimizer.eval()
    x = values(params)
    optimizer.eval()
    assert_same(values(params), x, rtol=0, atol=0)
    assert any((p - q).abs().max() > 1e-3 for p, q in zip(x, y, strict=True))
    optimizer.train()
    optimizer.train()
    assert_same(values(params), y)


def test_a_step_at_x_is_an_error():
    """Training that silently goes on from the average."""
    params, optimizer = make(steps=1)
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"call optimizer.train\(\) first"):
        step(params, optimizer)


def test_a_step_leaves_the_gradients_alone():
    """Gradients that a user logs and that the step has changed."""
    for maximize in (False, True):
        params, optimizer = make(weight_decay=0.1, maximize=maximize)
        sum((p**2).sum() for p in params).backward()
        before = [p.grad.clone() for p in params]
        optimizer.step()
        assert_same([p.grad for p in params], before, rtol=0, atol=0)


def test_a_rate_of_zero_leaves_x_where_it_was():
    """0 / 0 in the averaging weights."""
    params, _ = make()
    start = values(params)
    optimizer = AdamWScheduleFree(params, lr=0.0, weight_decay=0.1)
    for _ in range(3):
        step(params, optimizer)
    optimizer.eval()
    assert_same(values(params), start)


def test_maximize_is_descent_on_the_negative():
    """maximize that the decay or the sign of the gradient ignores."""
    down, optimizer = make(weight_decay=0.1)
    sum((p**2).sum() for p in down).backward()
    optimizer.step()
    up, optimizer = make(weight_decay=0.1, maximize=True)
    (-sum((p**2).sum() for p in up)).backward()
    optimizer.step()
    assert_same(values(up), values(down))


def test_parameters_without_a_gradient_stay():
    """A frozen or unused parameter that decays, drifts, or crashes a switch."""
    params, optimizer = make()
    params[0].requires_grad_(False)
    start = params[0].detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        (params[1] ** 2).sum().backward()
        optimizer.step()
    optimizer.eval()
    torch.testing.assert_close(params[0].detach(), start, rtol=0, atol=0)
    assert params[2] not in optimizer.state or "z" not in optimizer.state[params[2]]


@pytest.mark.parametrize("at_x", [False, True])
def test_a_loaded_state_goes_on_like_the_saved_one(at_x):
    """A checkpoint that loses z, counters or the mode."""
    params, optimizer = make(steps=5)
    if at_x:
        optimizer.eval()
    buffer = io.BytesIO()
    torch.save({"params": values(params), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)

    others, other = make()
    with torch.no_grad():
        for p, value in zip(others, saved["params"], strict=True):
            p.copy_(value)
    other.train()
    other.load_state_dict(saved["optimizer"])
    if at_x:
        with pytest.raises(RuntimeError, match="evaluation mode"):
            step(others, other)
    for ps, o in ((params, optimizer), (others, other)):
        o.train()
        for _ in range(5):
            step(ps, o)
    assert_same(values(others), values(params), rtol=0, atol=0)


def test_groups_have_rates_of_their_own_and_can_be_added():
    """A group that steps with another's rate, or that a switch forgets."""
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = AdamWScheduleFree([{"params": [first], "lr": 0.0}], lr=0.1)
    optimizer.add_param_group({"params": [second]})
    step([first, second], optimizer)
    optimizer.eval()
    torch.testing.assert_close(first.detach(), torch.ones(2), rtol=0, atol=0)
    torch.testing.assert_close(second.detach(), torch.full((2,), 0.9))


def test_a_closure_is_evaluated_with_gradients():
    """step(closure) that runs it under no_grad or loses its loss."""
    params, optimizer = make()

    def closure():
        optimizer.zero_grad()
        loss = sum((p**2).sum() for p in params)
        loss.backward()
        return loss

    expected = sum((p.detach() ** 2).sum() for p in params)
    torch.testing.assert_close(optimizer.step(closure).detach(), expected)


def test_schedulers_may_change_the_rate():
    """A rate that is read once and that a scheduler can't change."""
    params, optimizer = make()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
    start = values(params)
    step(params, optimizer)
    scheduler.step()
    assert_same(values(params), start, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"lr": float("nan")}, "lr must be at least 0, got nan"),
        ({"betas": (0.0, 0.9)}, r"betas\[0\] must be in \(0, 1\], got 0.0"),
        ({"betas": (1.1, 0.9)}, r"betas\[0\] must be in \(0, 1\], got 1.1"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\), got 1.0"),
        ({"eps": -1e-8}, "eps must be at least 0, got -1e-08"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        ({"r": -1}, "r must be at least 0, got -1"),
        ({"weight_lr_power": -2}, "weight_lr_power must be at least 0, got -2"),
    ],
)
def test_each_invalid_value_is_named(arguments, message):
    """A value outside its range that trains into NaN."""
    with pytest.raises(ValueError, match=message):
        AdamWScheduleFree([torch.nn.Parameter(torch.ones(1))], **arguments)


def test_parameters_that_it_cannot_train_are_refused():
    """Complex parameters with a wrong second moment, or a crash on sparse ones."""
    with pytest.raises(ValueError, match=r"got torch\.complex64"):
        AdamWScheduleFree([torch.nn.Parameter(torch.ones(1, dtype=torch.complex64))])
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = AdamWScheduleFree(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not take sparse gradients"):
        optimizer.step()
