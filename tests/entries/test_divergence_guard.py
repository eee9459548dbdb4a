"""Steps that are skipped, and training that begins again."""

import functools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.entries import stub, stub_jax, stub_torch
from tests.entries.submissions import ALGORITHMS, FRAMEWORKS, ROOT, load, rate
from unscheduled import spec
from unscheduled.entries.divergence_guard import (
    MAX_RESTARTS,
    Decision,
    DivergenceGuard,
    has_diverged,
    loss_name,
    validation_losses,
)

TRAININGS = {"pytorch": stub_torch.Training, "jax": stub_jax.Training}
CTC = spec.LossType.CTC_LOSS
losses = st.floats(1e-3, 1e3)
broken_losses = st.sampled_from([math.nan, math.inf, -math.inf])
any_losses = st.floats(-1e300, 1e300) | st.floats(-10, 10) | broken_losses


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_falling_loss_is_never_divergence(values):
    """A restart of training that goes well, whatever the sign and size of its loss."""
    assert not has_diverged(sorted(values, reverse=True))


@given(st.lists(losses, min_size=2), st.floats(0.51, 100))
def test_a_loss_half_the_first_above_the_best_is_divergence(values, factor):
    """A collapse that is not seen, wherever the best was."""
    worse = min(values) + factor * values[0]
    assert has_diverged([*values, worse])
    better = min(values) + min(0.49 * values[0], 99 * min(values))
    assert not has_diverged([*values, better])


@given(st.lists(losses), broken_losses)
def test_a_loss_that_is_not_finite_is_divergence(values, last):
    """NaN, which compares as false with everything."""
    assert has_diverged([*values, last])
    assert not has_diverged([*values, last, *([min(values)] if values else [1.0])])


@given(st.lists(broken_losses, max_size=60), losses, st.lists(any_losses, max_size=60))
def test_a_loss_far_above_the_best_is_divergence_whatever_came_before(
    first, finite, others
):
    """A guard that one loss disarms: NaN, infinite, huge, zero or negative."""
    values = [*first, finite, *others]
    best = min(filter(math.isfinite, values))
    # The largest yardstick that there is: a hundred times a positive best, or half
    # of what has been gained since the first of up to 1e300.
    far = 101 * best if best > 0 else 1e301
    assert has_diverged([*values, best + far])


@given(st.lists(broken_losses), st.lists(any_losses, min_size=1))
def test_losses_before_the_first_finite_one_change_nothing(first, values):
    """Training whose first steps went wrong, judged otherwise ever after."""
    values = [1.0, *values]
    assert has_diverged([*first, *values]) == has_diverged(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([math.nan, 2.0, 1e9], True),
        ([math.inf, 2.0, 1e9], True),
        ([-math.inf, 2.0, 1e9], True),
        ([math.nan, 2.0, 2.4], False),
        ([math.nan] * 3, True),
        ([math.nan, 1e9], False),  # the first that is known is the best
        ([1e12, 2.0, 1e9], True),  # a first loss of an odd size
        ([1e12, 2.0, 2.4], False),
        ([3118.0, 1.4, 6.9], False),  # ImageNet ResNet, large_bn_init: as published
        ([2.3, 0.0, 0.5], False),
        ([0.0, 0.3], False),  # zero is no yardstick
        ([0.0, 1e9], True),
        ([0.0, 2.0, 1.9, 1e9], True),
        ([-0.01, -5.0, -4.9], False),  # a tiny first loss is none either
        ([0.0, -5.0, -4.9], False),
        ([-1.0, -5.0, -1.0], True),  # all that was gained is lost
        ([5.0, -0.001, 1.0], False),
        ([-5.0, 1e9], True),
        ([1.7e308, -1.7e308, -1.7e308], False),
    ],
)
def test_the_yardstick_is_sound_whatever_the_first_loss_is(values, expected):
    """Comparisons with NaN, zero, a negative or an odd number, for the whole run."""
    assert has_diverged(values) == expected


@pytest.mark.parametrize(
    ("metrics", "loss_type", "expected"),
    [
        ({"train/ctc_loss": 9, "validation/ctc_loss": 2, "validation/wer": 1}, CTC, 2),
        ({"validation/ce_loss": 1, "validation/ctc_loss": 2}, CTC, 2),
        ({"validation/ctc_loss": 2, "validation/loss": 3}, CTC, 3),
        (
            {"validation/z_loss": 1, "validation/ce_loss": 2},
            spec.LossType.SOFTMAX_CROSS_ENTROPY,
            2,
        ),
        ({"validation/accuracy": 0.5, "test/loss": 1}, CTC, None),
    ],
)
def test_one_loss_is_judged(metrics, loss_type, expected):
    """The speech workloads' ctc_loss, or another loss than the one trained on."""
    name = loss_name(metrics, loss_type)
    assert metrics.get(name) == expected


@pytest.mark.parametrize("name", ["validation/ctc_loss", "validation/ce_loss"])
def test_each_loss_is_compared_with_itself(name):
    """CTC, of some 30 nats, beside a cross-entropy of 2: healthy training that is sent
    back, or a loss that has diverged hidden behind the other."""
    both = {"validation/ctc_loss": 30.0, "validation/ce_loss": 2.0}
    results = [(1, both), (2, {"validation/wer": 1.0}), (3, {name: np.float32(2.5)})]
    assert validation_losses(results, CTC) == [both[name], 2.5]
    assert validation_losses(results[:2], CTC) == []


def evaluations(*losses, name="validation/loss"):
    return [(step, {name: loss}) for step, loss in enumerate(losses, start=1)]


def test_an_evaluation_is_judged_once():
    """A restart at every step after a bad evaluation."""
    guard = DivergenceGuard()
    results = evaluations(1.0)
    assert guard.is_behind(results)
    assert guard.judge(results, CTC, global_step=1, skipped=0) is Decision.KEEP
    assert not guard.is_behind(results)
    results += evaluations(math.nan)
    assert guard.judge(results, CTC, global_step=9, skipped=2) is Decision.RESTART
    assert not guard.is_behind(results)
    assert (guard.restarts, guard.start) == (1, 7)
    assert guard.learning_rate(0.4) == 0.2


def test_skipping_every_step_since_an_evaluation_is_divergence():
    """Training that is stuck where no gradient is finite, until the budget ends."""
    guard = DivergenceGuard()
    judge = functools.partial(guard.judge, evaluations(1.0), CTC)
    assert judge(global_step=1, skipped=0) is Decision.KEEP
    assert judge(global_step=5, skipped=3) is Decision.KEEP
    assert judge(global_step=9, skipped=7) is Decision.RESTART
    # No step between two evaluations is no reason.
    assert judge(global_step=9, skipped=7) is Decision.KEEP


def test_an_evaluation_without_the_loss_of_the_others_says_nothing():
    """Parameters kept as good, or judged, by the loss of an evaluation before them."""
    guard, missing = DivergenceGuard(), [(3, {"validation/accuracy": 0.5})]
    judge = functools.partial(guard.judge, loss_type=CTC, global_step=9, skipped=0)
    assert judge(missing) is Decision.KEEP  # a workload that has none
    assert judge([*evaluations(1.0), *missing]) is Decision.GO_ON
    assert judge([*evaluations(1.0, 1e9), *missing]) is Decision.GO_ON
    assert judge([*evaluations(1.0), *missing, *evaluations(1e9)]) is Decision.RESTART


@given(st.lists(any_losses, max_size=60), st.integers(0, 100))
def test_the_rate_is_halved_a_bounded_number_of_times(values, restarts):
    """57 bad evaluations that leave 7e-18 of the rate; a checkpoint of such a run."""
    for guard in (DivergenceGuard(), DivergenceGuard(restarts=restarts)):
        given_before = guard.restarts
        results = evaluations(*values)
        decisions = [
            guard.judge(results[:n], CTC, global_step=n, skipped=0)
            for n in range(1, len(results) + 1)
        ]
        taken = decisions.count(Decision.RESTART)
        assert taken == guard.restarts - given_before
        assert taken <= max(0, MAX_RESTARTS - given_before)
        assert guard.learning_rate(1.0) >= 2**-MAX_RESTARTS
        # What has diverged is never kept as good, restarts left or not.
        assert [d is Decision.KEEP for d in decisions] == [
            not has_diverged(values[:n]) for n in range(1, len(values) + 1)
        ]


def test_the_halvings_span_the_widest_published_range_of_rates():
    """A guard that gives up before the rate has come down to one that works."""
    path = ROOT / "tuning_search_spaces" / "heavy_ball.json"
    rates = json.loads(path.read_text())["learning_rate"]
    span = rates["max"] / rates["min"]
    assert 2 ** (MAX_RESTARTS - 1) < span <= 2**MAX_RESTARTS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_first_evaluation_that_is_not_finite_does_not_disarm_the_guard(framework):
    """Training that goes on from 1e9, because NaN is what it is compared with."""
    training = TRAININGS[framework](load("nadamw", framework))
    for batch, loss in zip(stub.batches(3), [math.nan, 2.0, 1e9], strict=True):
        training.step(batch)
        training.evaluate(loss)
        if loss == 2.0:
            good = training.params()
    (batch,) = stub.batches(1)
    training.step(broken(batch, "inputs"))
    for p, q in zip(training.params(), good, strict=True):
        np.testing.assert_array_equal(p, q)
    assert training.restarts() == 2


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_training_that_nothing_helps_goes_on_and_ends_where_it_is_stuck(framework):
    """A rate halved without end, or anew after a resume; a run that idles for hours."""
    training = TRAININGS[framework](load("schedule_free_adamw", framework))
    (batch,) = stub.batches(1)
    training.step(batch)
    training.evaluate(1.0)
    for _ in range(MAX_RESTARTS + 2):
        training = training.resumed()
        training.step(batch)
        training.evaluate(1e9)
    before = training.params()
    training.step(batch)  # judged, and trained on from
    assert training.restarts() == MAX_RESTARTS
    assert any((p != q).any() for p, q in zip(training.params(), before, strict=True))
    training.evaluate(1e9)
    training.step(broken(batch, "inputs"))  # a step was taken before: not stuck yet
    training.evaluate(1.0)
    with pytest.raises(spec.TrainingCompleteError, match="after 8 restarts"):
        training.step(batch)


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
def test_a_broken_batch_does_not_keep_the_whole_ones_from_the_first_refresh(framework):
    """Statistics of elsewhere, where the batch that told the momentum was broken."""
    training = TRAININGS[framework](load("schedule_free_adamw", framework), True)
    *batches, last = stub.batches(40)  # two of them are taken
    for batch in [*batches[:-1], broken(batches[-1], "inputs"), last]:
        training.step(batch)
    training.prepare_for_eval()
    mean, *_ = training.statistics()
    np.testing.assert_allclose(mean, last["inputs"].mean(0), rtol=1e-5)


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
