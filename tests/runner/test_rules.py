"""The rules of a run, as decisions."""

import itertools
import time

import pytest

from unscheduled.benchmark.rulesets import ruleset
from unscheduled.runner import rules
from unscheduled.runner.checkpoints import CountedQueue
from unscheduled.runner.rules import Clock, StepsClock, parse_clock


def test_budgets_of_the_rulesets():
    """Self-tuning runs that get 1x, or external ones that get 1.5x."""
    assert ruleset("external").budget_sec(200) == 200
    assert ruleset("self").budget_sec(200) == 300


def test_evaluation_is_due_after_the_first_step_and_then_every_period():
    """A first evaluation only after a whole period, or a period that is exclusive."""
    assert rules.evaluation_due(0.1, 0, 60, complete=False)
    assert not rules.evaluation_due(100.0, 41.0, 60, complete=False)
    assert rules.evaluation_due(101.0, 41.0, 60, complete=False)
    assert rules.evaluation_due(42.0, 41.0, 60, complete=True)


def test_using_exactly_the_budget_is_out_of_time():
    """A budget that is inclusive where the official runner's is not."""
    assert rules.is_time_remaining(9.99, 10)
    assert not rules.is_time_remaining(10, 10)


def test_steps_end_at_the_cap_and_past_it():
    """A run resumed with a smaller cap that goes on for ever."""
    assert not rules.steps_exhausted(9, 10)
    assert rules.steps_exhausted(10, 10)
    assert rules.steps_exhausted(11, 10)
    assert not rules.steps_exhausted(10**9, None)


def test_one_target_is_not_enough():
    """A run that ends at the validation target alone."""
    state = rules.new_train_state()
    state["validation_goal_reached"] = True
    assert rules.keep_training(state)
    state["test_goal_reached"] = True
    assert not rules.keep_training(state)


def test_steps_clock_counts_steps_and_nothing_else():
    """A "reproducible" clock that real time moves."""
    clock = StepsClock(0.25)
    assert clock.now() == clock.now() == 0
    clock.step_done()
    clock.step_done()
    assert clock.now() == 0.5
    other = StepsClock(0.25)
    assert other.resume(0.5) == 0
    assert other.now() == 0.5


def test_a_fetch_takes_its_time_while_steps_are_taken():
    """Waiting that isn't counted, or for a batch that was ready long ago."""
    clock = StepsClock(0.5)
    queue = CountedQueue(itertools.count(), clock, fetch_sec=1.25)
    times = []
    for steps in (1, 1, 4, 1):  # on each batch
        next(queue)
        times.append(clock.now())
        for _ in range(steps):
            clock.step_done()
    # Ready at 1.25; then 1.25 after each was taken, or once the steps are done.
    assert times == [1.25, 2.5, 3.75, 5.75]
    assert (queue.taken, queue.ready) == (4, 7.0)
    other = StepsClock(0.5)
    other.resume(clock.now())
    assert other.now() == clock.now() == 6.25


def test_waiting_on_the_steps_clock_takes_real_time_too():
    """A submission with a clock of its own would see no waiting, and not act on it."""
    clock = StepsClock(1.0)
    queue = CountedQueue(itertools.count(), clock, fetch_sec=5.0)
    next(queue)
    time.sleep(0.02)
    clock.step_done()
    start = time.monotonic()
    next(queue)
    assert time.monotonic() - start >= 4 * 0.02


def test_wall_clock_waits():
    """A slow input that isn't slow."""
    clock = Clock()
    start = time.monotonic()
    clock.wait_until(clock.now() + 0.05)
    clock.wait_until(clock.now() - 100)
    assert 0.05 <= time.monotonic() - start < 10


def test_wall_clock_tells_how_long_a_run_was_down():
    """Downtime that makes a resumed run evaluate at once."""
    times = iter([1000.0, 5000.0])
    clock = Clock(lambda: next(times))
    assert clock.now() == 1000
    assert clock.resume(1010.0) == 3990


@pytest.mark.parametrize("text", ["", "steps", "steps:", "steps:x", "steps:0", "sun:1"])
def test_a_clock_that_does_not_exist(text):
    """A misspelt clock that silently is the wall clock."""
    with pytest.raises(ValueError, match="--clock must be wall or steps:SECONDS"):
        parse_clock(text)
    assert isinstance(parse_clock("wall"), Clock)
    assert isinstance(parse_clock("steps:2"), StepsClock)
