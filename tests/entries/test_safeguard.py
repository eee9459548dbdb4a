"""Steps that are skipped, and training that begins again."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.entries import stub, stub_jax, stub_torch
from tests.entries.entries import ALGORITHMS, FRAMEWORKS, load, rate
from unscheduled.entries.safeguard import Record, has_diverged, validation_losses

TRAININGS = {"pytorch": stub_torch.Training, "jax": stub_jax.Training}
losses = st.floats(1e-3, 1e3)


@given(st.lists(losses, min_size=1))
def test_a_falling_loss_is_never_divergence(values):
    """A restart of training that goes well."""
    assert not has_diverged(sorted(values, reverse=True))


@given(st.lists(losses, min_size=2), st.floats(0.51, 100))
def test_a_loss_half_the_first_above_the_best_is_divergence(values, factor):
    """A collapse that is not seen, wherever the best was."""
    worse = min(values) + factor * values[0]
    assert has_diverged([*values, worse])
    better = min(values) + 0.49 * values[0]
    assert not has_diverged([*values, better])


@given(st.lists(losses), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_loss_that_is_not_finite_is_divergence(values, last):
    """NaN, which compares as false with everything."""
    assert has_diverged([*values, last])
    assert not has_diverged([*values, last, *([min(values)] if values else [1.0])])


def test_the_validation_loss_is_found_whatever_it_is_called():
    """The speech workloads' ctc_loss, or a training loss taken for validation's."""
    results = [
        (1, {"train/ctc_loss": 9.0, "validation/ctc_loss": 2.0, "validation/wer": 1.0}),
        (2, {"train/loss": 9.0, "validation/loss": np.float32(1.0)}),
        (3, {"validation/accuracy": 0.5}),
    ]
    assert validation_losses(results) == [2.0, 1.0]


def test_an_evaluation_is_judged_once():
    """A restart at every step after a bad evaluation."""
    record = Record()
    results = [(1, {"validation/loss": 1.0})]
    assert record.is_behind(results)
    assert not record.judge(results, global_step=1, skipped=0)
    assert not record.is_behind(results)
    results.append((9, {"validation/loss": math.nan}))
    assert record.judge(results, global_step=9, skipped=2)
    assert not record.is_behind(results)
    assert (record.restarts, record.start) == (1, 7)
    assert record.learning_rate(0.4) == 0.2


def test_skipping_every_step_since_an_evaluation_is_divergence():
    """Training that is stuck where no gradient is finite, until the budget ends."""
    record = Record()
    results = [(1, {"validation/loss": 1.0})]
    assert not record.judge(results, global_step=1, skipped=0)
    assert not record.judge(results * 2, global_step=5, skipped=3)
    assert record.judge(results * 3, global_step=9, skipped=7)
    # No step between two evaluations is no reason.
    assert not record.judge(results * 4, global_step=9, skipped=7)


def broken(batch, name):
    return {**batch, name: batch[name] * np.float32(np.nan)}


@pytest.mark.parametrize("name", ["inputs", "targets"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_broken_batch_is_as_if_it_had_not_been_there(algorithm, framework, name):
    """NaN in parameters, moments, counters, schedules or batch-norm statistics."""
    entry, make = load(algorithm, framework), TRAININGS[framework]
    training, reference = (
        make(entry, batch_norm=True, hyperparameters=rate(algorithm)) for _ in range(2)
    )
    batches = stub.batches(12)
    for i, batch in enumerate(batches):
        if i in (0, 7):
            training.step(broken(batch, name))
        training.step(batch)
        reference.step(batch)
    for each in (training, reference):
        each.prepare_for_eval()
    for p, q in zip(training.params(), reference.params(), strict=True):
        np.testing.assert_array_equal(p, q)
    for p, q in zip(training.statistics(), reference.statistics(), strict=True):
        np.testing.assert_array_equal(p, q)


# Each adds to the loss what leaves the other of loss and gradient finite.
HALF_BROKEN = {
    "the loss alone": lambda logits: math.nan,
    "the gradient alone": lambda logits: (logits.sum() * 0) ** 0.5,
}


@pytest.mark.parametrize("part", HALF_BROKEN)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_one_that_is_not_finite_is_enough(framework, part):
    """A look at the loss that trusts the gradient, or the other way round."""
    training = TRAININGS[framework](load("adamw", framework))
    whole = training.workload.loss_fn

    def loss_fn(label_batch, logits_batch, mask_batch, **options):
        losses = whole(label_batch, logits_batch, mask_batch, **options)
        extra = HALF_BROKEN[part](logits_batch)
        return {**losses, "summed": losses["summed"] + extra}

    training.workload.loss_fn = loss_fn
    training.workload.metrics_logger = stub.Logger()
    before = [np.asarray(p).copy() for p in training.params()]
    training.step(*stub.batches(1))
    for p, q in zip(training.params(), before, strict=True):
        np.testing.assert_array_equal(p, q)
    ((_, logged),) = training.workload.metrics_logger.rows
    assert logged["skipped_steps"] == 1
    assert math.isfinite(logged["loss"]) == (part == "the gradient alone")
    assert math.isfinite(logged["grad_norm"]) == (part == "the loss alone")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_skipped_steps_are_counted_in_the_log(framework):
    """A run that skips most of its steps without anyone seeing."""
    training = TRAININGS[framework](load("adamw", framework))
    training.workload.metrics_logger = stub.Logger()
    for i, batch in enumerate(stub.batches(101)):
        training.step(broken(batch, "targets") if i % 4 == 1 else batch)
    (_, first), (_, last) = training.workload.metrics_logger.rows
    assert first["skipped_steps"] == 0
    assert last["skipped_steps"] == 25


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_statistics_come_from_the_batches_that_are_whole(framework):
    """One broken batch, the last or the only one, that spoils the evaluation."""
    training = TRAININGS[framework](load("schedule_free_adamw", framework), True)
    batches = stub.batches(40)
    training.step(broken(batches[0], "inputs"))
    training.prepare_for_eval()
    before = training.statistics()
    assert all(np.isfinite(s).all() for s in before)
    for batch in batches:
        training.step(batch)
    training.step(broken(batches[0], "inputs"))
    training.prepare_for_eval()
    mean, *_ = training.statistics()
    np.testing.assert_allclose(mean, batches[-1]["inputs"].mean(0), rtol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_divergence_goes_back_to_the_last_good_evaluation(algorithm, framework):
    """Training that goes on from NaN, from older parameters, or at the same rate."""
    entry, make = load(algorithm, framework), TRAININGS[framework]
    start = rate(algorithm)["learning_rate"]
    training = make(entry, True, {"learning_rate": start})
    *batches, last = stub.batches(31)
    for batch in batches[:20]:
        training.step(batch)
    training.evaluate(1.0)
    good, statistics = training.params(), training.statistics()
    for batch in batches[20:]:
        training.step(batch)
    training.evaluate(math.nan)

    # The same batch, broken: all that is left of the step is the way back.
    training.step(broken(last, "inputs"))
    for p, q in zip(training.params(), good, strict=True):
        np.testing.assert_array_equal(p, q)
    for p, q in zip(training.statistics(), statistics, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_training_begins_again_with_half_the_rate(framework):
    """Moments, averages or counters of before, or the rate of before."""
    entry, make = load("schedule_free_adamw", framework), TRAININGS[framework]
    training, reference = (
        make(entry, False, {"learning_rate": r}) for r in (0.1, 0.05)
    )
    first, *rest = stub.batches(30)
    training.step(first)
    training.evaluate(math.nan)  # the parameters before the first step are good
    for batch in rest:
        training.step(batch)
        reference.step(batch)
    for each in (training, reference):
        each.prepare_for_eval()
    for p, q in zip(training.params(), reference.params(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_twins_train_alike(algorithm):
    """An entry that trains otherwise in the other framework, restarts included."""
    import torch

    jax_twin = stub_jax.Training(load(algorithm, "jax"), False, rate(algorithm))
    torch_twin = stub_torch.Training(load(algorithm, "pytorch"), False, rate(algorithm))
    linear = torch_twin.model[0]
    with torch.no_grad():
        dense = jax_twin._params["Dense_0"]
        linear.weight.copy_(torch.from_numpy(np.array(dense["kernel"]).T))
        linear.bias.copy_(torch.from_numpy(np.array(dense["bias"])))
    twins = (jax_twin, torch_twin)
    for step, batch in enumerate(stub.batches(90)):
        for twin in twins:
            twin.step(broken(batch, "inputs") if step == 5 else batch)
            if step in (20, 60):
                twin.evaluate({20: 1.0, 60: 2.0}[step])
    for twin in twins:
        twin.prepare_for_eval()
    trained = jax_twin._params["Dense_0"]
    # Float32 rounding over 90 steps; another schedule or decay is > 1e-2.
    np.testing.assert_allclose(
        linear.weight.detach(), np.array(trained["kernel"]).T, atol=1e-4
    )
    np.testing.assert_allclose(linear.bias.detach(), trained["bias"], atol=1e-4)
